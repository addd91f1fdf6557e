"""Signed bundles, with real key pairs and model-signing's own command line."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.signature import SIGNATURE, load_verified
from service.errors import BundleError, SettingError


def test_without_a_key_no_signature_is_required(tiny_bundle: Bundle) -> None:
    assert load_verified(str(tiny_bundle.path), "").manifest == tiny_bundle.manifest


def test_without_the_package_nothing_is_loaded(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(SettingError, match=r"pip install '\.\[sign\]'.*LOCK=serving-sign"):
        load_verified(str(tiny_bundle.path), "key.pub")


@pytest.fixture(scope="module")
def key_pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with the files `private` and `public`, for our key pair and another one."""
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folders = {}
    for owner in ("ours", "theirs"):
        key = ec.generate_private_key(ec.SECP256R1())
        folder = folders[owner] = tmp_path_factory.mktemp(owner)
        (folder / "private").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / "public").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    return folders


def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle with the command in deploy/README.md."""
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(bundle)]
    command += ["--private_key", str(key), "--signature", str(bundle / SIGNATURE)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def signed_once(
    tiny_bundle: Bundle, key_pairs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "bundle"
    shutil.copytree(tiny_bundle.path, folder)
    sign(folder, key_pairs["ours"] / "private")
    return folder


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A copy of the signed bundle that a test may change."""
    return Path(shutil.copytree(signed_once, tmp_path / "copied"))


@pytest.fixture
def our_key(key_pairs: dict[str, Path]) -> str:
    return str(key_pairs["ours"] / "public")


def test_signed_bundle_is_read_also_under_another_name(
    signed: Path, our_key: str, tiny_bundle: Bundle
) -> None:
    assert load_verified(str(signed), our_key).manifest == tiny_bundle.manifest
    assert Bundle.read(signed).manifest == tiny_bundle.manifest, "signing must not change the seal"


def test_only_links_to_a_signed_bundle_are_followed_not_links_inside(
    signed: Path, our_key: str, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(signed)
    assert load_verified(str(link), our_key).path == signed.resolve()
    (signed / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (signed / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match="symlink"):
        load_verified(str(link), our_key)


def test_bentomls_file_in_the_store_is_accepted(signed: Path, our_key: str) -> None:
    (signed / "model.yaml").write_text("name: tiny")
    load_verified(str(signed), our_key)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden/red.png"])
def test_altered_signed_file_is_refused(signed: Path, our_key: str, name: str) -> None:
    data = (signed / name).read_bytes()
    (signed / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"altered after signing.*{name}"):
        load_verified(str(signed), our_key)


def test_bundle_sealed_by_an_attacker_is_refused(
    signed: Path, our_key: str, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Checksums cannot detect another model with a manifest that matches it."""
    staging = Path(shutil.copytree(tiny_bundle.path, tmp_path / "staging"))
    (staging / "manifest.json").unlink()
    forged = seal(staging, tiny_bundle.manifest.model_copy(update={"created": "x"}), tmp_path)
    shutil.copy(signed / SIGNATURE, forged.path)
    Bundle.read(forged.path)
    with pytest.raises(BundleError, match=r"altered after signing.*manifest\.json"):
        load_verified(str(forged.path), our_key)


@pytest.mark.slow
def test_signature_of_something_else_by_our_key_is_refused(
    tiny_bundle: Bundle, key_pairs: dict[str, Path], tmp_path: Path
) -> None:
    """Its signature, copied into the folder of an unsigned model, must not be accepted."""
    folder = tmp_path / "note"
    folder.mkdir()
    (folder / "note.txt").write_text("signed as well")
    sign(folder, key_pairs["ours"] / "private")
    shutil.copytree(tiny_bundle.path, folder, dirs_exist_ok=True)
    with pytest.raises(BundleError, match=r"Extra files found.*manifest\.json"):
        load_verified(str(folder), str(key_pairs["ours"] / "public"))


def test_missing_signature_is_refused(bundle_copy: Path, our_key: str) -> None:
    with pytest.raises(BundleError, match=r"no model\.sig, but GRAFT_VERIFY_KEY requires a"):
        load_verified(str(bundle_copy), our_key)


@pytest.mark.slow
def test_signature_by_another_key_is_refused(
    signed: Path, our_key: str, key_pairs: dict[str, Path]
) -> None:
    sign(signed, key_pairs["theirs"] / "private")
    with pytest.raises(BundleError, match="not signed with"):
        load_verified(str(signed), our_key)


@pytest.mark.slow
def test_signature_by_another_key_that_claims_ours_is_refused(
    signed: Path, our_key: str, key_pairs: dict[str, Path]
) -> None:
    def public_key(signature: dict[str, Any]) -> dict[str, Any]:
        key: dict[str, Any] = signature["verificationMaterial"]["publicKey"]
        return key

    our_signature = json.loads((signed / SIGNATURE).read_text())
    sign(signed, key_pairs["theirs"] / "private")
    other_signature = json.loads((signed / SIGNATURE).read_text())
    public_key(other_signature)["hint"] = public_key(our_signature)["hint"]
    (signed / SIGNATURE).write_text(json.dumps(other_signature))
    with pytest.raises(BundleError, match=r"not signed with.*InvalidSignature"):
        load_verified(str(signed), our_key)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b"[" * 100_000])
def test_forged_signature_is_refused(signed: Path, our_key: str, content: bytes) -> None:
    (signed / SIGNATURE).write_bytes(content)
    with pytest.raises(BundleError, match="not signed with"):
        load_verified(str(signed), our_key)


@pytest.mark.parametrize("name", ["nowhere", "private"])
def test_unusable_key_is_a_wrong_setting(
    signed: Path, key_pairs: dict[str, Path], name: str
) -> None:
    with pytest.raises(SettingError, match=r"GRAFT_VERIFY_KEY .*is not a public key in PEM"):
        load_verified(str(signed), str(key_pairs["ours"] / name))


@pytest.mark.slow
def test_the_service_serves_only_signed_bundles(
    signed: Path,
    our_key: str,
    bundle_copy: Path,
    serve: Any,
    refuse_to_serve: Any,
    tmp_path: Path,
) -> None:
    with serve(GRAFT_MODEL=str(signed), GRAFT_VERIFY_KEY=our_key) as server:
        picture = (signed / "golden/red.png").read_bytes()
        answer = httpx.post(f"{server.url}/predict", files={"image": picture}).json()
        assert answer["label"] == "red"
    code, log = refuse_to_serve(bundle_copy, GRAFT_VERIFY_KEY=our_key)
    assert code == 1
    assert "graft: " in log and SIGNATURE in log  # noqa: PT018


@pytest.mark.slow
def test_an_unreadable_key_ends_the_service(
    signed: Path, refuse_to_serve: Any, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere.pub"
    code, log = refuse_to_serve(signed, GRAFT_VERIFY_KEY=str(nowhere))
    assert code == 1
    assert f"graft: GRAFT_VERIFY_KEY (={nowhere}) is not a public key in PEM" in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_reloads_accept_only_signed_bundles(
    signed: Path,
    key_pairs: dict[str, Path],
    staging: Path,
    manifest: Manifest,
    serve: Any,
    tmp_path: Path,
) -> None:
    """The new bundle is unsigned, then signed with another key, and then with our key."""
    french = manifest.model_copy(update={"classes": ("rouge", "vert", "bleu")})
    newer = seal(staging, french, staging.parent).path
    link, picture = tmp_path / "served", (signed / "golden/red.png").read_bytes()
    link.symlink_to(signed)

    def replace() -> None:
        (tmp_path / "next").symlink_to(newer)
        (tmp_path / "next").replace(link)

    def label() -> str:
        answer = httpx.post(f"{server.url}/predict", files={"image": picture}, timeout=60)
        return str(answer.raise_for_status().json()["label"])

    def wait_for_refusals(count: int) -> None:
        deadline = time.monotonic() + 90
        while server.log.read_text().count("reload failed: ") < count:
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)
        assert label() == "red"

    settings = {"GRAFT_MODEL": str(link), "GRAFT_RELOAD": "1"}
    with serve(GRAFT_VERIFY_KEY=str(key_pairs["ours"] / "public"), **settings) as server:
        (worker,) = server.workers()
        replace()
        refused = httpx.post(f"{server.url}/admin/reload", timeout=60)
        assert refused.status_code == 409
        assert "GRAFT_VERIFY_KEY requires a" in refused.json()["error"]["message"]
        wait_for_refusals(1)
        worker.send_signal(signal.SIGHUP)
        wait_for_refusals(2)
        sign(newer, key_pairs["theirs"] / "private")
        refused = httpx.post(f"{server.url}/admin/reload", timeout=60)
        assert "not signed with" in refused.json()["error"]["message"]
        worker.send_signal(signal.SIGHUP)
        wait_for_refusals(4)
        sign(newer, key_pairs["ours"] / "private")
        worker.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 90
        while label() != "rouge":
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)
        assert "Traceback" not in server.log.read_text()
