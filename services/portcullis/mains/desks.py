"""What the operators' services work on, joined to an open registry."""

from __future__ import annotations

from portcullis.domain.tokens import Tokeniser
from portcullis.gateway.operators import OperatorDesks
from portcullis.ports import Clock, RegistryStore
from portcullis.registry.entries import EntryDesk
from portcullis.registry.held_imports import HeldImports
from portcullis.registry.imports import Importer
from portcullis.registry.keys import KeyDesk


def operator_desks(store: RegistryStore, tokeniser: Tokeniser, clock: Clock) -> OperatorDesks:
    """Build the desks."""
    importer = Importer(store, index_tokens=tokeniser.index_tokens, clock=clock)
    entries = EntryDesk(store, importer, index_tokens=tokeniser.index_tokens)
    return OperatorDesks(entries, HeldImports(store), KeyDesk(store, clock=clock))
