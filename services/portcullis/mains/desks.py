"""What the services of operators, authorities, reviewers and subjects work on, joined to an open registry and journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.redis.alarms import RedisAlarmBoard
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.config import Settings
from portcullis.domain.token_keys import TokenKeys
from portcullis.gateway.operators import OperatorDesks
from portcullis.mains.keys import JOURNAL_KEY, read_key
from portcullis.mains.parts import open_entry_namer, open_rights, open_subjects
from portcullis.mains.stack_file import locate_store
from portcullis.ports import Clock, Journal, RightsStore
from portcullis.registry.aftermath import Aftermath
from portcullis.registry.disputes import Disputes
from portcullis.registry.entries import EntryDesk
from portcullis.registry.held_imports import HeldImports
from portcullis.registry.imports import Importer
from portcullis.registry.keys import KeyDesk
from portcullis.registry.life import EntryLife
from portcullis.registry.reported_names import ReportedNames
from portcullis.registry.subject_codes import SubjectCodes
from portcullis.registry.subject_records import SubjectRecords
from portcullis.registry.subjects import Subjects


class Records(NamedTuple):
    """The databases that the desks work on: the system of record, its rights, and the journal."""

    registry: SqlRegistry
    rights: RightsStore
    journal: Journal


@contextmanager
def open_aftermath(settings: Settings, records: Records, clock: Clock) -> Iterator[Aftermath]:
    """Build what follows when an entry ends, with what followers acknowledge.

    Raises:
        SetupFault: no store is set, or a key file is missing.
    """
    signer = LogSigner(read_key(settings.keys_path, JOURNAL_KEY), settings.keys_path)
    with closing(RedisSnapshotStore(locate_store(settings))) as store:
        yield Aftermath(
            registry=records.registry,
            life=records.registry,
            rights=records.rights,
            journal=records.journal,
            acknowledgements=store,
            signer=signer,
            names=ReportedNames(records.rights, open_subjects(settings)),
            clock=clock,
        )


def open_operator_desks(
    settings: Settings, registry: SqlRegistry, journal: Journal, tokeniser: TokenKeys, *, clock: Clock, held: ExitStack
) -> OperatorDesks:
    """Build the desks; what they hold open is given up with ``held``.

    Raises:
        SetupFault: a key file is missing, or no store is set.
    """
    records = Records(registry, held.enter_context(open_rights(settings, clock)), journal)
    named = open_entry_namer(settings).index_tokens
    codes = SubjectCodes(records.rights, tokeniser=tokeniser, clock=clock)
    seen = SubjectRecords(registry=registry, life=registry, rights=records.rights, journal=journal, clock=clock)
    return OperatorDesks(
        registry=EntryDesk(registry, Importer(registry, index_tokens=named, clock=clock)),
        imports=HeldImports(registry),
        keys=KeyDesk(registry, clock=clock),
        life=EntryLife(registry, index_tokens=named, clock=clock),
        disputes=Disputes(registry, registry, records.rights, clock=clock),
        subjects=Subjects(
            registry,
            records.rights,
            journal,
            tokeniser=tokeniser,
            codes=codes,
            verifier=codes,
            records=seen,
            names=ReportedNames(records.rights, open_subjects(settings)),
            clock=clock,
        ),
        aftermath=held.enter_context(open_aftermath(settings, records, clock)),
        alarms=held.enter_context(closing(RedisAlarmBoard(locate_store(settings)))),
    )
