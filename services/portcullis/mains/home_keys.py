"""The keys of a home, changed: what `portcullis keys` works on. `portcullis.mains.key_report` tells how they are."""
# ruff: noqa: PLC0415 - each part is imported where it is asked for; a gateway's host has few of them

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

from portcullis.adapters.durable_files import create_durably, sync_folder
from portcullis.adapters.key_wrapping import SealFile, seal_files
from portcullis.config import Settings
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import KeyChangeRefused, SetupFault
from portcullis.domain.token_keys import FIRST_EPOCH, key_file_name
from portcullis.mains.key_report import KeyLook
from portcullis.mains.keys import KEY_BYTES, read_key
from portcullis.mains.token_keys import FolderTokenKeys
from portcullis.metrics import KeyMetrics
from portcullis.ports import Clock
from portcullis.ports.home_keys import HomeKey, HomeKeys, HostKeys
from portcullis.ports.token_keys import Rewrapped

_NOTED_EVERY_S: Final = 3600.0

_log = structlog.get_logger(__name__)


class FolderKeys:
    """Implements `portcullis.ports.home_keys.HomeKeys`.

    Args:
        settings: of the home.
        clock: dates what is done.
        randomness: makes keys.
    """

    def __init__(self, settings: Settings, clock: Clock, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self._settings = settings
        self._folder = settings.keys_path.absolute()
        self._clock = clock
        self._randomness = randomness
        self._look = KeyLook(settings, clock)

    def report(self) -> Sequence[HomeKey]:
        """Give every key of the home; what can't be looked at is left out."""
        return self._look.report()

    def make_token_key(self) -> HomeKey:
        """Make the file of the next token key; one that waits already is given again.

        Raises:
            SetupFault: the folder can't be written, the key in use is missing, or the one that waits is damaged.
        """
        epoch = self._newest_known() + 1
        path = self._folder / key_file_name(epoch)
        try:
            create_durably(path, f"{self._randomness(KEY_BYTES).hex()}\n".encode())
        except OSError as fault:
            raise SetupFault(f"{path} can't be made ({fault.strerror}); make the folder writable") from fault
        # One that lies there already may be damaged, which this tells.
        read_key(self._folder, path.name)
        return self._look.token_key(epoch, "next")

    def make_seal_key(self) -> HomeKey:
        """Make the file of the next seal key; one that waits already is given again.

        Raises:
            SetupFault: the folder can't be written or read, or the one that waits is damaged.
        """
        files = self._seal_files()
        waiting = [each for each in files if each.is_next]
        if not waiting:
            epoch = max((each.epoch for each in files), default=0) + 1
            path = self._folder / f"seal.{epoch}.key.next"
            try:
                create_durably(path, f"{self._randomness(KEY_BYTES).hex()}\n".encode())
            except OSError as fault:
                raise SetupFault(f"{path} can't be made ({fault.strerror}); make the folder writable") from fault
        for each in waiting:
            read_key(self._folder, each.path.name)
        return next(each for each in self._look.seal_keys() if each.state == "next")

    def switch_seal_key(self, *, progress: Callable[[int], object] = lambda _: None) -> tuple[int, Rewrapped]:
        """Seal under the next key from now on, and wrap all that is sealed under it; gives its epoch, and what was done.

        Again is no fault: what was broken off goes on.

        Raises:
            KeyChangeRefused: there is no other key than the one that everything is sealed under.
            SetupFault: the registry is not here, the next key is damaged, or the folder can't be written.
            RegistryUnavailable: it can't be used.
        """
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry

        demand_database("registry", self._settings.registry_database_url)
        files = self._seal_files()
        if len(files) < 2:
            raise KeyChangeRefused("there is no next seal key here; make it with `portcullis keys rotate seal`")
        for each in files:
            if each.is_next:
                # Once it wraps, a damaged one would hold everything up.
                read_key(self._folder, each.path.name)
                try:
                    each.path.rename(each.path.with_suffix(""))
                    sync_folder(self._folder)
                except OSError as fault:
                    raise SetupFault(f"{each.path} can't be renamed ({fault.strerror})") from fault
        with open_registry(self._settings, FolderTokenKeys(self._folder), self._clock) as registry:
            return files[-1].epoch, registry.rewrap(progress=progress)

    def retire_seal_key(self, epoch: int) -> str:
        """Delete a former seal key's file; gives it.

        Raises:
            KeyChangeRefused: something is wrapped under another key than the one in use, or it is the one in use.
            SetupFault: the registry is not here, or the folder can't be read.
            RegistryUnavailable: it can't be used.
        """
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry

        # Opening one that is not here would make it, and nothing is wrapped in an empty one.
        demand_database("registry", self._settings.registry_database_url)
        files = self._seal_files()
        found = next((each for each in files if each.epoch == epoch), None)
        if found is None or found.is_next or epoch == max(each.epoch for each in files if not each.is_next):
            raise KeyChangeRefused(f"the seal key of epoch {epoch} is none that was left; see `portcullis keys`")
        with open_registry(self._settings, FolderTokenKeys(self._folder), self._clock) as registry:
            left = registry.retire_seal_key(lambda: _deleted(found.path))
        if left.changed or left.unreadable:
            raise KeyChangeRefused(
                f"{left.changed + left.unreadable:,} rows are wrapped under another key than the one in use; "
                "run `portcullis keys switch seal` again, here and on the registry's other hosts"
            )
        return str(found.path)

    def rotate_feed_key(self, partner: str, *, actor: str, why: str) -> int:
        """Have a partner know every entry by another name from now on; gives the epoch of its key.

        Raises:
            NotFound: the policy in force has no such partner.
            SetupFault: the registry is not here.
            RegistryUnavailable: it can't be used.
        """
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry

        demand_database("registry", self._settings.registry_database_url)
        with open_registry(self._settings, FolderTokenKeys(self._folder), self._clock) as registry:
            return registry.rotate_feed_key(partner, note=StepNote(actor=actor, why=why))

    def hosts(self) -> Sequence[HostKeys]:
        """Say which token keys each host that follows holds, and how far it has come.

        Raises:
            SetupFault: no store is set, and no stack runs on this home.
            StoreUnavailable: nobody can be asked.
        """
        from portcullis.adapters.redis.store import RedisSnapshotStore
        from portcullis.mains.stack_file import locate_store

        with closing(RedisSnapshotStore(locate_store(self._settings))) as store:
            return [HostKeys(each.host, each.token_keys, each.at, each.registry_seq) for each in store.acknowledged()]

    def switch_token_key(self, *, actor: str, why: str, force: bool) -> int:
        """Write with the next token key from now on; gives its epoch.

        Raises:
            KeyChangeRefused: a host does not have it or none is heard of, there is none, or another change is under way.
            SetupFault: the registry is not here, or no store is set and no stack runs on this home.
            RegistryUnavailable: it can't be used.
            StoreUnavailable: the hosts can't be asked.
        """
        from portcullis.mains.parts import open_registry

        epoch = self._newest_known() + 1
        held = FolderTokenKeys(self._folder)
        key = held.of_epoch(epoch)
        if key is None:
            raise KeyChangeRefused(f"{key_file_name(epoch)} is not here; make it with `portcullis keys rotate token`")
        if not force:
            self._demand_everywhere(key.fingerprint, key_file_name(epoch))
        with open_registry(self._settings, held, self._clock) as registry:
            registry.switch_token_key(epoch, note=StepNote(actor=actor, why=why))
        return epoch

    def retire_token_key(self, epoch: int, *, actor: str, why: str, force: bool) -> str:
        """Forget a token key that was left and delete its file; gives the file.

        Raises:
            NotFound: there is no such key.
            KeyChangeRefused: something stands under it, or a host may hold a snapshot that names it.
            SetupFault: a part is not here.
            RegistryUnavailable, JournalUnavailable: a database can't be used.
            StoreUnavailable: the hosts can't be asked.
        """
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_registry

        demand_database("registry", self._settings.registry_database_url)
        held = FolderTokenKeys(self._folder)
        with open_registry(self._settings, held, self._clock) as registry:
            noted = registry.token_keys()
            path = self._folder / key_file_name(epoch)
            if epoch not in {key.epoch for key in noted} and epoch < noted[0].epoch and path.exists():
                # It was retired, and this was broken off before its file was gone.
                return _deleted(path)
            known = next((key for key in noted if key.epoch == epoch), None)
            if not force and known is not None and known.left_at is not None:
                self._demand_past(registry.token_key_named_until(epoch), path.name)
                self._demand_no_decisions(known.left_at, path.name)
            registry.retire_token_key(epoch, note=StepNote(actor=actor, why=why))
        return _deleted(path)

    def _demand_everywhere(self, fingerprint: str, name: str) -> None:
        hosts = self.hosts()
        if not hosts:
            raise KeyChangeRefused(
                "no host has said which keys it has; start a follower, or wait ten seconds where one runs, and switch "
                "again. If no gateway is left to ask, switch with --force and --why"
            )
        without = [each.host for each in hosts if fingerprint not in each.fingerprints]
        if without:
            raise KeyChangeRefused(
                f"{name} is not on {', '.join(without)}; copy it to the folder of their keys, or, if they are gone for "
                "good, switch with --force and --why"
            )

    def _demand_past(self, change: int, name: str) -> None:
        """Demand that every host is past the last change up to which snapshots name a key: it opens none without the key."""
        if self._stands_alone():
            return
        hosts = self.hosts()
        if not hosts:
            raise KeyChangeRefused(
                "no host has said which snapshot it serves; start a follower, or wait ten seconds where one runs, and "
                "retire the key again. If no gateway is left to ask, retire it with --force and --why"
            )
        behind = [each.host for each in hosts if each.registry_seq < change]
        if behind:
            raise KeyChangeRefused(
                f"{', '.join(behind)} may serve a snapshot that names {name}, and could not open it again without; see that "
                "the publisher and the followers run and wait for the next, or, if they are gone for good, retire it with "
                "--force and --why"
            )

    def _stands_alone(self) -> bool:
        """Say whether nobody can follow: no store is set or runs, and the registry is this home's own."""
        from portcullis.mains.stack_file import running_stack

        return not (self._settings.redis_url or self._settings.registry_url or running_stack(self._settings.home))

    def _demand_no_decisions(self, left_at: float, name: str) -> None:
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_journal

        # Opening one that is not here would make it, and an empty one has none.
        demand_database("journal", self._settings.journal_database_url)
        with open_journal(self._settings, self._clock) as journal:
            found = journal.decisions_before(left_at)
        if found:
            raise KeyChangeRefused(
                f"{found:,} decisions were recorded while {name} was looked under; without it nobody finds theirs by a "
                "document. Keep it as long as they are kept, or retire it with --force and --why"
            )

    def _seal_files(self) -> Sequence[SealFile]:
        try:
            return seal_files(self._folder)
        except OSError as fault:
            raise SetupFault(
                f"the folder of the keys {self._folder} can't be read ({fault.strerror}); give it to this user, or set "
                "PORTCULLIS_KEYS_DIR"
            ) from fault

    def _newest_known(self) -> int:
        known = self._look.known_token_keys()
        return known[0].epoch if known else FIRST_EPOCH


def _deleted(path: Path) -> str:
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as fault:
        raise SetupFault(
            f"nothing needs {path} any more, but it can't be deleted ({fault.strerror}); mend that, and retire it again"
        ) from fault
    return str(path)


def note_key_ages(keys: HomeKeys, clock: Clock, counts: KeyMetrics, stop: threading.Event) -> None:
    """Note once an hour how old the keys in use are, until told to stop. What can't be told now may be in an hour."""
    while True:
        try:
            counts.ages(_ages(keys.report(), clock.now()))
        except Exception as fault:  # noqa: BLE001 - a figure is not worth the process; the class alone: a text may hold anything
            _log.warning("the ages of the keys can't be told", fault=type(fault).__name__)
        if stop.wait(_NOTED_EVERY_S):
            return


def _ages(keys: Sequence[HomeKey], now: float) -> dict[str, float]:
    ages: dict[str, float] = {}
    for key in keys:
        age = key.age_days(now)
        if key.state == "in use" and age is not None:
            ages[key.name] = max(age, ages.get(key.name, 0.0))
    return ages
