"""Admission: who calls, before the body is parsed.

A caller proves itself by an API key in ``authorization: Bearer KEY``. The snapshot holds SHA-256 digests of the keys in
force; a key carries 256 random bits, so a plain digest is enough and a look-up by digest tells a guesser nothing. No key, a
wrong key and a revoked key get the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from portcullis.domain.editions import Credential
from portcullis.domain.errors import RoleRequired, Unauthenticated

_SCHEME = "bearer "


class Caller(NamedTuple):
    """Who is calling: a partner or an operator, and with which key."""

    holder: str
    role: str
    key_id: str


class Callers:
    """The callers that one edition knows.

    A header that was good once is good for as long as the edition is: it is kept, so that its digest is computed once. What
    is kept is bounded by the number of keys.
    """

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._by_digest: Mapping[bytes, Caller] = {
            bytes.fromhex(each.digest): Caller(each.holder, each.role, each.key_id) for each in credentials
        }
        self._by_header: dict[str | bytes, Caller] = {}

    def admit(self, metadata: Iterable[tuple[str, str | bytes]], role: str) -> Caller:
        """Name the caller.

        Args:
            metadata: the call's metadata, keys in lower case.
            role: the role that the method is for.

        Raises:
            Unauthenticated: no key, or none that is in force.
            RoleRequired: a good key of another role.
        """
        for key, value in metadata:
            if key == "authorization":
                caller = self._by_header.get(value) or self._recognise(value)
                if caller.role != role:
                    raise RoleRequired(f"this method is for the role {role}", metadata={"role": role})
                return caller
        raise Unauthenticated

    def _recognise(self, header: str | bytes) -> Caller:
        text = header if isinstance(header, str) else header.decode("ascii", "replace")
        caller = self._by_digest.get(sha256(text[7:].strip().encode()).digest())
        if caller is None or text[:7].lower() != _SCHEME:
            raise Unauthenticated
        # The same key written in other ways must not fill the memory.
        if len(self._by_header) < 2 * len(self._by_digest):
            self._by_header[header] = caller
        return caller
