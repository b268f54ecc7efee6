"""Looks at the databases and the spool for the doctor. Nothing is created, migrated or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.spool.reading import SET_ASIDE, SegmentReading
from portcullis.adapters.spool.segments import segments_in
from portcullis.adapters.sql.durability import what_could_be_lost
from portcullis.adapters.sql.engines import open_engine, read_url, writing
from portcullis.adapters.sql.feed.schema import feed_head
from portcullis.adapters.sql.journal.schema import checkpoints, log, log_head
from portcullis.adapters.sql.migrating import REVISIONS, version_table
from portcullis.adapters.sql.registry.schema import change_log
from portcullis.cli.examined import LogExamined, SpoolExamined
from portcullis.config import Settings
from portcullis.domain.checkpoints import Checkpoint, CheckpointInvalid, parse_checkpoint, read_checkpoint
from portcullis.domain.errors import SetupFault, Unavailable
from portcullis.domain.log_entries import decode_entry
from portcullis.mains.keys import JOURNAL_KEY, read_key

_WAIT_S = 3.0
_Seen = TypeVar("_Seen")


def examine_registry(settings: Settings) -> str:
    """Say how the registry's database is.

    Raises:
        SetupFault: there is none here.
        Unavailable: it can't be used as it is.
    """
    head = _examine("registry", settings.registry_database_url, lambda connection: _forced_head(connection, settings))
    return f"reachable, migrated, at change {head}"


def examine_journal(settings: Settings) -> str:
    """Say how the journal's database is: a writing transaction is begun and rolled back.

    Raises:
        SetupFault: there is none here.
        Unavailable: it can't be used as it is.
    """
    _examine("journal", settings.journal_database_url, lambda connection: _demand_forced(connection, "journal", settings))
    return "reachable, migrated, writable"


def examine_log(settings: Settings) -> LogExamined:
    """Say how far the exchange is with the journal's log, and whether its newest checkpoint can be believed.

    The signature is proven where the key of the journal lies on this host.

    Raises:
        SetupFault: there is no journal here.
        Unavailable: its database can't be used as it is.
    """
    signer: LogSigner | None = None
    # A key file that is damaged is what another look tells.
    with suppress(SetupFault):
        signer = LogSigner(read_key(settings.keys_path, JOURNAL_KEY), settings.keys_path)
    return _examine("journal", settings.journal_database_url, lambda connection: _log(connection, signer))


def examine_spool(settings: Settings) -> SpoolExamined:
    """Say how the spool of this host is; a shipper that reads it is not disturbed.

    Raises:
        Unavailable: it can't be read or written.
    """
    folder = settings.spool_path.absolute()
    # It is made with the first decision.
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(
            f"{there} can't be written; give it to this user: chown $USER {there}, or set PORTCULLIS_SPOOL_DIR"
        )
    free_bytes = shutil.disk_usage(there).free
    if there != folder:
        return SpoolExamined(0, None, 0, free_bytes)
    try:
        held, oldest_at = _records_of(folder)
        set_aside = sum(1 for _ in folder.glob(f"*{SET_ASIDE}"))
    except OSError as fault:
        raise Unavailable(
            f"the spool {folder} can't be read ({fault.strerror or type(fault).__name__}); look at its disk"
        ) from None
    return SpoolExamined(held, oldest_at, set_aside, free_bytes)


def demand_database(database: str, url: str) -> None:
    """Demand that a SQLite database is there and may be written: opening it would make it.

    Raises:
        SetupFault: it is not there.
        Unavailable: it may not be written.
    """
    parsed = read_url(url)
    if parsed.drivername != "sqlite" or not parsed.database:
        return
    file = Path(parsed.database)
    if not file.exists():
        raise SetupFault(
            f"{file} is not there; on a host that should have it, start `portcullis run` or set "
            f"PORTCULLIS_{database.upper()}_URL"
        )
    if not os.access(file, os.R_OK | os.W_OK):
        raise Unavailable(f"{file} can't be written; give it to this user: chown $USER {file}")


def _examine(database: str, url: str, look: Callable[[Connection], _Seen]) -> _Seen:
    demand_database(database, url)
    engine = writing(open_engine(url, write_wait_s=_WAIT_S))
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            _demand_newest(connection, database)
            seen = look(connection)
            transaction.rollback()
            return seen
    except (SQLAlchemyError, OSError) as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise Unavailable(
            f"the {database}'s database can't be used ({cause}); look at its server, disk and permissions, and at "
            f"PORTCULLIS_{database.upper()}_URL"
        ) from None
    finally:
        engine.dispose()


def _demand_newest(connection: Connection, database: str) -> None:
    table = version_table(database)
    if not inspect(connection).has_table(table):
        raise Unavailable(f"the {database}'s database holds no tables; start `portcullis serve {_owner(database)}`")
    version = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608 - a name of ours
    if version not in REVISIONS[database]:
        raise Unavailable(f"the {database}'s database belongs to a newer release; start that release")
    if version != REVISIONS[database][-1]:
        raise Unavailable(f"the {database}'s database is not migrated; start `portcullis serve {_owner(database)}`")


def _owner(database: str) -> str:
    return "registry" if database == "registry" else "exchange"


def _demand_forced(connection: Connection, database: str, settings: Settings) -> None:
    if why := what_could_be_lost(connection, database, settings.postgres_storage):
        raise Unavailable(why)


def _forced_head(connection: Connection, settings: Settings) -> int:
    _demand_forced(connection, "registry", settings)
    return connection.scalar(select(func.max(change_log.c.seq))) or 0


def _log(connection: Connection, signer: LogSigner | None) -> LogExamined:
    # In this order, for the log grows meanwhile: what was signed before it was counted is never more than there is.
    remembered, unreadable = _remembered(signer)
    newest = connection.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
    head = connection.execute(select(log_head.c.origin, log_head.c.size)).first()
    origin, entries = (head.origin, head.size) if head else ("", 0)
    signed = newest.size if newest else 0
    return LogExamined(
        entries=entries,
        signed=signed,
        unsigned_since=_recorded_at(connection, signed) if signed < entries else None,
        fault=unreadable or _checkpoint_fault(origin, entries, newest.note if newest else None, remembered, signer),
        is_proven=signer is not None,
        fed_until=float(connection.scalar(select(feed_head.c.ended_until)) or 0),
    )


def _remembered(signer: LogSigner | None) -> tuple[str | None, str]:
    """Give the note that the signer remembers, and why it can't be read; "" when it can."""
    try:
        return (signer.last() if signer else None), ""
    except OSError as fault:
        return None, f"journal.checkpoint, beside the key, can't be read ({fault.strerror})"


def _recorded_at(connection: Connection, sequence: int) -> float | None:
    entry = connection.scalar(select(log.c.entry).where(log.c.sequence == sequence))
    try:
        return decode_entry(entry).recorded_at_ms / 1e3 if entry is not None else None
    except (ValueError, TypeError):
        # Who verifies the journal is told of such an entry.
        return None


def _checkpoint_fault(origin: str, entries: int, note: str | None, remembered: str | None, signer: LogSigner | None) -> str:
    """Say why the journal's newest checkpoint, or that which the signer remembers, does not fit the log; "" when both do."""
    try:
        known = [parse_checkpoint(each) for each in (note, remembered) if each is not None]
        if note is not None and signer is not None and origin:
            read_checkpoint(note, signer.key(origin))
    except CheckpointInvalid as fault:
        return fault.message
    return next((why for each in known if (why := _unfit(each, origin, entries))), "")


def _unfit(checkpoint: Checkpoint, origin: str, entries: int) -> str:
    if checkpoint.origin != origin:
        return "the journal is another log than the one that was signed"
    if checkpoint.size > entries:
        return f"the journal has {entries:,} entries, and {checkpoint.size:,} were signed"
    return ""


def _records_of(folder: Path) -> tuple[int, float | None]:
    """Give how many bytes of records a spool holds, and when the oldest was decided."""
    held, begins = 0, []
    for name, read in segments_in(folder).items():
        # What was shipped meanwhile is gone.
        with suppress(FileNotFoundError):
            waiting = SegmentReading(folder / name, read, lambda _fault: None).waiting()
            held += waiting.size
            begins += [] if waiting.oldest_at is None else [waiting.oldest_at]
    return held, min(begins, default=None)
