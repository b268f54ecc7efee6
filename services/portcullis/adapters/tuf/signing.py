"""Private keys: made, and reached by their URIs.

The port of a private key is securesystemslib's `Signer`: something with a public key that signs bytes, wherever the key
lies. A URI in ``signers.json`` names it. ``file:PATH`` is a PEM file; every other scheme is looked up in securesystemslib's
registry ``SIGNER_FOR_URI_SCHEME``, which knows ``awskms:``, ``azurekms:``, ``gcpkms:``, ``hsm:`` and more, each as soon as
the libraries of its extra are installed, and takes further ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from portcullis.adapters.durable_files import write_durably
from portcullis.adapters.tuf.key_files import FILE_SCHEME, KeyFiles
from portcullis.domain.errors import SetupFault

Randomness = Callable[[int], bytes]
_SEED_BYTES = 32


def new_signer(randomness: Randomness = os.urandom) -> CryptoSigner:
    """Make an Ed25519 key, in memory."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(randomness(_SEED_BYTES)))


def write_key(files: KeyFiles, uri: str, signer: CryptoSigner) -> None:
    """Put a private key into its file.

    Raises:
        OSError: the disk refused.
    """
    write_durably(_demand_path(files, uri), signer.private_bytes)


def add_key(files: KeyFiles, role: str, number: int, randomness: Randomness = os.urandom) -> tuple[str, CryptoSigner]:
    """Make a role's key in a new file, the ``number``-th or a later one, and give its URI and the key.

    ``signers.json`` names it before it is there: a crash leaves no private key that nothing tells of.

    Raises:
        SetupFault: ``signers.json`` is damaged.
        OSError: the disk refused.
    """
    uri, signer = files.fresh_uri(role, number), new_signer(randomness)
    add_place(files, role, signer.public_key, uri)
    write_key(files, uri, signer)
    return uri, signer


def add_place(files: KeyFiles, role: str, key: Key, uri: str) -> None:
    """Note where a role's private key is; raises as `add_key`."""
    places = files.signers()
    places.setdefault(role, {})[key.keyid] = uri
    files.write_signers(places)


def load_key(files: KeyFiles, uri: str) -> Signer:
    """Open the key in a file, whatever its public half.

    Raises:
        SetupFault: the file does not hold a private key in PEM that can sign here.
        OSError: it can't be read.
    """
    path = _demand_path(files, uri)
    return _signer(path, None)


def open_signer(files: KeyFiles, uri: str, key: Key) -> Signer | None:
    """Open the private half of a public key; None where its file is not here.

    Raises:
        SetupFault: it is here and can't be used.
    """
    path = files.path_of(uri)
    if path is None:
        return _open_service(uri, key)
    try:
        return _signer(path, key)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise SetupFault(f"the key file {path} can't be read ({fault.strerror}); let this user read it") from fault


def read_public_key(path: Path) -> Key:
    """Read a public key in PEM, as ``openssl pkey -pubout`` writes it.

    Raises:
        SetupFault: it is none that metadata can be verified with.
        OSError: it can't be read.
    """
    data = path.read_bytes()
    try:
        return SSlibKey.from_crypto(load_pem_public_key(data))
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise SetupFault(f"{path} does not hold a public key in PEM; `openssl pkey -in KEY -pubout` writes one") from fault


def _signer(path: Path, key: Key | None) -> CryptoSigner:
    data = path.read_bytes()
    if key is not None and not isinstance(key, SSlibKey):
        raise SetupFault(f"the key file {path} is for a key of a kind that has no file")
    try:
        # The private bytes may be in the fault's text, so nothing of it is shown.
        return CryptoSigner(load_pem_private_key(data, None), key)
    except (ValueError, TypeError, UnsupportedAlgorithm, SecuresystemslibError):
        raise SetupFault(
            f"the key file {path} does not hold the private key that signers.json says; restore it from its backup"
        ) from None


def _open_service(uri: str, key: Key) -> Signer:
    scheme = uri.partition(":")[0]
    try:
        return Signer.from_priv_key_uri(uri, key)
    except Exception as fault:  # securesystemslib leaves open what a signer of others may raise
        raise SetupFault(
            f"the key {key.keyid[:8]} can't be reached by its {scheme}: URI ({type(fault).__name__}); see that the extra of "
            f"securesystemslib for {scheme} is installed, and that the service answers"
        ) from fault


def _demand_path(files: KeyFiles, uri: str) -> Path:
    path = files.path_of(uri)
    if path is None:
        raise SetupFault(f"a key's file is named as {FILE_SCHEME}PATH")
    return path
