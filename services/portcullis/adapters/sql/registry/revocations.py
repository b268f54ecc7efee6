"""The callers' certificates that the registry has revoked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.schema import revoked_certificates
from portcullis.ports import RevokedCertificate


def all_revoked(connection: Connection) -> Sequence[RevokedCertificate]:
    """Give the certificates that are refused, in the order of their revocation."""
    rows = connection.execute(select(revoked_certificates).order_by(revoked_certificates.c.seq))
    return [RevokedCertificate(mark=row.mark, note=row.note, revoked_at=row.revoked_at) for row in rows]


def revoke_certificate(connection: Connection, mark: str, *, note: str, revoked_at: float, actor: str, at: float) -> None:
    """Refuse a certificate; one that is refused already keeps its date. The connection holds the write lock."""
    known = select(revoked_certificates.c.mark).where(revoked_certificates.c.mark == mark)
    if connection.scalar(known) is None:
        seq = next_change(connection, at=at, actor=actor, change="certificate-revoke", subject=mark)
        connection.execute(insert(revoked_certificates).values(mark=mark, note=note, revoked_at=revoked_at, seq=seq))
