"""API keys: made here, shown once, kept as digests.

A key is ``pcl_<key id>_<secret>``: 8 characters of base 32, which name the key in lists and logs, and 32 random bytes in
URL-safe base 64. The registry stores the SHA-256 digest of the whole text. The secret has 256 bits, so a plain digest is
enough: there is no dictionary to try.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256

from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest, Unauthenticated
from portcullis.domain.roles import KEY_ROLES, MATRIX, Role
from portcullis.ports import ApiKey, Clock, RegistryStore

PREFIX = "pcl"
"""What every key begins with, so that scanners of leaked secrets find it."""
MAX_NOTE = 128
"""The most characters of a note."""

_DECIDES_IMPORTS = MATRIX["portcullis.v1.RegistryService/ApproveImport"]
_ID_BYTES = 5
_SECRET_BYTES = 32
_PERSONS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)

RandomBytes = Callable[[int], bytes]
"""Gives so many unpredictable bytes."""


def key_digest(key: str) -> str:
    """Give the digest under which a key is known: SHA-256 of its text, in hexadecimal."""
    # What can't be written in UTF-8 is no key, and has a digest all the same.
    return sha256(key.encode(errors="replace")).hexdigest()


class KeyDesk:
    """Implements `portcullis.ports.ApiKeyDesk`; every method blocks on the database."""

    def __init__(self, store: RegistryStore, *, clock: Clock, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes

    def create(self, holder: str, role: str, note: str, *, actor: str, lists: Sequence[str] = ()) -> tuple[ApiKey, str]:
        """Make a key; the text beside it is the key itself, which is given once and stored nowhere.

        ``lists`` are what it is good for, none for every list.

        Raises:
            InvalidRequest: a role, holder, note or lists that can't be.
            RegistryUnavailable: the database can't be used.
        """
        self._check(holder, role, note)
        self._check_lists(role, lists)
        key_id = base64.b32encode(self._random_bytes(_ID_BYTES)).decode().lower()
        secret = base64.urlsafe_b64encode(self._random_bytes(_SECRET_BYTES)).decode().rstrip("=")
        text = f"{PREFIX}_{key_id}_{secret}"
        key = ApiKey(
            key_id=key_id,
            holder=holder,
            role=role,
            note=note,
            created_at=self._clock.now(),
            revoked_at=None,
            lists=tuple(sorted(set(lists))),
        )
        self._store.add_key(key, key_digest(text), actor=actor)
        return key, text

    def revoke(self, key_id: str, *, actor: str) -> None:
        """End a key; gateways refuse it with the next snapshot. Again is no fault.

        Raises:
            NotFound: no such key.
            RegistryUnavailable: the database can't be used.
        """
        self._store.revoke_key(key_id, at=self._clock.now(), actor=actor)

    def approver(self, key: str) -> str:
        """Name the person whose key this is, where it may approve imports.

        Raises:
            InvalidRequest: it is no key in force of a role that may.
            RegistryUnavailable: the database can't be used.
        """
        digest = key_digest(key.strip())
        with self._store.view() as view:
            for each in view.credentials:
                if each.digest == digest and each.role in _DECIDES_IMPORTS:
                    return each.holder
        roles = " or ".join(sorted(_DECIDES_IMPORTS))
        raise InvalidRequest.at(
            "key", f"no key in force of the role {roles}; make one with `portcullis partner key new NAME --role operator`"
        )

    def lists_of(self, holder: str, key_id: str) -> Sequence[str]:
        """Say which lists a key in force is good for; none for every list.

        Raises:
            Unauthenticated: no such key of this holder is in force.
            RegistryUnavailable: the database can't be used.
        """
        for each in self._store.keys(holder):
            if each.key_id == key_id and each.revoked_at is None:
                return each.lists
        raise Unauthenticated

    def list(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        return self._store.keys(holder)

    def _check(self, holder: str, role: str, note: str) -> None:
        if role not in KEY_ROLES:
            raise InvalidRequest.at("role", f"must be one of {', '.join(KEY_ROLES)}")
        if len(note) > MAX_NOTE or not is_plain_text(note):
            raise InvalidRequest.at("note", f"must be plain text of at most {MAX_NOTE} characters")
        if role != Role.PARTNER:
            if not _PERSONS_NAME.fullmatch(holder):
                raise InvalidRequest.at("holder", "must be a person's name: 1 to 64 letters, digits, '.', '_', '@', '-'")
            if holder.casefold() == Role.SUBJECT:
                # Whatever they did would be told as the listed person's own doing.
                raise InvalidRequest.at("holder", "stands for whoever an entry is about; give the person's own name")
            return
        partners = [partner.name for partner in self._store.policy().partners]
        if holder not in partners:
            known = ", ".join(sorted(partners)) or "none yet: apply a policy first"
            raise InvalidRequest.at("holder", f"no partner of the policy in force; the partners are {known}")

    def _check_lists(self, role: str, lists: Sequence[str]) -> None:
        if lists and role == Role.PARTNER:
            raise InvalidRequest.at("lists", "leave them out: a partner's agreements say what its keys are good for")
        known = [each.name for each in self._store.policy().lists]
        if not set(lists) <= set(known):
            told = ", ".join(sorted(known)) or "none yet: apply a policy first"
            raise InvalidRequest.at("lists", f"the policy in force has not all of them; its lists are {told}")
