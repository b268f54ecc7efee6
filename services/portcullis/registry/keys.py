"""API keys: made here, shown once, kept as digests.

A key is ``pcl_<key id>_<secret>``: 8 characters of base 32, which name the key in lists and logs, and 32 random bytes in
URL-safe base 64. The registry stores the SHA-256 digest of the whole text. The secret has 256 bits, so a plain digest is
enough: there is no dictionary to try. Where two digests are compared, that takes the same time wherever they differ.

A key may end by itself. It is rotated without a gap: its successor has the same holder, role and lists, and the key
itself goes on for an overlap, in which both are good.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest

from portcullis.domain.caller_certificates import read_mark
from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest, NotFound, Unauthenticated
from portcullis.domain.roles import KEY_ROLES, MATRIX, Role
from portcullis.ports import ApiKey, Clock, RegistryStore, RevokedCertificate

PREFIX = "pcl"
"""What every key begins with, so that scanners of leaked secrets find it."""
MAX_NOTE = 128
"""The most characters of a note."""
LONGEST_OVERLAP_S = 90 * 86_400.0
"""How long a key may go on beside its successor."""
LONGEST_LIFE_S = 10 * 365 * 86_400.0
"""The latest end that a key may be given, from now on."""

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

    def create(
        self,
        holder: str,
        role: str,
        note: str,
        *,
        actor: str,
        lists: Sequence[str] = (),
        expires_at: float | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the text beside it is the key itself, which is given once and stored nowhere.

        ``lists`` are what it is good for, none for every list; it ends by itself at ``expires_at``
        (Unix seconds), where given.

        Raises:
            InvalidRequest: a role, holder, note, lists or an end that can't be.
            RegistryUnavailable: the database can't be used.
        """
        self._check(holder, role, note)
        self._check_lists(role, lists)
        self._check_end(expires_at)
        key, text = self._make(holder, role, note, lists, expires_at)
        self._store.add_key(key, key_digest(text), actor=actor)
        return key, text

    def rotate(self, key_id: str, *, overlap_s: float, actor: str, expires_at: float | None = None) -> tuple[ApiKey, str]:
        """Make a key's successor, for the same holder, role and lists; gives it with its text, as `create` does.

        The key itself ends by itself after ``overlap_s`` seconds, unless it ends sooner anyway. Where no end is given, the
        successor lives as long as the key was made for.

        Raises:
            NotFound: no such key.
            StepNotAllowed: it has ended, or has a successor.
            InvalidRequest: an overlap or an end that can't be.
            RegistryUnavailable: the database can't be used.
        """
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise InvalidRequest.at("overlap", f"must be from 0 to {LONGEST_OVERLAP_S / 86_400:.0f} days")
        self._check_end(expires_at)
        key = next((each for each in self._store.keys(None) if each.key_id == key_id), None)
        if key is None:
            raise NotFound("no key has this id; list the keys to see theirs")
        now = self._clock.now()
        if expires_at is None and key.expires_at is not None:
            expires_at = now + (key.expires_at - key.created_at)
        successor, text = self._make(key.holder, key.role, key.note, key.lists, expires_at)
        ends_at = min(now + overlap_s, key.expires_at if key.expires_at is not None else math.inf)
        self._store.rotate_key(key_id, successor, key_digest(text), ends_at=ends_at, actor=actor)
        return successor, text

    def _make(self, holder: str, role: str, note: str, lists: Sequence[str], expires_at: float | None) -> tuple[ApiKey, str]:
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
            expires_at=expires_at,
        )
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
                if compare_digest(each.digest, digest) and each.role in _DECIDES_IMPORTS:
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
        now = self._clock.now()
        for each in self._store.keys(holder):
            if each.key_id == key_id and each.is_in_force(now):
                return each.lists
        raise Unauthenticated

    def list(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        return self._store.keys(holder)

    def revoke_certificate(self, certificate: str, note: str, *, actor: str) -> str:
        """Refuse a caller's certificate, or every one of a key pair; gateways do with the next snapshot. Again is no fault.

        Args:
            certificate: as `portcullis.domain.caller_certificates.read_mark` reads it.
            note: why.
            actor: who does.

        Returns:
            What it is refused by.

        Raises:
            InvalidRequest: it is neither a serial number nor a key's digest, or the note can't be.
            RegistryUnavailable: the database can't be used.
        """
        self._check_note(note)
        mark = read_mark(certificate)
        self._store.revoke_certificate(mark, note=note, at=self._clock.now(), actor=actor)
        return mark

    def revoked_certificates(self) -> Sequence[RevokedCertificate]:
        """Give the certificates that are refused, in the order of their revocation.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        return self._store.revoked_certificates()

    def _check_end(self, expires_at: float | None) -> None:
        if expires_at is not None and not 0 < expires_at - self._clock.now() <= LONGEST_LIFE_S:
            raise InvalidRequest.at("expires_at", "must be to come, and within ten years")

    def _check_note(self, note: str) -> None:
        if len(note) > MAX_NOTE or not is_plain_text(note):
            raise InvalidRequest.at("note", f"must be plain text of at most {MAX_NOTE} characters")

    def _check(self, holder: str, role: str, note: str) -> None:
        if role not in KEY_ROLES:
            raise InvalidRequest.at("role", f"must be one of {', '.join(KEY_ROLES)}")
        self._check_note(note)
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
