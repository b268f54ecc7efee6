"""What the command line is wired to."""

from __future__ import annotations

import os
import pwd
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from portcullis.client import Identifier
from portcullis.config import Settings
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import SetupFault
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_feed, open_journal, open_registry, open_rights, open_subjects, open_token_keys
from portcullis.mains.shipping import open_shipper
from portcullis.mains.wiring import ProcessWiring
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.policies import a_list, policy
from tests.support.registry_entries import an_entry, document


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_nobody_takes_another_name_by_setting_a_variable(monkeypatch, variable):
    expected = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv(variable, "the-second-operator")
    assert expected == ProcessWiring().actor()


def test_a_user_without_a_name_goes_by_its_number(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert "uid-4000000000" == ProcessWiring().actor()


def test_a_restored_journal_begins_its_timeline_in_every_database_of_the_home(tmp_path: Path) -> None:
    clock = HandClock()
    wiring, settings = ProcessWiring(clock), Settings(home=tmp_path)
    ensure_keys(settings.keys_path, clock=clock)
    with open_registry(settings, open_token_keys(settings), clock), open_journal(settings, clock) as journal:
        journal.record_decisions([a_record("d1")])

        begun = wiring.begin_timeline(settings, purpose="the backup of noon", from_oldest=False)

        assert (f"{journal.origin()}@{begun.timeline}", 2) == (begun.log, begun.entries)
        assert begun.log == journal.timeline()
        with open_feed(settings) as feed, open_rights(settings, clock) as rights:
            assert begun.timeline == feed.ends().feed
            assert 0 == rights.read_up_to(begun.log)


def test_no_timeline_begins_while_an_exchange_of_the_home_runs_though_it_feeds_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    wiring, settings = ProcessWiring(clock), Settings(home=tmp_path)
    ensure_keys(settings.keys_path, clock=clock)
    with open_registry(settings, open_token_keys(settings), clock), open_journal(settings, clock) as journal:
        with ExitStack() as held:
            open_shipper(settings, journal, clock=clock, metrics=CollectorRegistry(), held=held)
            with pytest.raises(SetupFault, match="stop every"):
                wiring.begin_timeline(settings, purpose="the backup of noon", from_oldest=False)
        assert (journal.origin(), 0) == (journal.timeline(), journal.size())

        begun = wiring.begin_timeline(settings, purpose="the backup of noon", from_oldest=False)
        assert begun.log == journal.timeline()


def test_no_timeline_begins_where_a_database_is_not_and_none_is_made(tmp_path: Path) -> None:
    clock = HandClock()
    wiring, settings = ProcessWiring(clock), Settings(home=tmp_path)
    ensure_keys(settings.keys_path, clock=clock)

    with pytest.raises(SetupFault, match=r"registry\.db is not there"):
        wiring.begin_timeline(settings, purpose="the backup of noon", from_oldest=False)
    assert [] == list(tmp_path.glob("*.db"))


def a_registry_of_two(settings: Settings) -> list[int]:
    """Make a home's registry with two entries on passports of one number, of two countries; gives their numbers."""
    tokeniser = open_token_keys(settings)
    with open_registry(settings, tokeniser) as registry:
        registry.apply_policy(policy(a_list("court")), actor="otto")
        note = StepNote(actor="ann", why="ordered")
        made = [an_entry(f"k{number}", document(7, country)) for number, country in enumerate(("XA", "XB"), start=1)]
        return [registry.put(each, note=note, four_eyes=False).entry.entry_id for each in made]


def test_what_partners_report_is_found_by_the_entries_of_a_person_whether_or_not_they_stand(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    ensure_keys(settings.keys_path)
    first, _ = a_registry_of_two(settings)

    found = ProcessWiring().reported_names(settings, [Identifier("passport", "N00000007", "XA")])

    assert [("court", "(2090) Demo k1")] == list(found.cases)
    names = open_subjects(settings)
    (number,) = {each for each in range(1, 5) if names.name("lender", each, first) in found.subjects}
    assert [names.name("lender", number, first)] == list(found.subjects)


def test_a_number_without_its_country_finds_nobodys_reports(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    ensure_keys(settings.keys_path)
    a_registry_of_two(settings)

    found = ProcessWiring().reported_names(settings, [Identifier("passport", "N00000007")])

    assert ([], []) == (list(found.cases), list(found.subjects))


def test_no_reports_are_found_where_the_registry_is_not_and_none_is_made(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    ensure_keys(settings.keys_path)
    with pytest.raises(SetupFault, match="registry"):
        ProcessWiring().reported_names(settings, [Identifier("passport", "N00000007", "XA")])
    assert not (tmp_path / "registry.db").exists()
