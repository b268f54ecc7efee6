"""What is told of the keys of a home: each with its age and state, and none of them shown."""
# ruff: noqa: PLC0415 - each part is imported where it is asked for; a gateway's host has few of them

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portcullis.adapters.key_wrapping import SealFile, seal_files
from portcullis.config import Settings
from portcullis.domain.errors import PortcullisError, SetupFault
from portcullis.domain.token_keys import FIRST_EPOCH, key_file_name
from portcullis.mains.keys import ENTRY_KEY, FEED_KEY, JOURNAL_KEY, RECORD_KEY, read_key, trust_folder
from portcullis.mains.token_keys import FolderTokenKeys, epochs_in
from portcullis.ports import Clock
from portcullis.ports.home_keys import HomeKey
from portcullis.ports.token_keys import KeyState, KnownTokenKey
from portcullis.private_files import is_exposed

if TYPE_CHECKING:
    from portcullis.adapters.sql.registry.registry import SqlRegistry

YEAR_DAYS: Final = 365

_STATES: Final = {KeyState.IN_USE: "in use", KeyState.LEAVING: "leaving", KeyState.LEFT: "kept"}
_PLAIN: Final = (
    (FEED_KEY, "makes the names that partners know entries by", None),
    (ENTRY_KEY, "tells the registry's entries apart", None),
    (RECORD_KEY, "opens what the journal keeps sealed", None),
    (JOURNAL_KEY, "signs the journal's checkpoints", None),
)
"""The key files that have no epochs: what for, and how many days old each may get."""


class KeyLook:
    """Looks at the keys of one home.

    Args:
        settings: of the home.
        clock: says which API keys have ended.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._folder = settings.keys_path.absolute()
        self._clock = clock

    def report(self) -> Sequence[HomeKey]:
        """Give every key of the home; what can't be looked at is left out."""
        found = [*self._token_keys(), *self.seal_keys(), *self._plain_keys()]
        for more in (self._feed_keys, self._set_keys, self._role_keys, self._api_keys):
            with suppress(PortcullisError, OSError):
                found += more()
        return found

    def known_token_keys(self) -> Sequence[KnownTokenKey]:
        """Give what the registry knows of token keys.

        Raises:
            SetupFault: it is not here.
            RegistryUnavailable: it can't be used.
        """
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry

        demand_database("registry", self._settings.registry_database_url)
        with open_registry(self._settings, FolderTokenKeys(self._folder), self._clock) as registry:
            return registry.token_keys()

    @contextmanager
    def _registry(self) -> Iterator[SqlRegistry]:
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry_to_look

        demand_database("registry", self._settings.registry_database_url)
        with open_registry_to_look(self._settings, FolderTokenKeys(self._folder), self._clock) as registry:
            with suppress(SetupFault):
                # One that was never opened notes its first key. That another is missing is what is told here.
                registry.check_token_keys()
            yield registry

    def _token_keys(self) -> Iterator[HomeKey]:
        known: dict[int, KnownTokenKey] = {}
        registry_here = True
        try:
            with self._registry() as registry:
                known = {key.epoch: key for key in registry.token_keys()}
        except (PortcullisError, OSError):
            registry_here = False
        newest = max(known, default=0)
        for epoch in sorted({*epochs_in(self._folder), *known, *([] if known else [FIRST_EPOCH])}, reverse=True):
            noted = known.get(epoch)
            if noted is None:
                state = "held" if not registry_here else "next" if epoch > newest else "kept"
                yield self.token_key(epoch, state)
                continue
            here = self.token_key(epoch, _STATES[noted.state])
            numbers = f"{noted.numbers} redress numbers count under it" if noted.numbers else ""
            if here.fingerprint and here.fingerprint != noted.fingerprint:
                here = here._replace(state="damaged", note=f"the registry's has the fingerprint {noted.fingerprint}")
            elif noted.state is KeyState.LEFT:
                here = here._replace(note=numbers)
            yield here._replace(fingerprint=here.fingerprint or noted.fingerprint)

    def token_key(self, epoch: int, state: str) -> HomeKey:
        """Tell the token key of an epoch, which stands so if its file is whole."""
        path = self._folder / key_file_name(epoch)
        found = FolderTokenKeys(self._folder).of_epoch(epoch)
        return HomeKey(
            name="token",
            purpose="makes tokens of identifiers",
            state=state if found else _why_not(path),
            file=str(path),
            epoch=epoch,
            fingerprint=found.fingerprint if found else "",
            made_at=_made_at(path),
            most_days=YEAR_DAYS,
            exposed=is_exposed(path),
        )

    def seal_keys(self) -> Iterator[HomeKey]:
        """Tell the seal keys, the newest first."""
        files: list[SealFile] = []
        with suppress(OSError):
            files = seal_files(self._folder)
        files = files or [SealFile(self._folder / "seal.key", 1, is_next=False)]
        newest = max((each.epoch for each in files if not each.is_next), default=0)
        for each in reversed(files):
            fingerprint = ""
            with suppress(SetupFault):
                fingerprint = fingerprint_of("seal.key", read_key(self._folder, each.path.name))
            state = "next" if each.is_next else "in use" if each.epoch == newest else "leaving"
            yield HomeKey(
                name="seal",
                purpose="opens what the registry keeps sealed",
                state=state if fingerprint else _why_not(each.path),
                file=str(each.path),
                epoch=each.epoch,
                fingerprint=fingerprint,
                made_at=_made_at(each.path),
                most_days=2 * YEAR_DAYS,
                exposed=is_exposed(each.path),
            )

    def _plain_keys(self) -> Iterator[HomeKey]:
        for name, purpose, most_days in _PLAIN:
            path = self._folder / name
            fingerprint = ""
            with suppress(SetupFault):
                fingerprint = fingerprint_of(name, read_key(self._folder, name))
            yield HomeKey(
                name=name.removesuffix(".key"),
                purpose=purpose,
                state="in use" if fingerprint else _why_not(path),
                file=str(path),
                fingerprint=fingerprint,
                made_at=_made_at(path),
                most_days=most_days,
                exposed=is_exposed(path),
            )

    def _feed_keys(self) -> Iterator[HomeKey]:
        with self._registry() as registry:
            rotated = registry.feed_epochs()
            partners = [each.name for each in registry.policy().partners]
        first = _made_at(self._folder / FEED_KEY)
        for name in partners:
            epoch, since = rotated.get(name, (FIRST_EPOCH, first))
            yield HomeKey(
                name=f"feed:{name}",
                purpose="derived from feed.key for this partner alone",
                state="in use",
                epoch=epoch,
                made_at=since,
                most_days=2 * YEAR_DAYS,
            )

    def _set_keys(self) -> Iterator[HomeKey]:
        path = self._folder / "set.key"
        if path.exists():
            yield HomeKey(
                name="set",
                purpose="signs security events",
                state="in use",
                file=str(path),
                made_at=_made_at(path),
                most_days=YEAR_DAYS,
                exposed=is_exposed(path),
            )

    def _role_keys(self) -> Iterator[HomeKey]:
        from portcullis.adapters.tuf.ceremony import TrustCeremony

        folder = trust_folder(self._folder)
        if not (folder / "targets.json").exists():
            return
        for role in TrustCeremony(folder, self._clock).roles():
            for key in role.keys:
                path = Path(key.uri.removeprefix("file:")) if key.uri.startswith("file:") else None
                yield HomeKey(
                    name=f"role:{role.role}",
                    purpose="signs snapshots",
                    state={"here": "in use", "not here": "elsewhere"}.get(key.state.value, "damaged"),
                    file=str(path or key.uri),
                    fingerprint=key.key_id[:16],
                    made_at=key.made_at,
                    most_days=YEAR_DAYS,
                    exposed=is_exposed(path) if path else False,
                    note=key.fault,
                )

    def _api_keys(self) -> Iterator[HomeKey]:
        now = self._clock.now()
        with self._registry() as registry:
            made = registry.keys(None)
        keys = [key for key in made if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)]
        for holder in sorted({key.holder for key in keys}):
            own = [key for key in keys if key.holder == holder]
            count = f"{len(own)} keys, the oldest shown" if len(own) > 1 else ""
            oldest = min(own, key=lambda key: key.created_at)
            yield HomeKey(
                name=f"api:{holder}",
                purpose="proves who calls",
                state="in use",
                fingerprint=oldest.key_id,
                made_at=oldest.created_at,
                most_days=YEAR_DAYS,
                note=count,
            )


def fingerprint_of(name: str, key: bytes) -> str:
    """Give the fingerprint of a key file that makes no tokens: keyed BLAKE2b (RFC 7693) of its name, 16 digits."""
    return blake2b(name.encode(), key=key, person=b"fingerprint", digest_size=8).hexdigest()


def _why_not(path: Path) -> str:
    try:
        path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "unreadable"
    return "damaged"


def _made_at(path: Path) -> float | None:
    with suppress(OSError):
        return path.stat().st_mtime
    return None
