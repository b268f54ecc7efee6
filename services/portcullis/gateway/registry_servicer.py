"""RegistryService over the registry's desk. Its methods wait for the database, so they run beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.domain.entries import EntryDraft, EntryStatus, GivenIdentifier, SubjectType
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import Disclosure, Measure
from portcullis.gateway.admission import Caller
from portcullis.gateway.answers import EFFECTS
from portcullis.gateway.front import Front, Handlers
from portcullis.ports import (
    HeldImport,
    HeldImportDesk,
    ImportReport,
    ImportStream,
    ListSummary,
    RegistryDesk,
    Shrinkage,
    StoredEntry,
)
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["RegistryService"].full_name
ROLE = "operator"
MAX_ROWS = 1000
MAX_IDENTIFIERS = 64
_MAX_SECONDS = 2**32 - 1

Run = Callable[..., Awaitable[Any]]
"""Runs a function on a thread."""

_TYPES = {
    SubjectType.PERSON: pb.SUBJECT_TYPE_PERSON,
    SubjectType.ORGANISATION: pb.SUBJECT_TYPE_ORGANISATION,
    SubjectType.VESSEL: pb.SUBJECT_TYPE_VESSEL,
    SubjectType.AIRCRAFT: pb.SUBJECT_TYPE_AIRCRAFT,
}
_TYPE_NAMES = {number: str(kind) for kind, number in _TYPES.items()}
_STATUSES = {EntryStatus.IN_FORCE: pb.ENTRY_STATUS_IN_FORCE, EntryStatus.WITHDRAWN: pb.ENTRY_STATUS_WITHDRAWN}
_DISCLOSURES = {
    Disclosure.PUBLIC: types_pb2.DISCLOSURE_PUBLIC,
    Disclosure.RESTRICTED: types_pb2.DISCLOSURE_RESTRICTED,
    Disclosure.AUTHORITY_ONLY: types_pb2.DISCLOSURE_AUTHORITY_ONLY,
}


class RegistryServicer:
    """Answers RegistryService."""

    def __init__(self, desk: RegistryDesk, imports: HeldImportDesk, front: Front) -> None:
        self._desk = desk
        self._imports = imports
        self._front = front

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        unary = self._front.unary
        return {
            "ImportEntries": self._front.client_stream(ROLE, pb.ImportEntriesRequest, self.import_entries),
            "ListHeldImports": unary(ROLE, pb.ListHeldImportsRequest, self.list_held_imports),
            "ApproveImport": unary(ROLE, pb.ApproveImportRequest, self.approve_import),
            "RejectImport": unary(ROLE, pb.RejectImportRequest, self.reject_import),
            "PutEntry": unary(ROLE, pb.PutEntryRequest, self.put_entry),
            "WithdrawEntry": unary(ROLE, pb.WithdrawEntryRequest, self.withdraw_entry),
            "GetEntry": unary(ROLE, pb.GetEntryRequest, self.get_entry),
            "ListEntries": unary(ROLE, pb.ListEntriesRequest, self.list_entries),
            "GetList": unary(ROLE, pb.GetListRequest, self.get_list),
            "ListLists": unary(ROLE, pb.ListListsRequest, self.list_lists),
        }

    async def import_entries(
        self, caller: Caller, parts: AsyncIterator[pb.ImportEntriesRequest]
    ) -> pb.ImportEntriesResponse:
        """Import a stream of rows, all at once or not at all."""
        opening = await anext(parts, None)
        if opening is None or opening.WhichOneof("part") != "opening":
            raise InvalidRequest.at("opening", "the first message must open the import")
        async with self._import(caller, opening.opening) as (stream, run):
            async for part in parts:
                if part.WhichOneof("part") != "rows":
                    raise InvalidRequest.at("rows", "every message after the opening must carry rows")
                if len(part.rows.entries) > MAX_ROWS:
                    raise InvalidRequest.at("rows.entries", f"send at most {MAX_ROWS} rows a message")
                await run(stream.feed, [_draft(entry) for entry in part.rows.entries])
            return _imported(await run(stream.finish))

    @asynccontextmanager
    async def _import(
        self, caller: Caller, opening: pb.ImportEntriesRequest.Opening
    ) -> AsyncIterator[tuple[ImportStream, Run]]:
        """Open an import on one thread of its own: a database session belongs to the thread that opened it."""
        session = self._desk.open_import(
            opening.list, full=opening.mode == pb.IMPORT_MODE_FULL, strict=opening.strict, actor=caller.holder
        )
        with ThreadPoolExecutor(1, thread_name_prefix="import") as thread:
            run: Run = partial(asyncio.get_running_loop().run_in_executor, thread)
            stream = await run(session.__enter__)
            try:
                yield stream, run
            except BaseException as fault:
                await run(session.__exit__, type(fault), fault, fault.__traceback__)
                raise
            await run(session.__exit__, None, None, None)

    async def list_held_imports(self, caller: Caller, request: pb.ListHeldImportsRequest) -> pb.ListHeldImportsResponse:  # noqa: ARG002
        """Give the imports that wait for a second operator."""
        held = await asyncio.to_thread(self._imports.held)
        return pb.ListHeldImportsResponse(held_imports=[_held(each) for each in held])

    async def approve_import(self, caller: Caller, request: pb.ApproveImportRequest) -> pb.ApproveImportResponse:
        """Put a held import in force."""
        outcome = await asyncio.to_thread(
            self._imports.approve, request.import_id, actor=caller.holder, purpose=request.purpose
        )
        counts = outcome.counts
        return pb.ApproveImportResponse(
            added=counts.added,
            amended=counts.amended,
            unchanged=counts.unchanged,
            withdrawn=counts.withdrawn,
            superseded=counts.superseded,
        )

    async def reject_import(self, caller: Caller, request: pb.RejectImportRequest) -> pb.RejectImportResponse:
        """Give a held import up."""
        rejected = await asyncio.to_thread(
            self._imports.reject, request.import_id, actor=caller.holder, purpose=request.purpose
        )
        return pb.RejectImportResponse(held_import=_held(rejected))

    async def put_entry(self, caller: Caller, request: pb.PutEntryRequest) -> pb.PutEntryResponse:
        """Add or amend one entry."""
        draft = _draft(request.entry)
        stored, changed = await asyncio.to_thread(self._desk.put_entry, request.entry.list, draft, actor=caller.holder)
        return pb.PutEntryResponse(entry=_entry(stored), changed=changed)

    async def withdraw_entry(self, caller: Caller, request: pb.WithdrawEntryRequest) -> pb.WithdrawEntryResponse:
        """Take an entry out of force."""
        stored = await asyncio.to_thread(
            self._desk.withdraw_entry, request.list, request.key, reason=request.reason, actor=caller.holder
        )
        return pb.WithdrawEntryResponse(entry=_entry(stored))

    async def get_entry(self, caller: Caller, request: pb.GetEntryRequest) -> pb.GetEntryResponse:
        """Give one entry; the look is noted."""
        stored = await asyncio.to_thread(
            self._desk.get_entry, request.list, request.key, actor=caller.holder, purpose=request.purpose
        )
        return pb.GetEntryResponse(entry=_entry(stored))

    async def list_entries(self, caller: Caller, request: pb.ListEntriesRequest) -> pb.ListEntriesResponse:
        """Give a page of entries; a look at each is noted."""
        entries, token = await asyncio.to_thread(
            self._desk.list_entries,
            request.list,
            page_size=request.page_size,
            page_token=request.page_token,
            actor=caller.holder,
            purpose=request.purpose,
        )
        return pb.ListEntriesResponse(entries=[_entry(each) for each in entries], next_page_token=token)

    async def get_list(self, caller: Caller, request: pb.GetListRequest) -> pb.GetListResponse:  # noqa: ARG002
        """Give one list."""
        return pb.GetListResponse(list=_list(await asyncio.to_thread(self._desk.get_list, request.name)))

    async def list_lists(self, caller: Caller, request: pb.ListListsRequest) -> pb.ListListsResponse:  # noqa: ARG002
        """Give every list."""
        return pb.ListListsResponse(lists=[_list(each) for each in await asyncio.to_thread(self._desk.list_lists)])


def _draft(entry: pb.Entry) -> EntryDraft:
    if len(entry.identifiers) > MAX_IDENTIFIERS:
        raise InvalidRequest.at("entry.identifiers", f"at most {MAX_IDENTIFIERS}")
    return EntryDraft(
        key=entry.key,
        subject_type=_TYPE_NAMES.get(entry.subject_type, ""),
        identifiers=tuple(GivenIdentifier(each.kind, each.value, each.country) for each in entry.identifiers),
        names=tuple(entry.names),
        legal_basis=entry.legal_basis,
        case_reference=entry.case_reference,
        purpose=entry.purpose,
        valid_from=_seconds(entry, "valid_from"),
        until=_seconds(entry, "until"),
        redress=entry.redress,
        measures=tuple(entry.measures),
    )


def _seconds(entry: pb.Entry, field: str) -> int | None:
    if not entry.HasField(field):  # type: ignore[arg-type]
        return None
    seconds: int = getattr(entry, field).seconds
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidRequest.at(f"entry.{field}", "must lie between 1970 and 2106")
    return seconds


def _entry(stored: StoredEntry) -> pb.Entry:
    return pb.Entry(
        list=stored.list,
        key=stored.key,
        subject_type=_TYPES[stored.subject_type],
        legal_basis=stored.legal_basis,
        case_reference=stored.case_reference,
        purpose=stored.purpose,
        valid_from=Timestamp(seconds=stored.valid_from),
        until=Timestamp(seconds=stored.until),
        redress=stored.redress,
        measures=stored.measures,
        status=_STATUSES[stored.status],
        version=stored.version,
        entry_id=stored.entry_id,
    )


def _list(summary: ListSummary) -> pb.RestrictedList:
    each = summary.list
    return pb.RestrictedList(
        name=each.name,
        title=each.title,
        authority=each.authority,
        legal_basis=each.legal_basis,
        purpose=each.purpose,
        disclosure=_DISCLOSURES[each.disclosure],
        redress_url=each.redress_url,
        measures=[_measure(measure) for measure in each.measures],
        entries=summary.in_force,
    )


def _measure(measure: Measure) -> pb.Measure:
    return pb.Measure(
        name=measure.name,
        actions=measure.actions,
        effect=EFFECTS[measure.effect],
        condition=measure.when,
        on_stale=str(measure.on_stale),
        shadow=measure.shadow,
    )


def _imported(report: ImportReport) -> pb.ImportEntriesResponse:
    return pb.ImportEntriesResponse(
        added=report.counts.added,
        amended=report.counts.amended,
        unchanged=report.counts.unchanged,
        withdrawn=report.counts.withdrawn,
        rejected=report.rejected,
        errors=[
            pb.ImportEntriesResponse.RowError(row=fault.line, field=fault.field, description=fault.reason)
            for fault in report.faults
        ],
        held=report.held,
        import_id=report.import_id or 0,
        shrinkage=_shrinkage(report.shrinkage) if report.shrinkage else None,
    )


def _shrinkage(taken: Shrinkage) -> pb.Shrinkage:
    return pb.Shrinkage(lost=taken.lost, in_force=taken.in_force, guard=taken.guard)


def _held(held: HeldImport) -> pb.HeldImport:
    told = pb.HeldImport(
        import_id=held.import_id,
        list=held.list,
        mode=pb.IMPORT_MODE_FULL if held.full else pb.IMPORT_MODE_ADDITIVE,
        importer=held.importer,
        added=held.counts.added,
        amended=held.counts.amended,
        unchanged=held.counts.unchanged,
        withdrawn=held.counts.withdrawn,
        shrinkage=_shrinkage(held.shrinkage),
    )
    told.held_at.FromNanoseconds(int(held.held_at * 1e9))
    return told
