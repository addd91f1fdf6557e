"""Verify the signature of a bundle, where GRAFT_VERIFY_KEY asks for one, before loading it.

Signatures are made by the command line of OpenSSF Model Signing with the user's own key pair:
sigstore bundles over an in-toto statement of the SHA-256 of every file. BentoML's own model.yaml,
which its store reads to find the bundle, is not signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.bundle.reading import Bundle
from service.bundle.store import resolve
from service.errors import BundleError, SettingError

SIGNATURE: Final = "model.sig"
"""Name of the signature in the bundle's folder; added after sealing, so not in the manifest."""
_UNSIGNED = (SIGNATURE, "model.yaml")  # the latter is added by BentoML's store


def load_verified(reference: str, verify_key: str) -> Bundle:
    """Find a bundle, verify its signature against a key, then read it.

    Args:
        reference: a bundle folder or a BentoML tag.
        verify_key: path of a public key (PEM; P-256, P-384 or P-521); "" = no signature needed.

    Raises:
        BundleError: no such bundle, no signature, one by another key, or altered files.
        SettingError: the key cannot be read, or the package model_signing is not installed.
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
            f"GRAFT_VERIFY_KEY needs the package {error.name}, which is not installed: pip "
            "install '.[sign]' in Graft's folder (image: --build-arg LOCK=serving-sign; unit: "
            "requirements/serving-sign.txt)"
        ) from error
    # All other files must be signed, and all signed files present. Otherwise a signature of
    # something else by the same key, with its files copied beside it, would be accepted.
    rules = hashing.Config().set_ignored_paths(paths=_UNSIGNED, ignore_git_paths=False)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # an OSError, a ValueError, or one of cryptography's
        path = key.absolute()  # `bentoml serve` of a bento runs in a folder of its own
        raise SettingError(
            f"GRAFT_VERIFY_KEY (={path}): not a public key in PEM: {error}"
        ) from error
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise BundleError(
            f"{folder} has no {SIGNATURE}, and GRAFT_VERIFY_KEY requires one; sign the bundle "
            "(deploy/README.md), or get a signed copy"
        )
    try:
        verifier.set_hashing_config(rules).verify(folder, signature)
    except Exception as error:  # a forged signature may raise anything in its parsers
        reason = str(error) or type(error).__name__
        raise BundleError(
            f"{folder} was not signed by {key}, or altered since: {reason}"
        ) from error
