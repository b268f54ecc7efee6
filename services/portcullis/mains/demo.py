"""The demonstration: a policy, eight lists of made-up subjects, a key for each partner, and one for each role.

It is loaded once, into a registry without a policy. A marker file makes a loading that was cut off begin again at the next
start; every step of it changes nothing when it is done already.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from portcullis import demo
from portcullis.adapters.durable_files import write_durably
from portcullis.demo import lists
from portcullis.domain.errors import SetupFault
from portcullis.domain.policies import Policy
from portcullis.mains.homes import run_folder
from portcullis.ports import ApiKeyDesk, Clock, ImportReport, RegistryStore
from portcullis.registry.policy_files import load_policy
from portcullis.registry.readers.sources import Source

PARTNERS = ("ticketing", "ecommerce", "lending", "bikeshare", "callerid")
PEOPLE = {
    "editor": "authority-editor",
    "approver": "authority-approver",
    "reviewer": "reviewer",
    "auditor": "auditor",
}
"""Who keeps the demonstration lists and looks into their disputes, by name; and in which role."""
POLICY = Path(demo.__file__).parent / "policy"

_ACTOR = "demonstration"
_NOTE = "demonstration key"
_MARKER = "demonstration-under-way"
_KEY_FILE = "demo-keys.json"
_PEOPLE_KEY_FILE = "demo-people-keys.json"
_OPERATOR_KEY_FILE = "operator-key"
_OPERATOR = "operator"

Import = Callable[[str, Source], ImportReport]
"""Imports a JSON Lines source into the list named."""


class MemorySource:
    """The lines of a demonstration list, as a file of an import."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._content = content

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self._content)

    def open(self) -> io.BytesIO:
        """Open it at its beginning."""
        return io.BytesIO(self._content)


def load_demonstration(home: Path, store: RegistryStore, keys: ApiKeyDesk, import_rows: Import, clock: Clock) -> bool:
    """Load the demonstration where it belongs; False when the registry has a policy already, or the loading was done.

    Raises:
        SetupFault: a list could not be loaded whole.
        OSError: the key file can't be written.
    """
    marker = run_folder(home) / _MARKER
    if store.policy() != Policy() and not marker.exists():
        return False
    marker.touch()
    store.apply_policy(load_policy(POLICY), actor=_ACTOR)
    today = datetime.fromtimestamp(clock.now(), UTC).date()
    for name in lists.list_files():
        _load_list(name, today, import_rows)
    made = {partner: _fresh_key(keys, partner, "partner") for partner in PARTNERS}
    people = {name: _fresh_key(keys, name, role) for name, role in PEOPLE.items()}
    write_durably(home / _PEOPLE_KEY_FILE, msgspec.json.format(msgspec.json.encode(people)) + b"\n")
    write_durably(home / _KEY_FILE, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    marker.unlink()
    return True


def ensure_operator_key(home: Path, keys: ApiKeyDesk) -> None:
    """Make the operator's key file where there is none."""
    path = home / _OPERATOR_KEY_FILE
    if not path.exists():
        write_durably(path, f"{_fresh_key(keys, _OPERATOR, 'operator')}\n".encode())


def demonstration_keys(home: Path) -> Mapping[str, str]:
    """Give the partners' keys; empty where no demonstration was loaded."""
    try:
        return msgspec.json.decode((home / _KEY_FILE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def _load_list(name: str, today: date, import_rows: Import) -> None:
    report = import_rows(name, MemorySource(f"{name}.jsonl", b"".join(lists.moved_rows(name, today))))
    if report.rejected:
        first = report.faults[0]
        raise SetupFault(
            f"the demonstration list {name} can't be loaded (line {first.line}: {first.field}: {first.reason}); "
            "start with --empty, or use a registry of its own"
        )


def _fresh_key(keys: ApiKeyDesk, holder: str, role: str) -> str:
    # A key whose loading was cut off is known to nobody.
    for lost in keys.list(holder):
        if lost.note == _NOTE and lost.revoked_at is None:
            keys.revoke(lost.key_id, actor=_ACTOR)
    _, key = keys.create(holder, role, _NOTE, actor=_ACTOR)
    return key
