"""RegistryService over the registry's desk: imports, and what is read of lists and entries.

The steps of entries stand in `portcullis.gateway.servicers.life`, what follows their end in
`portcullis.gateway.servicers.aftermath`. All of them wait for the database, so they run beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from portcullis.domain.errors import InvalidRequest
from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.entries import read_draft, write_entry, write_held, write_list, write_report
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.ports import HeldImport, HeldImportDesk, ImportOutcome, ImportStream, ListSummary, RegistryDesk
from portcullis.v1 import registry_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["RegistryService"].full_name
MAX_ROWS = 1000

Run = Callable[..., Awaitable[Any]]
"""Runs a function on a thread."""


class RegistryServicer:
    """Answers the part of RegistryService that imports and reads."""

    def __init__(self, desk: RegistryDesk, imports: HeldImportDesk, scopes: Scopes, front: Front) -> None:
        self._desk = desk
        self._imports = imports
        self._scopes = scopes
        self._front = front

    def handlers(self) -> Handlers:
        """Give these methods."""
        front, unary = self._front, self._front.unary
        return {
            "ImportEntries": front.client_stream(f"{SERVICE}/ImportEntries", pb.ImportEntriesRequest, self.import_entries),
            "ListHeldImports": unary(f"{SERVICE}/ListHeldImports", pb.ListHeldImportsRequest, self.list_held_imports),
            "ApproveImport": unary(f"{SERVICE}/ApproveImport", pb.ApproveImportRequest, self.approve_import),
            "RejectImport": unary(f"{SERVICE}/RejectImport", pb.RejectImportRequest, self.reject_import),
            "GetEntry": unary(f"{SERVICE}/GetEntry", pb.GetEntryRequest, self.get_entry),
            "ListEntries": unary(f"{SERVICE}/ListEntries", pb.ListEntriesRequest, self.list_entries),
            "GetList": unary(f"{SERVICE}/GetList", pb.GetListRequest, self.get_list),
            "ListLists": unary(f"{SERVICE}/ListLists", pb.ListListsRequest, self.list_lists),
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
                await run(stream.feed, [read_draft(entry) for entry in part.rows.entries])
            return write_report(await run(stream.finish))

    @asynccontextmanager
    async def _import(
        self, caller: Caller, opening: pb.ImportEntriesRequest.Opening
    ) -> AsyncIterator[tuple[ImportStream, Run]]:
        """Open an import on one thread of its own: a database session belongs to the thread that opened it."""
        session = await self._scopes.on(
            caller,
            opening.list,
            self._desk.open_import,
            opening.list,
            full=opening.mode == pb.IMPORT_MODE_FULL,
            strict=opening.strict,
            actor=caller.holder,
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
        """Give the imports that wait for a second person."""

        def held(scope: Scope) -> list[HeldImport]:
            return [each for each in self._imports.held() if scope.covers(each.list)]

        found = await self._scopes.across(caller, held)
        return pb.ListHeldImportsResponse(held_imports=[write_held(each) for each in found])

    async def approve_import(self, caller: Caller, request: pb.ApproveImportRequest) -> pb.ApproveImportResponse:
        """Put a held import in force."""

        def approve(scope: Scope) -> ImportOutcome:
            self._demand_import(scope, request.import_id)
            return self._imports.approve(request.import_id, actor=caller.holder, purpose=request.purpose)

        counts = (await self._scopes.across(caller, approve)).counts
        return pb.ApproveImportResponse(
            added=counts.added,
            amended=counts.amended,
            unchanged=counts.unchanged,
            withdrawn=counts.withdrawn,
            superseded=counts.superseded,
        )

    async def reject_import(self, caller: Caller, request: pb.RejectImportRequest) -> pb.RejectImportResponse:
        """Give a held import up."""

        def reject(scope: Scope) -> HeldImport:
            self._demand_import(scope, request.import_id)
            return self._imports.reject(request.import_id, actor=caller.holder, purpose=request.purpose)

        return pb.RejectImportResponse(held_import=write_held(await self._scopes.across(caller, reject)))

    def _demand_import(self, scope: Scope, import_id: int) -> None:
        """Refuse an import of a list outside, and for a limited key one that is not held, which may be of any list."""
        if scope.lists:
            scope.found(
                "import_id", self._imports.held, lambda held: [each.list for each in held if each.import_id == import_id]
            )

    async def get_entry(self, caller: Caller, request: pb.GetEntryRequest) -> pb.GetEntryResponse:
        """Give one entry; the look is noted."""
        stored = await self._scopes.on(
            caller,
            request.list,
            self._desk.get_entry,
            request.list,
            request.key,
            actor=caller.holder,
            purpose=request.purpose,
        )
        return pb.GetEntryResponse(entry=write_entry(stored))

    async def list_entries(self, caller: Caller, request: pb.ListEntriesRequest) -> pb.ListEntriesResponse:
        """Give a page of entries; a look at each is noted."""
        entries, token = await self._scopes.on(
            caller,
            request.list,
            self._desk.list_entries,
            request.list,
            page_size=request.page_size,
            page_token=request.page_token,
            actor=caller.holder,
            purpose=request.purpose,
        )
        return pb.ListEntriesResponse(entries=[write_entry(each) for each in entries], next_page_token=token)

    async def get_list(self, caller: Caller, request: pb.GetListRequest) -> pb.GetListResponse:
        """Give one list."""
        summary = await self._scopes.on(caller, request.name, self._desk.get_list, request.name)
        return pb.GetListResponse(list=write_list(summary))

    async def list_lists(self, caller: Caller, request: pb.ListListsRequest) -> pb.ListListsResponse:  # noqa: ARG002
        """Give every list that the caller's key covers."""

        def within(scope: Scope) -> list[ListSummary]:
            return [each for each in self._desk.list_lists() if scope.covers(each.list.name)]

        return pb.ListListsResponse(lists=[write_list(each) for each in await self._scopes.across(caller, within)])
