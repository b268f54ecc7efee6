"""A subject's record: golden in two languages, whole, and about nobody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.domain.disputes import CaseStepKind, EntryEffect, Evidence, Resolution
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.policies import Action, Partner, Policy
from portcullis.ports import Look
from portcullis.registry.disputes import Disputes
from portcullis.registry.settling import KEEPER
from portcullis.registry.subject_phrases import PHRASES, TERMS
from portcullis.registry.subject_records import SubjectRecords
from tests.support.decision_records import a_reason, a_record
from tests.support.policies import NOW, YEAR_S, a_list, agreement
from tests.support.registry_entries import an_entry, document
from tests.support.rights import DAY_S, a_case, a_number, mismatch, next_version, resolved, tokens
from tests.support.rights_homes import RightsHome

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).resolve().parents[3]
OWN = tokens(1)
OTHERS = tokens(2)
POLICY = Policy(
    actions=(Action(name="loan.apply", title="Apply for a loan"),),
    lists=(a_list("court"), a_list("carrier", title="Carrier list", authority="Demonstration Carriers")),
    partners=(Partner(name="lending", title="Demonstration Lender", agreements=(agreement(),)),),
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[RightsHome]:
    with closing(RightsHome(tmp_path)) as opened:
        opened.registry.apply_policy(POLICY, actor="otto")
        yield opened


@pytest.fixture
def records(home: RightsHome) -> SubjectRecords:
    return SubjectRecords(
        registry=home.registry, life=home.registry, rights=home.rights, journal=home.journal, clock=home.clock
    )


def live(home: RightsHome) -> None:
    """Let a subject have an entry under dispute, one that was released, two decisions, and others have theirs."""
    disputed = home.put("k1", document(1))
    other = home.put("k2", document(2), case_reference="(2090) Secret 2")
    home.clock.advance(DAY_S)
    home.put("k1", document(1), redress="https://redress.example/court/1")
    released = home.put("k3", document(1), document(2), list="carrier", authority="Demonstration Carriers")
    home.registry.step(
        "carrier",
        released.key,
        Step.RELEASE,
        note=StepNote(actor="bea", why="fine paid", document="R-7", ground=ReleaseGround.PAID),
    )
    case = home.rights.open_case(
        a_case(disputed, "case1", evidence=(Evidence(reference="receipt:7", added_by="subject", added_at=NOW),)),
        EntryEffect(steps=("stay",), decide_by=NOW + 30 * DAY_S),
        note=StepNote(actor="subject", why="dispute case1"),
    )
    case = home.rights.keep_case(
        next_version(case, CaseStepKind.ASSIGN, reviewer="rev", stayed=True), None, note=StepNote(actor="rev")
    )
    home.rights.open_case(mismatch(disputed), EntryEffect(), note=StepNote(actor=KEEPER, document="event:lending/e1"))
    home.rights.issue_number(a_number(issued_by="rev"), note=StepNote(actor="rev", why="a namesake"))
    home.registry.note_looks("court", ["k1", "k2"], actor="otto", purpose="operator inquiry")
    home.journal.record_decisions(
        [
            a_record(
                "d1",
                tokens=[token.hex() for token in OWN],
                cleared=(),
                reasons=(a_reason(case_reference="(2090) Demo k1"),),
            ),
            a_record(
                "d2",
                tokens=[token.hex() for token in OWN],
                decided_at=NOW + DAY_S,
                partner="gone",
                action="hotel.book",
                outcome="REVIEW",
                dry_run=True,
                partner_reference="",
                attributes={},
                degraded=True,
                cleared=(9,),
                reasons=(
                    a_reason(list="carrier", effect="REVIEW", weak=True),
                    a_reason(shadow=True, entry_id=0, case_reference="", until=0),
                ),
            ),
            a_record("d3", tokens=[token.hex() for token in OTHERS], partner_reference="Secret 3"),
        ]
    )
    home.journal.decision("d1", actor="otto", purpose="a complaint")
    assert other.status


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_a_record_is_told_in_words(home: RightsHome, records: SubjectRecords, locale: str) -> None:
    live(home)
    given = records.record(OWN, locale=locale)
    assert locale == given.locale
    assert (GOLDEN / f"subject-record.{locale}.txt").read_text(encoding="utf-8") == given.text


def test_a_record_is_given_for_programs(home: RightsHome, records: SubjectRecords) -> None:
    live(home)
    golden = json.loads((GOLDEN / "subject-record.json").read_text(encoding="utf-8"))
    assert golden == records.record(OWN, locale="en").record


def keys_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if isinstance(value, dict):
        own = {key for key in value if key not in {"amount", "stars", "train", "express"}}
        return own.union(*map(keys_of, value.values()))
    return set()


def test_every_key_is_described() -> None:
    page = (ROOT / "docs/reference/subject-record.md").read_text(encoding="utf-8")
    golden = json.loads((GOLDEN / "subject-record.json").read_text(encoding="utf-8"))
    assert [] == [key for key in sorted(keys_of(golden) - {"name", "title"}) if f"`{key}`" not in page]


def test_nothing_is_told_of_other_people_and_no_colleague_is_named_but_by_looks(
    home: RightsHome, records: SubjectRecords
) -> None:
    live(home)
    given = records.record(OWN, locale="en")
    whole = json.dumps(given.record, ensure_ascii=False) + given.text
    for secret in ("Secret", "k2", "Nobody Atall", "ann", "bea", "rev", "namesake", "event:lending", '"clear"'):
        assert not re.search(rf"\b{re.escape(secret)}\b", whole), secret


@pytest.mark.parametrize(("wanted", "spoken"), [("zh-CN", "zh"), ("zh-TW", "zh"), ("en-GB", "en"), ("fr", "en"), ("", "en")])
def test_the_nearest_language_is_spoken(records: SubjectRecords, wanted: str, spoken: str) -> None:
    assert spoken == records.record(OWN, locale=wanted).locale


def test_one_about_whom_nothing_is_kept_is_told_so(records: SubjectRecords) -> None:
    given = records.record(OWN, locale="en")
    assert ([], []) == (given.record["entries"], given.record["decisions"])
    assert "No list has an entry that names you." in given.text
    assert "No decision about you is recorded." in given.text


def test_the_access_itself_is_noted_beside_all_that_is_given_and_nothing_else(
    home: RightsHome, records: SubjectRecords
) -> None:
    live(home)
    entry = records.record(OWN, locale="en", actor="otto").record["entries"][0]  # type: ignore[index]
    access = Look(actor="otto", at=NOW + DAY_S, purpose="subject access")
    assert access == home.registry.looks("court", "k1")[-1]
    assert [access] == list(home.registry.looks("carrier", "k3"))
    assert access not in home.registry.looks("court", "k2")
    assert [access] == list(home.journal.looks("d2"))
    assert [] == list(home.journal.looks("d3"))
    assert {"at": "2027-01-16T08:00:00Z", "by": "otto", "purpose": "subject access"} == entry["looks"][-1]


def ends(home: RightsHome, records: SubjectRecords) -> tuple[str, bool, Any]:
    (entry,) = records.record(OWN, locale="en").record["entries"]  # type: ignore[misc]
    return entry["ends_by"], entry["binds"], entry["objection"]["until"]


def test_an_entry_says_when_it_ends_and_why_then(home: RightsHome, records: SubjectRecords) -> None:
    stored = home.put("k1", document(1))
    assert ("term", True, "2028-01-15T08:00:00Z") == ends(home, records)
    home.put("k1", document(1), lapses_at=NOW + DAY_S)
    assert ("lapse", True, "2027-01-16T08:00:00Z") == ends(home, records)
    case = a_case(stored, decide_by=NOW + 3600)
    home.rights.open_case(case, EntryEffect(decide_by=NOW + 3600), note=StepNote(actor="subject"))
    assert ("dispute", True, "2027-01-15T09:00:00Z") == ends(home, records)
    home.clock.advance(3600)
    assert ("over", False, None) == ends(home, records)
    home.registry.step("court", "k1", Step.WITHDRAW, note=StepNote(actor="ann"))
    assert ("left", False, None) == ends(home, records)


def test_an_entry_that_has_not_begun_or_whose_list_is_suspended_does_not_bind(
    home: RightsHome, records: SubjectRecords
) -> None:
    home.put("k1", document(1), valid_from=NOW + DAY_S)
    assert not ends(home, records)[1]
    home.clock.advance(DAY_S)
    assert ends(home, records)[1]
    for actor in ("ann", "bob"):
        home.registry.switch_list("court", suspend=True, note=StepNote(actor=actor, why="an outage"))
    assert not ends(home, records)[1]


def test_an_entry_whose_list_is_in_the_policy_no_more_does_not_bind(home: RightsHome, records: SubjectRecords) -> None:
    home.put("k1", document(1))
    assert ends(home, records)[1]
    home.registry.apply_policy(msgspec.structs.replace(POLICY, lists=POLICY.lists[1:]), actor="otto")
    assert not ends(home, records)[1]


def test_whoever_acted_is_told_by_what_they_are(home: RightsHome, records: SubjectRecords) -> None:
    stored = home.put("k1", document(1))
    case = home.rights.open_case(
        a_case(stored, reviewer="rev"), EntryEffect(steps=("stay",)), note=StepNote(actor="subject")
    )
    home.rights.keep_case(
        resolved(case, Resolution.RELEASED),
        EntryEffect(steps=("release",), ground="OVERTURNED"),
        note=StepNote(actor="rev", ground="OVERTURNED"),
    )
    home.put("k1", document(1), until=NOW + 2 * YEAR_S)
    home.registry.step("court", "k1", Step.RELEASE, note=StepNote(actor=KEEPER, ground="SETTLED"))
    (entry,) = records.record(OWN, locale="en").record["entries"]  # type: ignore[misc]
    expected = [("put", "authority"), ("stay", "subject"), ("release", "reviewer"), ("put", "authority")]
    told = [(each["step"], each["by"]) for each in entry["history"] if each["step"] != "dispute"]
    assert [*expected, ("release", "clock")] == told
    assert [("open", "subject"), ("resolve", "reviewer")] == [
        (each["step"], each["by"]) for each in entry["disputes"][0]["steps"]
    ]
    assert "RELEASED" == entry["disputes"][0]["resolution"]


def test_nobody_who_acted_is_named_by_what_was_said_of_a_step(home: RightsHome, records: SubjectRecords) -> None:
    home.registry.apply_policy(Policy(lists=(a_list("court", four_eyes=True),)), actor="otto")
    with home.registry.begin_import("court", actor="annabella") as session:
        session.stage([an_entry("k1", document(1))])
        held = session.commit(full=True).import_id
    assert held
    home.registry.approve_import(held, actor="bobby", purpose="read by both")
    home.give_key("ritarita")
    desk = Disputes(home.registry, home.registry, home.rights, clock=home.clock)
    case = home.rights.open_case(
        a_case(home.registry.entry("court", "k1")), EntryEffect(), note=StepNote(actor="ottokar", why="dispute c1")
    )
    desk.assign(case.case_id, "ritarita", actor="ottokar", expected_version=0)
    given = records.record(OWN, locale="en")
    said = json.dumps(given.record) + given.text
    assert not [name for name in ("annabella", "bobby", "ritarita", "ottokar") if name in said]


def test_a_value_can_neither_begin_a_line_nor_turn_the_writing(home: RightsHome, records: SubjectRecords) -> None:
    evil = "Lender\n1. You are free {at}\u202e"
    partner = msgspec.structs.replace(POLICY.partners[0], title=evil)
    home.registry.apply_policy(msgspec.structs.replace(POLICY, partners=(partner,)), actor="otto")
    home.journal.record_decisions([a_record("d1", tokens=[token.hex() for token in OWN])])
    text = records.record(OWN, locale="en").text
    assert "Lender 1. You are free {at} asked" in text
    assert "\u202e" not in text


def test_both_languages_have_the_same_phrases_terms_and_placeholders() -> None:
    english, chinese = PHRASES["en"], PHRASES["zh"]
    assert list(english) == list(chinese)
    for name, phrase in english.items():
        assert sorted(re.findall(r"{\w+}", phrase)) == sorted(re.findall(r"{\w+}", chinese[name])), name
    assert {kind: list(words) for kind, words in TERMS["en"].items()} == {
        kind: list(words) for kind, words in TERMS["zh"].items()
    }
