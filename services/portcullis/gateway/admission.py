"""Admission: who calls, before the body is parsed.

A caller proves itself by an API key in ``authorization: Bearer KEY``, by a certificate that its partner's policy names,
or by both, as the policy says (`portcullis.domain.policies.Credentials`). The snapshot holds SHA-256 digests of the keys
in force; a key carries 256 random bits, so a plain digest is enough. A digest is found by its beginning and compared
whole in constant time.

No credential, a wrong one, one that is over, a revoked one, and a key and a certificate that name two callers get the same
answer. Keys and certificates end by the clock, without a new snapshot. A certificate that is refused takes its connection's
calls with it, whatever key they bring.

A subject sends the credential of their session in the place of a key. It is known by its beginning alone, and opens the
methods of subjects alone; whether it holds, the desk says that has the sessions (`portcullis.ports.SubjectDesk`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

from portcullis.domain.caller_certificates import CallerCertificate
from portcullis.domain.editions import Credential
from portcullis.domain.errors import RoleRequired, Unauthenticated
from portcullis.domain.policies import Credentials, Partner
from portcullis.domain.roles import SESSION_PREFIX, Role

_SCHEME = "bearer "
# The very objects that stand in the table: they are found there without a comparison.
_ROLES: Mapping[str, str] = {role.value: role for role in Role}
_MAX_SESSION = 256
"""More characters than the credential of a session has."""
_BEGINNING = 8
"""So many bytes of a digest find it."""
_ALONE = (Credentials.CERTIFICATE, Credentials.EITHER)


class Caller(NamedTuple):
    """Who is calling, as what, and with which key, "" for a certificate alone.

    ``session`` is a subject's credential, and never shown; ``until`` is when the key ends by itself (Unix seconds).
    """

    holder: str
    role: str
    key_id: str
    session: str = ""
    until: float | None = None

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

    Args:
        credentials: the keys in force.
        partners: say by what they prove themselves; one that is not among them, by its keys.
        revoked: the certificates that are refused.
        now: gives wall time in Unix seconds.
    """

    def __init__(
        self,
        credentials: Iterable[Credential],
        partners: Iterable[Partner] = (),
        revoked: Iterable[str] = (),
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        known = {each.name: each for each in partners}
        self._now = now
        self._revoked = frozenset(revoked)
        # Keys that are enough, and those that are good beside a certificate of the same partner alone.
        self._keys, self._halves = _Keys(), _Keys()
        for each in credentials:
            mode = _mode(known, each)
            if mode is not Credentials.CERTIFICATE:
                (self._halves if mode is Credentials.BOTH else self._keys).add(each)
        self._named = {name: each for each in known.values() for name in each.certificates}
        self._by_header: dict[str | bytes, Caller] = {}

    def admit(
        self,
        metadata: Iterable[tuple[str, str | bytes]],
        roles: Collection[Role],
        certificate: CallerCertificate | None = None,
    ) -> Caller:
        """Name the caller.

        Args:
            metadata: the call's metadata, keys in lower case.
            roles: those that the method is for (`portcullis.domain.roles.roles_of`).
            certificate: what the caller has proven to hold; None for none.

        Raises:
            Unauthenticated: no credential, or none that is in force.
            RoleRequired: a good credential of another role; names those that may.
        """
        if certificate is not None:
            caller = self._certified(metadata, certificate)
            if caller.role not in roles:
                raise role_required("this method", roles)
            return caller
        for key, value in metadata:
            if key == "authorization":
                caller = self._by_header.get(value) or self._recognise(value)
                if caller.until is not None and caller.until <= self._now():
                    raise Unauthenticated
                if caller.role not in roles:
                    raise role_required("this method", roles)
                return caller
        raise Unauthenticated

    def _certified(self, metadata: Iterable[tuple[str, str | bytes]], certificate: CallerCertificate) -> Caller:
        """Name the caller of a connection with a certificate."""
        now = self._now()
        if certificate.is_refused(now, self._revoked):
            raise Unauthenticated
        partner = self._partner(certificate)
        header = next((value for key, value in metadata if key == "authorization"), None)
        if header is None:
            if partner is None or partner.credentials not in _ALONE:
                raise Unauthenticated
            return Caller(partner.name, Role.PARTNER, "")
        caller = self._by_header.get(header) or self._recognise(header, partner)
        if caller.until is not None and caller.until <= now:
            raise Unauthenticated
        if partner is not None and caller.role != Role.SUBJECT and caller[:2] != (partner.name, Role.PARTNER):
            raise Unauthenticated
        return caller

    def _partner(self, certificate: CallerCertificate) -> Partner | None:
        """Give the partner that a certificate names; None for nobody's."""
        found = {each.name: each for name in certificate.names if (each := self._named.get(name)) is not None}
        if len(found) > 1:
            raise Unauthenticated
        return next(iter(found.values()), None)

    def _recognise(self, header: str | bytes, partner: Partner | None = None) -> Caller:
        """Name the holder of a key; ``partner`` is whose certificate stands beside it."""
        text = header if isinstance(header, str) else header.decode("ascii", "replace")
        given = text[7:].strip()
        if text[:7].lower() != _SCHEME:
            raise Unauthenticated
        if given.startswith(SESSION_PREFIX) and len(given) <= _MAX_SESSION:
            return Caller("", Role.SUBJECT, "", given)
        digest = sha256(given.encode()).digest()
        caller = self._keys.find(digest)
        if caller is None:
            # Not kept: without the certificate it opens nothing.
            half = self._halves.find(digest)
            if half is None or partner is None or half.holder != partner.name:
                raise Unauthenticated
            return half
        # The same key written in other ways must not fill the memory.
        if len(self._by_header) < 2 * self._keys.count:
            self._by_header[header] = caller
        return caller


class _Keys:
    """Callers by the digests of their keys."""

    def __init__(self) -> None:
        self._by_beginning: dict[bytes, list[tuple[bytes, Caller]]] = {}
        self.count = 0

    def add(self, each: Credential) -> None:
        digest = bytes.fromhex(each.digest)
        caller = Caller(each.holder, _ROLES.get(each.role, each.role), each.key_id, until=each.expires_at)
        self._by_beginning.setdefault(digest[:_BEGINNING], []).append((digest, caller))
        self.count += 1

    def find(self, digest: bytes) -> Caller | None:
        for known, caller in self._by_beginning.get(digest[:_BEGINNING], ()):
            if compare_digest(known, digest):
                return caller
        return None


def _mode(partners: Mapping[str, Partner], credential: Credential) -> Credentials:
    """Say what a key's holder proves itself by; who is no partner does by the key."""
    partner = partners.get(credential.holder) if credential.role == Role.PARTNER else None
    return partner.credentials if partner is not None else Credentials.KEY
