"""`portcullis journal` over a real journal: verify, checkpoint, key and erase."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from portcullis.adapters.log_signing import LogSigner, remembered
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.cli import journals
from portcullis.cli.faults import guarded
from portcullis.client import Identifier
from portcullis.domain.checkpoints import VerifierKey, read_checkpoint, read_key
from portcullis.domain.log_findings import LogFinding, Note, Place, Verified
from portcullis.domain.shared_events import EventKind
from portcullis.domain.tokens import Tokeniser
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.verifying import verify_log
from portcullis.ports import NOTHING_REPORTED, ReportedBy, relay
from portcullis.ports.timelines import Timeline
from tests.support.clocks import HandClock
from tests.support.databases import sqlite_url
from tests.support.decision_records import a_record
from tests.support.journals import a_settlement, sql_journal
from tests.support.policies import NOW
from tests.support.signers import SignCounts

PASSPORT = "passport:XA:A1234567"
TOKENISER = Tokeniser(bytes(range(32)))


class Wired:
    """What the commands need, over one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = sqlite_url(home, "journal.db", migrate_journal)
        self.signer = LogSigner(bytes(range(32)), home / "keys")
        self.begun: list[tuple[str, bool]] = []
        self.reported = NOTHING_REPORTED
        self.asked: list[list[str]] = []

    def settings(self, **given: object) -> SimpleNamespace:
        return SimpleNamespace()

    def actor(self) -> str:
        return "dpo"

    @contextmanager
    def journal(self, settings: object) -> Iterator[SqlJournal]:
        with closing(sql_journal(self.url)) as journal:
            yield journal

    def journal_key(self, settings: object) -> VerifierKey:
        with self.journal(settings) as journal:
            return self.signer.key(journal.origin())

    def begin_timeline(self, settings: object, *, purpose: str, from_oldest: bool) -> Timeline:
        self.begun.append((purpose, from_oldest))
        return Timeline(
            timeline="0c4d9a27",
            log="log/5e1f@0c4d9a27",
            entries=901,
            feed="0c4d9a27",
            fed_until=float(NOW),
            carried_over=(a_stream("a" * 32, position=7),),
            left=(a_stream("b" * 32, position=3),),
        )

    def probe_tokens(self, settings: object, kind: str, value: str, country: str) -> Sequence[bytes]:
        probes: list[tuple[bytes, bool]] = []
        TOKENISER.probes(kind, value, country, probes)
        return [token for token, _ in probes]

    def reported_names(self, settings: object, identifiers: Sequence[Identifier]) -> ReportedBy:
        self.asked.append([str(each.value) for each in identifiers])
        return self.reported

    def verify_journal(
        self,
        settings: object,
        *,
        given: str | None,
        key: VerifierKey | None,
        found: Callable[[LogFinding], None],
        progress: Callable[[int, int], None] | None,
    ) -> Verified:
        memory = remembered(self.home / "keys")
        places = ((Place.GIVEN, given), (Place.SIGNER, memory))
        kept = [Note(place, note) for place, note in places if note is not None]
        with self.journal(settings) as journal:
            return verify_log(journal, (lambda _: key) if key else self.signer.key, kept, found=found, progress=progress)


def a_stream(stream_id: str, *, position: int) -> relay.Stream:
    return relay.Stream(
        stream_id=stream_id,
        holder="lender",
        side=relay.Side.PARTNER,
        created_at=1.0,
        settings=relay.StreamSettings(method=relay.DeliveryMethod.POLL),
        place=relay.Place(log="0c4d9a27", position=position),
    )


@pytest.fixture
def wired(tmp_path: Path) -> Wired:
    return Wired(tmp_path)


@pytest.fixture
def signed(wired: Wired) -> Wired:
    """A journal of five decisions, signed at four; the first two are of one person."""
    with wired.journal(None) as journal:
        tokens = tuple(token.hex() for token in wired.probe_tokens(None, "passport", "A1234567", "XA"))
        journal.record_decisions([a_record(f"d{n}", tokens=tokens if n < 2 else (f"{n:032x}",)) for n in range(4)])
        Checkpointer(journal, wired.signer, HandClock(), SignCounts()).sign_once()
        journal.record_decisions([a_record("d4", tokens=(f"{4:032x}",))])
    return wired


def portcullis(wired: Wired, *arguments: str) -> int:
    root = typer.Typer(rich_markup_mode=None)
    root.callback()(lambda: None)
    root.add_typer(journals.app, name="journal")

    def command() -> int:
        given = root(args=list(arguments), prog_name="portcullis", standalone_mode=False, obj=wired)
        return given if isinstance(given, int) else 0

    return guarded(command)


def change(wired: Wired, statement: str) -> None:
    with closing(sqlite3.connect(wired.home / "journal.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def test_a_sound_journal_is_proven_and_what_can_not_be_told_is_said(
    signed: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == portcullis(signed, "journal", "verify")
    shown = capsys.readouterr().out
    assert "4 entries (signer), 4 entries (journal)" in shown
    assert "unsigned  the last 1;" in shown
    assert "without --checkpoint" in shown
    assert shown.endswith("ok\n")


def test_a_checkpoint_and_a_key_that_were_kept_elsewhere_prove_a_journal(
    signed: Wired, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == portcullis(signed, "journal", "checkpoint")
    note = capsys.readouterr().out
    assert 0 == portcullis(signed, "journal", "key")
    key = capsys.readouterr().out.strip()
    assert 4 == read_checkpoint(note, read_key(key)).size
    file = signed.home / "elsewhere"
    file.write_text(note)
    assert 0 == portcullis(signed, "journal", "verify", "--checkpoint", str(file), "--key", key)
    assert "without --checkpoint" not in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(note.encode())))
    assert 0 == portcullis(signed, "journal", "verify", "--checkpoint", "-", "--json")
    document = json.loads(capsys.readouterr().out)
    assert ("5", "1", []) == (document["size"], document["unsigned"], document["findings"])
    places = [{"place": place, "size": "4"} for place in ("given", "signer", "journal")]
    assert places == document["checkpoints"]


def test_tampering_is_named_and_the_exit_code_tells(signed: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    change(signed, "UPDATE log SET entry = entry || x'20' WHERE sequence = 2")
    assert 1 == portcullis(signed, "journal", "verify")
    shown = capsys.readouterr().out
    assert "fail  entry 2: the entry or its hash was changed (entry-changed)" in shown
    assert "ok" not in shown.splitlines()
    assert 1 == portcullis(signed, "journal", "verify", "--json")
    finding = json.loads(capsys.readouterr().out)["findings"][0]
    assert ("entry-changed", "2") == (finding["fault"], finding["sequence"])


def test_a_journal_that_was_cut_off_is_found_by_what_the_signer_remembers(
    signed: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    change(signed, "DELETE FROM checkpoints")
    change(signed, "DELETE FROM log WHERE sequence > 1")
    assert 1 == portcullis(signed, "journal", "verify")
    assert "(truncated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("--key", "nonsense"), 2, "Invalid value for --key: the verifier key is not written"),
        (("--checkpoint", "nowhere"), 2, "nowhere: No such file"),
    ],
)
def test_what_can_not_be_verified_says_why(
    signed: Wired, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, what: str
) -> None:
    assert code == portcullis(signed, "journal", "verify", *arguments)
    assert what in capsys.readouterr().err


def test_a_checkpoint_that_is_none_is_a_finding(signed: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    file = signed.home / "elsewhere"
    file.write_bytes(b"\xff\xfe")
    assert 1 == portcullis(signed, "journal", "verify", "--checkpoint", str(file))
    assert "the checkpoint given: " in capsys.readouterr().out


def test_there_is_no_checkpoint_before_one_is_signed(wired: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == portcullis(wired, "journal", "checkpoint")
    assert "no checkpoint is signed yet" in capsys.readouterr().err
    assert 0 == portcullis(wired, "journal", "verify")


def test_checkpoint_and_key_answer_with_one_document(signed: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis(signed, "journal", "checkpoint", "--json")
    assert "4" == json.loads(capsys.readouterr().out)["size"]
    assert 0 == portcullis(signed, "journal", "key", "--json")
    assert str(signed.journal_key(None)) == json.loads(capsys.readouterr().out)["key"]


def test_an_erased_person_can_not_be_read_any_more_and_the_journal_still_verifies(
    signed: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == portcullis(signed, "journal", "erase", "--id", PASSPORT, "--purpose", "request 7")
    shown = capsys.readouterr()
    assert "1 key was destroyed\n" == shown.out
    assert "A1234567" not in shown.out + shown.err
    with signed.journal(None) as journal:
        read = [journal.decision(f"d{n}", actor="dpo", purpose="test").record is None for n in range(4)]
    assert [True, True, False, False] == read
    assert 0 == portcullis(signed, "journal", "verify")
    assert 0 == portcullis(signed, "journal", "erase", "--id", PASSPORT, "--purpose", "again", "--json")
    assert {"keys": 0, "left": 0} == json.loads(capsys.readouterr().out.split("ok\n")[1])
    assert 0 == portcullis(signed, "journal", "erase", "--id", PASSPORT, "--purpose", "again")
    assert "0 keys were destroyed\nthe journal holds no record under these identifiers" in capsys.readouterr().out


def test_what_partners_reported_of_an_erased_persons_entries_goes_with_them(
    signed: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    with signed.journal(None) as journal:
        asyncio.run(journal.record_events("lending", [a_settlement("e1"), a_settlement("e2", case_reference="another")]))
    signed.reported = ReportedBy(cases=[("court", "(2090) Demo 1")])
    assert 0 == portcullis(signed, "journal", "erase", "--id", PASSPORT, "--purpose", "request 7")
    assert "2 keys were destroyed\n" == capsys.readouterr().out
    assert [["A1234567"]] == signed.asked
    with signed.journal(None) as journal:
        read = journal.events_after(-1, dict.fromkeys(EventKind), limit=5).events
    assert [None, "e2"] == [each.event and each.event.event_id for each in read]
    assert 0 == portcullis(signed, "journal", "verify")


def test_an_identifier_that_is_none_erases_nothing_and_is_not_repeated(
    signed: Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == portcullis(signed, "journal", "erase", "--id", "cn.resident-id:1234", "--purpose", "request 7")
    assert "1234" not in capsys.readouterr().err
    with signed.journal(None) as journal:
        assert 5 == journal.size()


def test_a_restored_journal_is_told_of_with_what_follows(wired: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis(wired, "journal", "restored", "--purpose", "the backup of noon")
    shown = capsys.readouterr().out
    assert "log      log/5e1f@0c4d9a27, 901 entries\n" in shown
    assert "streams  1 go on, and deliver again what follows their places\n" in shown
    assert f"left     {'b' * 32}\n" in shown
    assert "then again, with --from-oldest" in shown

    assert 0 == portcullis(wired, "journal", "restored", "--purpose", "again", "--from-oldest", "--json")
    assert {
        "timeline": "0c4d9a27",
        "log": "log/5e1f@0c4d9a27",
        "entries": "901",
        "feed": "0c4d9a27",
        "fed_until": NOW,
        "streams": [{"stream_id": "a" * 32, "side": "partner", "position": 7}],
        "left": ["b" * 32],
    } == json.loads(capsys.readouterr().out)
    assert [("the backup of noon", False), ("again", True)] == wired.begun


def test_a_restored_journal_is_not_told_of_without_a_purpose(wired: Wired, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(wired, "journal", "restored")
    assert "--purpose" in capsys.readouterr().err
    assert [] == wired.begun
