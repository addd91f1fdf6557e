"""Whose bundle it is: before anything of it is loaded, its signature, where one is asked for.

BentoML's own model.yaml, by which its store finds a bundle, is read before and is not signed.

Signatures are OpenSSF Model Signing's (sigstore bundles over an in-toto statement of the SHA-256
of every file), made by its own command line with a key pair of yours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.bundle.manifest import Bundle
from service.bundle.store import resolve
from service.errors import BundleError, SettingError

SIGNATURE: Final = "model.sig"
"""In the bundle's folder. Checksums were sealed before it, so that it is in no manifest."""
_UNSIGNED = (SIGNATURE, "model.yaml")  # BentoML's store adds the latter


def load_verified(reference: str, verify_key: str) -> Bundle:
    """Find a bundle, verify its signature against a key, then read it.

    Args:
        reference: a bundle folder or a BentoML tag.
        verify_key: path of a public key (PEM; P-256, P-384 or P-521); "" asks for no signature.

    Raises:
        BundleError: no such bundle, no signature, another's, or files that are not the signed ones.
        SettingError: the key cannot be read, or the package that verifies is not installed.
    """
    folder = resolve(reference)
    if verify_key:
        _verify(folder, Path(verify_key))
    return Bundle.read(folder)


def _verify(folder: Path, key: Path) -> None:
    try:
        from model_signing import hashing, verifying
    except ImportError as error:
        raise SettingError(
            f"GRAFT_VERIFY_KEY asks for signed bundles, and {error.name} is not installed: pip "
            "install '.[sign]' in Graft's folder (image: --build-arg LOCK=serving-sign; unit: "
            "requirements/serving-sign.txt)"
        ) from error
    # Every file but those two is compared: a signed file more or less, or one unsigned, is refused.
    # Otherwise the signature of anything else by this key would do, its files laid beside.
    rules = hashing.Config().set_ignored_paths(paths=_UNSIGNED, ignore_git_paths=False)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # of the file system, of cryptography, or a ValueError
        where = key.absolute()  # `bentoml serve` of a bento stands in a folder of its own
        raise SettingError(f"GRAFT_VERIFY_KEY (={where}): no public key in PEM: {error}") from error
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise BundleError(
            f"{folder}: no {SIGNATURE}, and GRAFT_VERIFY_KEY asks for one; "
            "sign the bundle as deploy/README.md says, or take it from those who did"
        )
    try:
        verifier.set_hashing_config(rules).verify(folder, signature)
    except Exception as error:  # whatever a made-up signature brings its parsers to: refuse
        reason = str(error) or type(error).__name__
        raise BundleError(f"{folder}: not signed by {key}, or altered since: {reason}") from error
