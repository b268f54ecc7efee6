"""How metadata files and targets are named in a repository and in a store, as python-tuf's client asks for them.

A metadata file is ``VERSION.ROLE.json``, the timestamp alone is ``timestamp.json``. A target is ``FOLDER/SHA256.NAME``.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from portcullis.adapters.tuf.key_roles import HEAD, TIMESTAMP, list_role
from portcullis.domain.manifests import HEAD_TARGET, list_folder

HASH = "sha256"
"""The hash that files are named and proven by."""

TIMESTAMP_FILE = f"{TIMESTAMP}.json"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEAD_FOLDER = HEAD_TARGET.partition("/")[0]
_LISTS_FOLDER = list_folder("").rstrip("/")


def metadata_file(role: str, version: int) -> str:
    """Name a role's metadata file of one version."""
    return f"{version}.{quote(role, '')}.json"


def role_of_target(name: str) -> str:
    """Name the role that signs a target.

    Raises:
        ValueError: no role does.
    """
    parts = name.split("/")
    if all(map(_PLAIN.fullmatch, parts)):
        match parts:
            case [folder, _] if folder == _HEAD_FOLDER:
                return HEAD
            case [folder, list_name, _] if folder == _LISTS_FOLDER:
                return list_role(list_name)
    raise ValueError("a target is named head/FILE or lists/NAME/FILE")


def stored_target(name: str, sha256: str) -> str:
    """Name a target by its content, as it is named in a store."""
    folder, separator, file = name.rpartition("/")
    return f"{folder}{separator}{sha256}.{file}"
