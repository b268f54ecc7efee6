"""The wiring of the command line: what `portcullis.cli` asks for, made of adapters and services.

Each import stands where it is needed: one command needs gRPC, another SQL, and `portcullis --help` neither.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.adapters.clock import SystemClock

if TYPE_CHECKING:
    import grpc

    from portcullis.adapters.log_signing import LogSigner
    from portcullis.cli.examined import Exposure, LogExamined, SpoolExamined
    from portcullis.cli.progress import Progress
    from portcullis.cli.wiring import DevCertificates, Tls
    from portcullis.client import Client, Identifier
    from portcullis.client.operating import StaffClient
    from portcullis.config import Settings
    from portcullis.domain.alarms import Board
    from portcullis.domain.checkpoints import VerifierKey
    from portcullis.domain.entries import EntryDraft
    from portcullis.domain.errors import PolicyProblem
    from portcullis.domain.log_findings import LogFinding, Verified
    from portcullis.domain.policies import Policy
    from portcullis.ports import (
        ApiKeyDesk,
        CaseCount,
        DecisionRecord,
        HeldImportDesk,
        ImportReport,
        Journal,
        KeyCeremony,
        RegistryStore,
        Replay,
        Replica,
        ReportedBy,
        SnapshotStore,
        TimeKeeper,
        TrustedSnapshots,
    )
    from portcullis.ports.home_keys import HomeKeys
    from portcullis.ports.relay import StreamDesk
    from portcullis.ports.timelines import Timeline


class ProcessWiring:
    """Implements `portcullis.cli.wiring.Wiring` for this process; the docstrings stand there."""

    def __init__(self, clock: TimeKeeper | None = None) -> None:
        self.clock: TimeKeeper = clock or SystemClock()

    def actor(self) -> str:
        """Name the operating system's user."""
        try:
            # Not what LOGNAME says: whoever sets that could approve an import of their own.
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            # A container may run under a number that has no name.
            return f"uid-{os.getuid()}"

    def settings(self, **given: object) -> Settings:
        """Read the settings."""
        from portcullis.mains.configuring import read_settings

        return read_settings(**given)

    def gateway_target(self, settings: Settings, *, tls: bool = False) -> str:
        """Find the gateway of this home."""
        from portcullis.mains.listening import dialled, health_socket_path
        from portcullis.mains.stack_file import running_stack

        stack = running_stack(settings.home)
        if stack is None:
            return dialled(settings.grpc_host, settings.grpc_port)
        socket = health_socket_path(settings.home)
        return stack.grpc if tls or not socket.exists() else f"unix:{socket}"

    def client(self, target: str, api_key: str | None, timeout_s: float, tls: Tls | None = None) -> Client:
        """Open the SDK's client."""
        from portcullis.client import Client

        return Client(target, api_key=api_key, timeout_s=timeout_s, credentials=_channel_credentials(tls))

    def staff_client(self, target: str, api_key: str | None, timeout_s: float, tls: Tls | None = None) -> StaffClient:
        """Open the SDK's client of those who keep lists."""
        from portcullis.client.operating import StaffClient

        return StaffClient(target, api_key=api_key, timeout_s=timeout_s, credentials=_channel_credentials(tls))

    def dev_certificates(self, settings: Settings, folder: Path, partners: Sequence[str]) -> DevCertificates:
        """Make throw-away certificates."""
        from portcullis.adapters.dev_ca import write_dev_ca
        from portcullis.cli.wiring import DevCertificates
        from portcullis.domain.errors import InvalidRequest
        from portcullis.domain.policy_places import MAX_NAME_LENGTH, NAME

        if any(len(name) > MAX_NAME_LENGTH or not NAME.fullmatch(name) for name in partners):
            raise InvalidRequest.at("partner", "a partner's name has small letters, digits and single hyphens")
        known: dict[str, Sequence[str]] = {}
        if not partners or Path(settings.home / "registry.db").is_file():
            with self.registry(settings) as registry:
                known = {each.name: each.certificates for each in registry.policy().partners}
        wanted = sorted(set(partners)) or sorted(known)
        names = {name: known.get(name) or (f"spiffe://portcullis.example/partner/{name}",) for name in wanted}
        unknown = [name for name in wanted if not known.get(name)]
        return DevCertificates(write_dev_ca(folder, names, self.clock), names, unknown)

    @contextmanager
    def registry(self, settings: Settings) -> Iterator[RegistryStore]:
        """Open the registry."""
        from portcullis.mains.parts import open_registry, open_token_keys

        with open_registry(settings, open_token_keys(settings), self.clock) as registry:
            yield registry

    def api_keys(self, registry: RegistryStore) -> ApiKeyDesk:
        """Open the key desk."""
        from portcullis.registry.keys import KeyDesk

        return KeyDesk(registry, clock=self.clock)

    def held_imports(self, registry: RegistryStore) -> HeldImportDesk:
        """Open the desk of held imports."""
        from portcullis.registry.held_imports import HeldImports

        return HeldImports(registry)

    @contextmanager
    def journal(self, settings: Settings) -> Iterator[Journal]:
        """Open the journal."""
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_journal

        demand_database("journal", settings.journal_database_url)
        with open_journal(settings, self.clock) as journal:
            yield journal

    def reported_names(self, settings: Settings, identifiers: Sequence[Identifier]) -> ReportedBy:
        """Find the entries of whoever has these identifiers, and by what partners may have reported about them."""
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_rights, open_subjects, open_token_keys
        from portcullis.registry.reported_names import ReportedNames

        demand_database("registry", settings.registry_database_url)
        probes: list[tuple[bytes, bool]] = []
        for key in open_token_keys(settings).held():
            for each in identifiers:
                key.probes(each.kind, each.value, each.country, probes)
        certain = [token for token, weak in probes if not weak]
        with self.registry(settings), open_rights(settings, self.clock) as rights:
            found = [each.entry_id for each in rights.entries_of(certain)]
            return ReportedNames(rights, open_subjects(settings)).of(found)

    def case_counts(self, settings: Settings) -> Sequence[CaseCount]:
        """Count the closed cases."""
        from portcullis.mains.examining import demand_database
        from portcullis.mains.parts import open_rights

        demand_database("registry", settings.registry_database_url)
        with self.registry(settings), open_rights(settings, self.clock) as rights:
            return rights.counted()

    def replay(self, settings: Settings, record: DecisionRecord) -> Replay:
        """Make a decision again."""
        from portcullis.exchange.replaying import replay
        from portcullis.mains.examining import demand_database

        demand_database("registry", settings.registry_database_url)
        with self.registry(settings) as registry:
            return replay(record, registry)

    def verify_journal(
        self,
        settings: Settings,
        *,
        given: str | None,
        key: VerifierKey | None,
        found: Callable[[LogFinding], None],
        progress: Progress | None,
    ) -> Verified:
        """Verify the whole journal."""
        from portcullis.adapters.log_signing import remembered
        from portcullis.domain.log_findings import Note, Place
        from portcullis.exchange.verifying import verify_log

        key_of = (lambda _: key) if key is not None else _log_signer(settings).key
        places = ((Place.GIVEN, given), (Place.SIGNER, remembered(settings.keys_path)))
        kept = [Note(place, note) for place, note in places if note is not None]
        with self.journal(settings) as journal:
            return verify_log(journal, key_of, kept, found=found, progress=progress)

    def verify_certificate(self, settings: Settings, text: str, key: str) -> dict[str, object]:
        """Verify a release certificate."""
        import msgspec

        from portcullis.domain.certificates import parse_certificate, read_certificate, read_certificate_key

        verifier = read_certificate_key(key) if key else _log_signer(settings).key(parse_certificate(text).log)
        told: dict[str, object] = msgspec.to_builtins(read_certificate(text, verifier))
        return told

    def journal_key(self, settings: Settings) -> VerifierKey:
        """Give what checkpoints are verified with."""
        with self.journal(settings) as journal:
            return _log_signer(settings).key(journal.origin())

    def begin_timeline(self, settings: Settings, *, purpose: str, from_oldest: bool) -> Timeline:
        """Begin a timeline of a restored journal."""
        from portcullis.adapters.sql.timelines import SqlTimelines
        from portcullis.exchange.restoring import begin_timeline
        from portcullis.mains.examining import demand_database
        from portcullis.mains.keys import RECORD_KEY, read_key
        from portcullis.mains.parts import open_feed, open_rights
        from portcullis.mains.shipping import nobody_shipping

        demand_database("registry", settings.registry_database_url)
        url, key = settings.journal_database_url, read_key(settings.keys_path, RECORD_KEY)
        with (
            nobody_shipping(settings),
            self.journal(settings) as journal,
            self.registry(settings),
            open_rights(settings, self.clock) as rights,
            open_feed(settings) as feed,
            closing(SqlTimelines(url, seal_key=key)) as store,
        ):
            return begin_timeline(
                store,
                journal=journal,
                feed=feed,
                settlements=rights,
                clock=self.clock,
                actor=self.actor(),
                purpose=purpose,
                from_oldest=from_oldest,
            )

    def probe_tokens(self, settings: Settings, kind: str, value: str, country: str) -> Sequence[bytes]:
        """Give the tokens that a check asks about, by every token key that is here."""
        from portcullis.mains.parts import open_token_keys

        probes: list[tuple[bytes, bool]] = []
        for each in open_token_keys(settings).held():
            each.probes(kind, value, country, probes)
        return [token for token, _ in probes]

    @contextmanager
    def streams(self, settings: Settings) -> Iterator[StreamDesk]:
        """Open the streams to other systems."""
        from portcullis.gateway.registry_knowledge import RegistryKnowledge
        from portcullis.mains.relaying import open_streams

        with self.journal(settings), self.registry(settings) as registry:
            known = RegistryKnowledge(registry, self.clock.now)
            known.look()
            with open_streams(settings, known=known, clock=self.clock) as streams:
                yield streams.desk

    def rotate_stream_key(self, settings: Settings) -> str:
        """Make a new key that tokens are signed with."""
        from portcullis.adapters.set_signing import rotate_set_key

        return rotate_set_key(settings.keys_path)

    def store(self, settings: Settings) -> AbstractContextManager[SnapshotStore]:
        """Open the store of snapshots."""
        from portcullis.adapters.redis.store import RedisSnapshotStore
        from portcullis.mains.stack_file import locate_store

        return closing(RedisSnapshotStore(locate_store(settings)))

    @contextmanager
    def trusted(self, settings: Settings, store: SnapshotStore) -> Iterator[TrustedSnapshots]:
        """Prove from the trusted root on, in a folder that is gone afterwards."""
        from tempfile import TemporaryDirectory

        from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
        from portcullis.mains.serve_follower import read_trusted_root

        root = read_trusted_root(settings.trusted_root_path)
        # Under the home, for a base may be larger than what a host has for temporary files.
        with TemporaryDirectory(prefix="proving-", dir=settings.home.absolute()) as folder:
            yield TufTrustedSnapshots(store, Path(folder), root, self.clock)

    def followed_root(self, settings: Settings) -> int | None:
        """Give the version of root that this host's follower trusts."""
        from portcullis.adapters.tuf.expiries import trusted_root_version
        from portcullis.mains.serve_follower import TRUST_FOLDER

        return trusted_root_version(settings.replica_path / TRUST_FOLDER)

    def replica(self, settings: Settings) -> AbstractContextManager[Replica]:
        """Open the replica."""
        from portcullis.adapters.lmdb.replica import LmdbReplica
        from portcullis.domain.errors import SetupFault

        folder = settings.replica_path.absolute()
        if not folder.is_dir():
            raise SetupFault(
                f"there is no replica at {folder}; start `portcullis run` or `portcullis serve follower`, or name another "
                "home with --home"
            )
        return closing(LmdbReplica(folder, self.clock))

    def ensure_secrets(self, settings: Settings) -> Sequence[str]:
        """Make the key files that are missing."""
        from portcullis.mains.keys import ensure_secrets

        return [str(path) for path in ensure_secrets(settings.keys_path)]

    def home_keys(self, settings: Settings) -> HomeKeys:
        """Open the keys of this home."""
        from portcullis.mains.home_keys import FolderKeys

        return FolderKeys(settings, self.clock)

    def key_ceremony(self, settings: Settings, offline: Path | None) -> KeyCeremony:
        """Open the trust folder."""
        from portcullis.adapters.tuf.ceremony import TrustCeremony
        from portcullis.mains.keys import trust_folder

        return TrustCeremony(trust_folder(settings.keys_path), self.clock, offline=offline)

    def read_policy(self, directory: Path) -> tuple[Policy | None, Sequence[PolicyProblem]]:
        """Read a policy directory."""
        from portcullis.registry.policy_files import read_policy

        return read_policy(directory)

    def read_row(self, line: bytes) -> EntryDraft:
        """Read one row of a JSON Lines file."""
        from portcullis.domain.errors import InvalidRequest
        from portcullis.mains.demo import MemorySource
        from portcullis.registry.readers.jsonl import read_jsonl
        from portcullis.registry.readers.rows import GoodRow
        from portcullis.registry.readers.sources import Meter

        row = next(iter(read_jsonl([MemorySource("entry", line)], Meter())), None)
        if isinstance(row, GoodRow):
            return row.draft
        field, reason = (row.field, row.reason) if row is not None else ("entry", "there is none; write one JSON object")
        raise InvalidRequest.at(field, reason)

    def import_files(
        self,
        settings: Settings,
        *,
        list_name: str,
        form: str,
        files: Sequence[Path],
        full: bool,
        strict: bool,
        progress: Progress | None,
    ) -> ImportReport:
        """Import files into a list."""
        from portcullis.mains.parts import open_entry_namer, open_registry, open_token_keys
        from portcullis.registry.imports import Importer
        from portcullis.registry.readers.spools import file_sources

        with (
            file_sources(files, settings.home.absolute()) as sources,
            open_registry(settings, open_token_keys(settings), self.clock) as registry,
        ):
            importer = Importer(registry, index_tokens=open_entry_namer(settings).index_tokens, clock=self.clock)
            return importer.run(list_name, form, sources, actor=self.actor(), full=full, strict=strict, progress=progress)

    def publish(self, settings: Settings) -> int:
        """Publish once."""
        from portcullis.mains.logs import configure_logs
        from portcullis.mains.publishing import publish_once

        with self.store(settings) as store, self.registry(settings) as registry:
            configure_logs("warning", "publish")
            return publish_once(settings, registry=registry, store=store, clock=self.clock)

    def exposures(self) -> Sequence[Exposure]:
        """Look at this process."""
        from portcullis.mains.exposures import exposures

        return exposures()

    def examine_registry(self, settings: Settings) -> str:
        """Look at the registry's database."""
        from portcullis.mains.examining import examine_registry

        return examine_registry(settings)

    def examine_alarms(self, settings: Settings) -> Board:
        """Look at the alarm board."""
        from portcullis.mains.alarms import look_at_alarms

        return look_at_alarms(settings)

    def examine_journal(self, settings: Settings) -> str:
        """Look at the journal's database."""
        from portcullis.mains.examining import examine_journal

        return examine_journal(settings)

    def examine_log(self, settings: Settings) -> LogExamined:
        """Look at the journal's log and the feed."""
        from portcullis.mains.examining import examine_log

        return examine_log(settings)

    def examine_spool(self, settings: Settings) -> SpoolExamined:
        """Look at the spool."""
        from portcullis.mains.examining import examine_spool

        return examine_spool(settings)

    def run(self, settings: Settings, *, empty: bool) -> int:
        """Run the whole stack."""
        from portcullis.mains.run import run_stack

        return run_stack(settings, empty=empty)

    def serve(self, part: str, settings: Settings) -> int:
        """Run one part."""
        from portcullis.mains.serve import serve

        return serve(part, settings)


def _channel_credentials(tls: Tls | None) -> grpc.ChannelCredentials | None:
    """Read the files of a connection with TLS.

    Raises:
        ValueError: a certificate is given without its key.
        SetupFault: a file can't be read.
    """
    from portcullis.client import tls_credentials
    from portcullis.domain.errors import SetupFault

    if tls is None:
        return None
    try:
        return tls_credentials(tls.ca, tls.cert, tls.key)
    except OSError as fault:
        raise SetupFault(f"{fault.filename} can't be read ({fault.strerror}); name a PEM file") from fault


def _log_signer(settings: Settings) -> LogSigner:
    """Give what signs this home's journal.

    Raises:
        SetupFault: its key is not here.
    """
    from portcullis.adapters.log_signing import LogSigner
    from portcullis.mains.keys import JOURNAL_KEY, read_key

    return LogSigner(read_key(settings.keys_path, JOURNAL_KEY), settings.keys_path)
