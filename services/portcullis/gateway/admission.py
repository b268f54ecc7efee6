"""Admission: who calls, before the body is parsed.

A caller proves itself by an API key in ``authorization: Bearer KEY``. The snapshot holds SHA-256 digests of the keys in
force; a key carries 256 random bits, so a plain digest is enough and a look-up by digest tells a guesser nothing. No key, a
wrong key and a revoked key get the same answer.

A subject sends the credential of their session in the place of a key. It is known by its beginning alone, and opens the
methods of subjects alone; whether it holds, the desk says that has the sessions (`portcullis.ports.SubjectDesk`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from portcullis.domain.editions import Credential
from portcullis.domain.errors import RoleRequired, Unauthenticated
from portcullis.domain.roles import SESSION_PREFIX, Role

_SCHEME = "bearer "
# The very objects that stand in the table: they are found there without a comparison.
_ROLES: Mapping[str, str] = {role.value: role for role in Role}
_MAX_SESSION = 256
"""More characters than the credential of a session has."""


class Caller(NamedTuple):
    """Who is calling, as what, and with which key. ``session`` is a subject's credential, and never shown."""

    holder: str
    role: str
    key_id: str
    session: str = ""

    def __repr__(self) -> str:
        return f"Caller(holder={self.holder!r}, role={self.role!r}, key_id={self.key_id!r})"


ANYBODY = Caller("", Role.ANYONE, "")
"""Who calls a method that needs no credential."""


def role_required(what: str, roles: Iterable[Role]) -> RoleRequired:
    """Give the refusal of what is for other roles; it names those that may."""
    may = ", ".join(sorted(roles))
    return RoleRequired(f"{what} is for the role {may}; use a credential of it", metadata={"role": may})


class Callers:
    """The callers that one edition knows.

    A header that was good once is good for as long as the edition is: it is kept, so that its digest is computed once. What
    is kept is bounded by the number of keys.
    """

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._by_digest: Mapping[bytes, Caller] = {
            bytes.fromhex(each.digest): Caller(each.holder, _ROLES.get(each.role, each.role), each.key_id)
            for each in credentials
        }
        self._by_header: dict[str | bytes, Caller] = {}

    def admit(self, metadata: Iterable[tuple[str, str | bytes]], roles: Collection[Role]) -> Caller:
        """Name the caller.

        Args:
            metadata: the call's metadata, keys in lower case.
            roles: those that the method is for (`portcullis.domain.roles.roles_of`).

        Raises:
            Unauthenticated: no credential, or no key that is in force.
            RoleRequired: a good key of another role; names those that may.
        """
        for key, value in metadata:
            if key == "authorization":
                caller = self._by_header.get(value) or self._recognise(value)
                if caller.role not in roles:
                    raise role_required("this method", roles)
                return caller
        raise Unauthenticated

    def _recognise(self, header: str | bytes) -> Caller:
        text = header if isinstance(header, str) else header.decode("ascii", "replace")
        given = text[7:].strip()
        if text[:7].lower() != _SCHEME:
            raise Unauthenticated
        if given.startswith(SESSION_PREFIX) and len(given) <= _MAX_SESSION:
            return Caller("", Role.SUBJECT, "", given)
        caller = self._by_digest.get(sha256(given.encode()).digest())
        if caller is None:
            raise Unauthenticated
        # The same key written in other ways must not fill the memory.
        if len(self._by_header) < 2 * len(self._by_digest):
            self._by_header[header] = caller
        return caller
