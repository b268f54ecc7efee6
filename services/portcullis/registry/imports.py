"""Importing an authority's list: read, normalise, admit, stage, and put in force all at once.

Rules:

1. Nothing takes effect before the last row is read. Then the good rows do, together; or none, if a row of a strict import is
   bad.
2. A bad row is reported with its place, field and reason, never with a value. The others go in.
3. A key stands for one entry, so a row whose key came before is bad, even if it says the same: the first one counts.
4. A full import withdraws the entries that the file no longer has. A row that is there and is bad is no withdrawal: the
   entry of its key stays as it is. When a bad row does not say whose it was, or no row is good, nothing is withdrawn at all,
   and the report says so (`ImportReport.withheld`).
5. A full import of an empty file would withdraw the whole list, and is refused.
6. The same file again changes nothing.
7. An import that takes away more of the list than its guard is held for a second operator (`portcullis.domain.guards`),
   and so is one that adds or amends anything on a list of four eyes; the report says so (`ImportReport.held`). One that
   only reaffirms entries that bind (rule 8) lists nobody, and needs no second person.
8. On a list whose entries lapse every good row reaffirms its entry, as of its beginning (`portcullis.domain.lapses`):
   rule 6 holds for the same file again soon after, and a later one renews.
9. What a person has taken off the list stays off (`portcullis.domain.entry_life`).

Example: a list holds A, B and C; a full import brings A amended, B with a wrong check digit, and D. A is amended, D added, C
withdrawn, B stays, and one row is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from portcullis.domain.entries import EntryDraft
from portcullis.domain.entry_rules import MAX_KEY, Admission, IndexTokens, admit_entry
from portcullis.domain.errors import EntryRejected, InvalidRequest, NotFound
from portcullis.domain.lapses import with_lapse
from portcullis.domain.policies import RestrictedList
from portcullis.ports import Clock, ImportReport, ImportSession, RegistryStore, RowFault
from portcullis.registry.readers.formats import reader_of
from portcullis.registry.readers.rows import BadRow, GoodRow, Row
from portcullis.registry.readers.sources import Meter, Source
from portcullis.registry.seen_keys import SeenKeys

BATCH_ROWS = 2000
"""How many rows are staged at once."""
MAX_FAULTS = 100
"""How many bad rows a report describes; the others are counted."""

Progress = Callable[[int, int], None]
"""Told the bytes read and the bytes in all, every `BATCH_ROWS` rows and at the end."""


class Importer:
    """Imports files. ``index_tokens`` is the registry's `Tokeniser.index_tokens`."""

    def __init__(self, store: RegistryStore, *, index_tokens: IndexTokens, clock: Clock) -> None:
        self._store = store
        self._index_tokens = index_tokens
        self._clock = clock

    def run(
        self,
        list_name: str,
        format_name: str,
        sources: Sequence[Source],
        *,
        actor: str,
        full: bool = False,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import files of one format into one list. Blocks on the files and the database.

        Raises:
            NotFound: no such list.
            InvalidRequest: files that are not of the format, or a full import of no rows.
            SetupFault: a file can't be read any more.
            RegistryUnavailable: the database can't be used; nothing has changed.
        """
        meter = Meter()
        total = sum(source.size for source in sources)
        reader = reader_of(format_name, known_list(self._store, list_name), self._clock.now())
        with self.open(list_name, full=full, strict=strict, actor=actor) as run:
            for count, row in enumerate(reader(sources, meter), start=1):
                run.take(row)
                if progress and count % BATCH_ROWS == 0:
                    progress(meter.read, total)
            report = run.finish()
        if progress:
            progress(total, total)
        return report

    @contextmanager
    def open(self, list_name: str, *, full: bool, strict: bool, actor: str) -> Iterator[ImportRun]:
        """Open an import whose rows the caller brings; leaving it without `ImportRun.finish` takes nothing.

        Raises:
            NotFound: no such list.
        """
        on = known_list(self._store, list_name)
        with self._store.begin_import(list_name, actor=actor) as session, SeenKeys() as seen:
            now = self._clock.now()
            yield ImportRun(session, on, seen, index_tokens=self._index_tokens, now=now, full=full, strict=strict)


def known_list(store: RegistryStore, name: str) -> RestrictedList:
    """Find a list of the policy in force.

    Raises:
        NotFound: the policy has no such list.
    """
    on = store.policy().list_named(name)
    if on is None:
        raise NotFound("no such list in the policy in force; apply a policy that declares it", metadata={"resource": "list"})
    return on


class ImportRun:
    """One import under way. One thread at a time."""

    def __init__(
        self,
        session: ImportSession,
        on: RestrictedList,
        seen: SeenKeys,
        *,
        index_tokens: IndexTokens,
        now: float,
        full: bool,
        strict: bool,
    ) -> None:
        self._session = session
        self._on = on
        self._seen = seen
        self._index_tokens = index_tokens
        self._now = now
        self._full = full
        self._strict = strict
        self._report = ImportReport(list_name=on.name)
        self._waiting: dict[str, tuple[GoodRow, Admission]] = {}
        self._kept: list[str] = []
        self._good = 0
        self._ownerless = False
        self._kinds: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def take(self, row: Row) -> None:
        """Check one row; stage it with others when enough wait.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        self._report.rows += 1
        if isinstance(row, BadRow):
            self._reject(row.file, row.line, row.field, row.reason, row.key)
            return
        try:
            admission = admit_entry(row.draft, self._on, index_tokens=self._index_tokens)
        except EntryRejected as fault:
            field, reason = _told(fault)
            self._reject(row.file, row.line, field, reason, row.draft.key.strip())
            return
        key = admission.entry.key
        if key in self._waiting:
            self._reject_again(row, key, _place(self._waiting[key][0]))
            return
        self._waiting[key] = (row, admission)
        if len(self._waiting) >= BATCH_ROWS:
            self._stage()

    def finish(self) -> ImportReport:
        """Put the good rows in force, or none of a strict import with a bad row, or hold them; then say what was done.

        Raises:
            InvalidRequest: a full import of no rows.
            RegistryUnavailable: the database can't be used; nothing has changed.
        """
        if self._full and not self._report.rows:
            raise InvalidRequest.at("files", "no rows: a full import of them would withdraw the whole list; give its file")
        self._stage()
        report = self._report
        report.identifiers = dict(self._kinds.most_common())
        report.labels = dict(self._labels.most_common())
        report.dropped = dict(self._dropped.most_common())
        if self._strict and report.rejected:
            report.committed = False
        else:
            report.withheld = self._full and (self._ownerless or not self._good)
            self._commit(full=self._full and not report.withheld)
        return report

    def _commit(self, *, full: bool) -> None:
        outcome, report = self._session.commit(full=full), self._report
        report.import_id, report.voided, report.counts = outcome.import_id, outcome.voided, outcome.counts
        report.held, report.shrinkage = outcome.held is not None, outcome.held
        report.committed = not report.held

    def _stage(self) -> None:
        earlier = self._seen.earlier({key: _place(row) for key, (row, _) in self._waiting.items()})
        for key, place in earlier.items():
            self._reject_again(self._waiting.pop(key)[0], key, place)
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._count(waiting)
        if waiting and not (self._strict and self._report.rejected):
            self._session.stage([with_lapse(admission.entry, self._on, self._now) for _, admission in waiting])
        self._keep()

    def _count(self, rows: Sequence[tuple[GoodRow, Admission]]) -> None:
        self._good += len(rows)
        for row, (entry, dropped) in rows:
            self._kinds.update([identifier.kind for identifier in entry.identifiers])
            self._labels.update(row.labels)
            self._dropped.update(row.dropped)
            self._dropped.update(dropped)
            self._report.without_identifier += not entry.identifiers

    def _keep(self) -> None:
        if self._kept:
            self._session.keep(self._kept)
            self._kept = []

    def _reject_again(self, row: GoodRow, key: str, place: str) -> None:
        self._reject(row.file, row.line, "key", f"the key of the row in {place}; give each row its own", key)

    def _reject(self, file: str, line: int, field: str, reason: str, key: str) -> None:
        report = self._report
        report.rejected += 1
        if len(report.faults) < MAX_FAULTS:
            report.faults.append(RowFault(file, line, field, reason))
        if not self._full:
            return
        if 0 < len(key) <= MAX_KEY:
            self._kept.append(key)
        else:
            self._ownerless = True
        if len(self._kept) >= BATCH_ROWS:
            self._keep()


class DraftStream:
    """Feeds drafts that arrive over the wire to an import; rows are named by their place in the stream."""

    def __init__(self, run: ImportRun) -> None:
        self._run = run
        self._rows = 0

    def feed(self, drafts: Sequence[EntryDraft]) -> None:
        """Check and stage rows."""
        for draft in drafts:
            self._rows += 1
            self._run.take(GoodRow("", self._rows, draft))

    def finish(self) -> ImportReport:
        """End the import; see `ImportRun.finish`."""
        return self._run.finish()


def _told(fault: EntryRejected) -> tuple[str, str]:
    first, *others = fault.violations
    return first.field, "; ".join([first.description, *(f"{each.field}: {each.description}" for each in others)])


def _place(row: GoodRow) -> str:
    return f"{row.file}, line {row.line}" if row.file else f"row {row.line}"
