"""Verify the signature of a bundle before the bundle is read, if GRAFT_VERIFY_KEY is set.

Users sign a bundle with the command line of OpenSSF Model Signing and their own key pair. The
signature is a sigstore bundle: a signed in-toto statement that lists the SHA-256 of every file
except model.sig (the signature itself) and model.yaml (which BentoML's store adds).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.bundle.reading import Bundle
from service.bundle.store import resolve
from service.errors import BundleError, SettingError

SIGNATURE: Final = "model.sig"
"""Name of the signature file. It is added after sealing, so the manifest does not list it."""
_UNSIGNED = (SIGNATURE, "model.yaml")


def load_verified(reference: str, verify_key: str, option: str = "") -> Bundle:
    """Find a bundle, verify its signature if a key is given, and read it.

    Args:
        reference: a bundle folder or a BentoML tag.
        verify_key: path of a public key (PEM; P-256, P-384 or P-521); "" = no signature needed.
        option: the command-line option or environment variable that contained the reference, for
            error messages; "" = neither.

    Raises:
        BundleError: the bundle does not exist, `Bundle.read` refuses it, or it has no signature
            that is valid for this key.
        SettingError: the key cannot be read, or the package model_signing is not installed.
    """
    folder = resolve(reference, option)
    if verify_key:
        _verify(folder, Path(verify_key))
    return Bundle.read(folder)


def _verify(folder: Path, key: Path) -> None:
    try:
        from model_signing import hashing, verifying
    except ImportError as error:
        raise SettingError(
            f"GRAFT_VERIFY_KEY needs the package {error.name}, which is not installed: run `pip "
            "install '.[sign]'` in Graft's folder (container image: build it with --build-arg "
            "LOCK=serving-sign; systemd unit: install requirements/serving-sign.txt)"
        ) from error
    # Every other file must be signed, and every signed file must be present. Otherwise an attacker
    # could add an altered manifest to files that the same key has signed for another purpose.
    rules = hashing.Config().set_ignored_paths(paths=_UNSIGNED, ignore_git_paths=False)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:  # OSError, ValueError, or an error of `cryptography`
        path = key.absolute()  # a bento runs in another folder than the user's
        raise SettingError(
            f"GRAFT_VERIFY_KEY (={path}) is not a public key in PEM format ({error}); set it to "
            "the path of the signer's public key"
        ) from error
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise BundleError(
            f"{folder} has no {SIGNATURE}, but GRAFT_VERIFY_KEY requires a signature; sign the "
            "bundle (deploy/README.md), or get a signed copy"
        )
    try:
        verifier.set_hashing_config(rules).verify(folder, signature)
    except Exception as error:  # a forged signature may raise anything in its parsers
        reason = str(error) or type(error).__name__
        raise BundleError(
            f"{folder} was not signed with the private key that matches {key}, or was "
            f"altered after signing ({reason}); sign the bundle again, or get an unaltered copy"
        ) from error
