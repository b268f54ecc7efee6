"""What the commands need from the outside. `portcullis.mains.wiring` joins it to the adapters and services.

Whatever is costly to import is imported by the wiring when a command asks for it, so that `portcullis check` starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import typer

if TYPE_CHECKING:
    from portcullis.cli.examined import Exposure
    from portcullis.cli.progress import Progress
    from portcullis.client import Client, Identifier
    from portcullis.client.operating import StaffClient
    from portcullis.config import Settings
    from portcullis.domain.checkpoints import VerifierKey
    from portcullis.domain.entries import EntryDraft
    from portcullis.domain.errors import PolicyProblem
    from portcullis.domain.log_findings import LogFinding, Verified
    from portcullis.domain.policies import Policy
    from portcullis.ports import (
        ApiKeyDesk,
        CaseCount,
        Clock,
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
        TrustedSnapshots,
    )
    from portcullis.ports.home_keys import HomeKeys
    from portcullis.ports.relay import StreamDesk
    from portcullis.ports.timelines import Timeline


class Tls(NamedTuple):
    """The files of a connection with TLS: the gateway's authorities, and the caller's own certificate and key."""

    ca: Path | None
    cert: Path | None = None
    key: Path | None = None


class DevCertificates(NamedTuple):
    """What `certs dev` has made: the files, the names of each partner's certificate, and the partners without one so far."""

    files: Sequence[Path]
    names: Mapping[str, Sequence[str]]
    unknown: Sequence[str]


class Wiring(Protocol):
    """The composition root, as the commands see it."""

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    def actor(self) -> str:
        """Name who runs this command, for the logs of looks and changes."""
        ...

    def settings(self, **given: object) -> Settings:
        """Read the settings; what is given and not None comes before variables and file.

        Raises:
            SetupFault: one or more settings are wrong; one line for each.
        """
        ...

    def gateway_target(self, settings: Settings, *, tls: bool = False) -> str:
        """Give the target of this home's gateway: where its stack runs now, else where the settings say.

        Without ``tls``, a stack whose port speaks it is asked on the socket in its home.
        """
        ...

    def client(self, target: str, api_key: str | None, timeout_s: float, tls: Tls | None = None) -> Client:
        """Open the SDK's client, in plain text where no TLS is given.

        Raises:
            ValueError: the key can't be a key, or a certificate is given without its key.
            SetupFault: a file can't be read.
        """
        ...

    def staff_client(self, target: str, api_key: str | None, timeout_s: float, tls: Tls | None = None) -> StaffClient:
        """Open the SDK's client of those who keep lists; raises as `client`."""
        ...

    def dev_certificates(self, settings: Settings, folder: Path, partners: Sequence[str]) -> DevCertificates:
        """Make throw-away certificates; without partners, for those of the policy in force.

        Raises:
            SetupFault: something lies in the folder, it can't be written, or there is no registry to name the partners.
            InvalidRequest: a partner can't be named so.
        """
        ...

    def registry(self, settings: Settings) -> AbstractContextManager[RegistryStore]:
        """Open the registry, migrating it first where that is due.

        Raises:
            SetupFault: there is no such database, or a key file is missing.
            RegistryUnavailable: the database can't be reached.
        """
        ...

    def api_keys(self, registry: RegistryStore) -> ApiKeyDesk:
        """Give the desk that makes and revokes API keys."""
        ...

    def held_imports(self, registry: RegistryStore) -> HeldImportDesk:
        """Give the desk that decides about held imports."""
        ...

    def journal(self, settings: Settings) -> AbstractContextManager[Journal]:
        """Open the journal; the errors are those of the registry's."""
        ...

    def reported_names(self, settings: Settings, identifiers: Sequence[Identifier]) -> ReportedBy:
        """Give by what partners may have reported, without a decision, about the entries of whoever has these identifiers.

        The entries are listed or not. A number without the country that it needs finds none: it may be somebody else's.

        Raises:
            InvalidIdentifier: one can't be what it says.
            SetupFault: the registry's database or a key file is not here.
            RegistryUnavailable: it can't be used.
        """
        ...

    def case_counts(self, settings: Settings) -> Sequence[CaseCount]:
        """Count the closed cases of the registry; the errors are those of `registry`."""
        ...

    def replay(self, settings: Settings, record: DecisionRecord) -> Replay:
        """Make a decision again from the registry as it stood then.

        Raises:
            SetupFault: there is no registry here, or a key file is missing.
            NotFound: the registry has not come to the change that the decision was made from.
            RegistryUnavailable: the database can't be reached.
        """
        ...

    def verify_journal(
        self,
        settings: Settings,
        *,
        given: str | None,
        key: VerifierKey | None,
        found: Callable[[LogFinding], None],
        progress: Progress | None,
    ) -> Verified:
        """Verify the whole journal, against a checkpoint's note given and what this host's signer remembers.

        Without a key, the one of this home is taken.

        Raises:
            SetupFault: there is no such database, or no key was given and none is here.
            JournalUnavailable: the database can't be read.
        """
        ...

    def verify_certificate(self, settings: Settings, text: str, key: str) -> dict[str, object]:
        """Verify a release certificate; gives what it says. Without a key, the one of this home is taken.

        Raises:
            InvalidRequest: it is no certificate, or was not signed with that key.
            SetupFault: no key was given and none is here.
        """
        ...

    def journal_key(self, settings: Settings) -> VerifierKey:
        """Give what this home's journal's checkpoints are verified with; raises as `verify_journal`."""
        ...

    def begin_timeline(self, settings: Settings, *, purpose: str, from_oldest: bool) -> Timeline:
        """Begin a timeline of this home's journal, which was restored from a backup.

        Raises:
            SetupFault: a database or a key file is not here, or an exchange works on the journal.
            Unavailable: a database can't be used.
        """
        ...

    def probe_tokens(self, settings: Settings, kind: str, value: str, country: str) -> Sequence[bytes]:
        """Give the tokens that a check asks about for an identifier.

        Raises:
            InvalidIdentifier: it can't be what it says.
            SetupFault: the token key is missing.
        """
        ...

    def streams(self, settings: Settings) -> AbstractContextManager[StreamDesk]:
        """Open the streams of this home.

        Raises:
            SetupFault: there is no such database, or a key file is missing.
        """
        ...

    def rotate_stream_key(self, settings: Settings) -> str:
        """Make a new key that tokens are signed with; gives its id.

        Raises:
            SetupFault: the key file can't be read or written.
        """
        ...

    def store(self, settings: Settings) -> AbstractContextManager[SnapshotStore]:
        """Open the store of snapshots.

        Raises:
            SetupFault: none is set and no stack runs on this home.
        """
        ...

    def trusted(self, settings: Settings, store: SnapshotStore) -> AbstractContextManager[TrustedSnapshots]:
        """Prove what a store holds, from the trusted root on, with nothing remembered of any other time.

        Raises:
            SetupFault: the trusted root is not there.
        """
        ...

    def followed_root(self, settings: Settings) -> int | None:
        """Give the version of root that this host's follower trusts; None where none has trusted any."""
        ...

    def replica(self, settings: Settings) -> AbstractContextManager[Replica]:
        """Open this host's replica for reading.

        Raises:
            SetupFault: there is none.
        """
        ...

    def ensure_secrets(self, settings: Settings) -> Sequence[str]:
        """Make the key files of this home that are missing, those of signing aside; gives the paths of those made.

        Raises:
            SetupFault: the folder can't be written.
        """
        ...

    def home_keys(self, settings: Settings) -> HomeKeys:
        """Open the keys of this home."""
        ...

    def key_ceremony(self, settings: Settings, offline: Path | None) -> KeyCeremony:
        """Open the keys that this home's snapshots are signed with; ``offline``: where the offline ones were moved to."""
        ...

    def read_policy(self, directory: Path) -> tuple[Policy | None, Sequence[PolicyProblem]]:
        """Read a policy directory: the policy, or None when a problem forbids it, and every problem and warning."""
        ...

    def read_row(self, line: bytes) -> EntryDraft:
        """Read one row of a JSON Lines file.

        Raises:
            InvalidRequest: it is none; names the field.
        """
        ...

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
        """Import a list's files; the errors are those of `registry` and of the importer."""
        ...

    def publish(self, settings: Settings) -> int:
        """Compile and publish what the registry holds now; gives the snapshot's version.

        Raises:
            SetupFault: there is no store, no registry, or no key file.
            Unavailable: one of them can't be reached.
        """
        ...

    def exposures(self) -> Sequence[Exposure]:
        """Say what this process is given that it should not have."""
        ...

    def examine_registry(self, settings: Settings) -> str:
        """Say how the registry's database is, changing nothing.

        Raises:
            PortcullisError: it is not well; the message says what to do.
        """
        ...

    def examine_journal(self, settings: Settings) -> str:
        """Say how the journal's database is, changing nothing; likewise."""
        ...

    def run(self, settings: Settings, *, empty: bool) -> int:
        """Run the whole stack until it is told to stop; gives the exit code."""
        ...

    def serve(self, part: str, settings: Settings) -> int:
        """Run one part until it is told to stop; gives the exit code."""
        ...


def wiring_of(ctx: typer.Context) -> Wiring:
    """Give the wiring that the command line was started with."""
    return cast("Wiring", ctx.obj)
