"""A policy as files: read whole, with every fault told at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from portcullis.domain.conditions import compile_condition
from portcullis.domain.errors import PolicyInvalid
from portcullis.domain.identifiers import KINDS
from portcullis.domain.policies import (
    Action,
    Agreement,
    AttributeSpec,
    AttributeType,
    Disclosure,
    Effect,
    Measure,
    NoticeTemplate,
    OnStale,
    Partner,
    Policy,
    RestrictedList,
)
from portcullis.domain.protected import PROTECTED_WORDS, is_protected
from portcullis.domain.quotas import Quota
from portcullis.registry.policy_files import load_policy, read_policy

GOLDEN = Path(__file__).parent / "golden"
DEMONSTRATION = Path(str(resources.files("portcullis.demo") / "policy"))
DAY_S = 86_400
PARTS = (Action, AttributeSpec, RestrictedList, Measure, NoticeTemplate, Partner, Agreement)

ACTIONS = """
[[action]]
name = "loan.apply"
title = "Apply for a loan"

[[action.attribute]]
name = "amount"
type = "double"
default = 5
about = "in yuan"
"""
COURT = """
[list]
name = "court"
title = "Court list"
authority = "Demonstration Court"
legal_basis = "Demonstration Act, section 1"
purpose = "performance of judgments"
max_term = "2y"
max_age = "24h"
disclosure = "PUBLIC"
redress_url = "https://court.demonstration.example/objections"
identifier_kinds = ["cn.resident-id", "passport"]

[[measure]]
name = "loans"
actions = ["loan.apply"]
when = "amount > 10.0"
effect = "RESTRICT"
on_stale = "REVIEW"
message = "A court has restricted you."
"""
BANK = """
[partner]
name = "bank"
title = "Demonstration Bank"

[[agreement]]
lists = ["court"]
actions = ["loan.apply"]
purposes = ["lending"]
valid_from = 2026-01-01
valid_until = 2036-01-01T08:00:00+08:00
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a sound policy with some files put in the place of its own."""

    def write_policy(**files: str) -> Path:
        (tmp_path / "lists").mkdir()
        (tmp_path / "partners").mkdir()
        parts = {"actions": ACTIONS, "lists/court": COURT, "partners/bank": BANK}
        for name, text in (parts | {name.replace("__", "/"): text for name, text in files.items()}).items():
            (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write_policy


def problems(directory: Path) -> list[str]:
    policy, found = read_policy(directory)
    assert policy is None
    return [str(problem) for problem in found]


def test_a_policy_is_read_with_every_key(write: Write):
    policy = load_policy(write())
    assert (AttributeSpec("amount", AttributeType.DOUBLE, default=5.0, about="in yuan"),) == policy.actions[0].attributes
    court = policy.lists[0]
    assert (2 * 365 * DAY_S, DAY_S) == (court.max_term_s, court.max_age_s)
    assert (Disclosure.PUBLIC, ("cn.resident-id", "passport")) == (court.disclosure, court.identifier_kinds)
    loans = court.measures[0]
    assert (Effect.RESTRICT, OnStale.REVIEW, "amount > 10.0") == (loans.effect, loans.on_stale, loans.when)
    agreement = policy.partners[0].agreements[0]
    assert datetime(2026, 1, 1, tzinfo=UTC).timestamp() == agreement.valid_from
    assert datetime(2036, 1, 1, tzinfo=UTC).timestamp() == agreement.valid_until


def test_a_whole_number_as_the_default_of_a_double_is_held_as_a_double(write: Write):
    assert isinstance(load_policy(write()).actions[0].attributes[0].default, float)


def test_a_list_has_the_guard_that_it_states_or_the_default(write: Write):
    stated = COURT.replace("[[measure]]", "guard_percent = 2\nguard_entries = 50\n\n[[measure]]")
    found = load_policy(write(lists__court=stated, lists__other=COURT.replace('"court"', '"other"'))).lists
    assert [(2, 50), (5, 1000)] == [(each.guard_percent, each.guard_entries) for each in found]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("guard_percent = 101", "guard_percent: this is no share of a list; write a whole number from 0 to 100"),
        ("guard_percent = -1", "guard_percent: this is no share of a list; write a whole number from 0 to 100"),
        ("guard_percent = 2.5", "guard_percent: it is a number, and must be a whole number; write a whole number, as 5"),
        (
            "guard_entries = true",
            "guard_entries: it is true or false, and must be a whole number; write a whole number, as 1000",
        ),
        ("guard_entries = -1", "guard_entries: this is no number of entries; write a whole number from 0 to 4294967296"),
        ('guard_entries = "9"', "guard_entries: it is a text, and must be a whole number; write a whole number, as 1000"),
    ],
)
def test_what_is_no_guard_is_refused(write: Write, written: str, problem: str):
    directory = write(lists__court=COURT.replace("[[measure]]", f"{written}\n\n[[measure]]"))
    assert [f"lists/court.toml:list.{problem}"] == problems(directory)


def test_a_guard_that_lets_everything_go_is_warned_of(write: Write):
    directory = write(lists__court=COURT.replace("[[measure]]", "guard_percent = 100\n\n[[measure]]"))
    policy, found = read_policy(directory)
    assert policy is not None
    assert ["lists/court.toml:list.guard_percent"] == [each.where for each in found if each.warning]


LIFE = """
four_eyes = true
lapse = "90d"
calendar = "CN"
source_told_days = 4
decided_days = 20
extension_days = 10
stays_on_dispute = true
settled_days = 3
kept_after_end = "1y"
looks_kept = "60d"
decisions_kept = "3y"
"""
NOTICE = """
[[notice]]
locale = "zh-CN"
text = \"""
{authority} {law} {objection}

second paragraph
\"""
"""


def test_a_list_s_clocks_and_notices_are_read(write: Write):
    found = load_policy(write(lists__court=COURT.replace("[[measure]]", f"{LIFE}\n[[measure]]") + NOTICE)).lists[0]
    assert (True, 90 * DAY_S, "CN", True) == (found.four_eyes, found.lapse_s, found.calendar, found.stays_on_dispute)
    assert (4, 20, 10, 3) == (found.source_told_days, found.decided_days, found.extension_days, found.settled_days)
    kept = (found.kept_after_end_s, found.looks_kept_s, found.decisions_kept_s)
    assert (365 * DAY_S, 60 * DAY_S, 3 * 365 * DAY_S) == kept
    assert (NoticeTemplate("zh-CN", "{authority} {law} {objection}\n\nsecond paragraph"),) == found.notices


def test_a_list_that_states_no_clocks_has_the_defaults(write: Write):
    bare = load_policy(write()).lists[0]
    names = "four_eyes lapse_s calendar source_told_days decided_days extension_days stays_on_dispute settled_days"
    names += " kept_after_end_s looks_kept_s decisions_kept_s notices suspended"
    defaults = {each.name: each.default for each in msgspec.structs.fields(RestrictedList) if each.name in names.split()}
    assert defaults == {name: getattr(bare, name) for name in names.split()}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("suspended = true", "no file suspends a list: two people do"),
        ('lapse = "12h"', "an entry needs a day at least"),
        ("lapse = 90", "it is a whole number, and must be a text"),
        ("decided_days = 31", "a listed person's clock has 1 to 30 days here"),
        ("decided_days = true", "it is true or false, and must be a whole number"),
        ('calendar = "XX"', "no working days are known of it"),
        ('looks_kept = "1d"', "a person has 30 days at least to ask about it"),
    ],
)
def test_what_can_be_no_clock_is_refused_at_its_key(write: Write, written: str, told: str):
    (problem,) = problems(write(lists__court=COURT.replace("[[measure]]", f"{written}\n\n[[measure]]")))
    assert f"lists/court.toml:list.{written.partition(' ')[0]}: " in problem
    assert told in problem


@pytest.mark.parametrize(
    ("written", "where", "told"),
    [
        ('locale = "en"\ntext = "{authority} {law}"', "notice[1].text", "it does not tell objection"),
        (
            'locale = "zh-Hans-CN"\ntext = "{authority} {law} {objection}"',
            "notice[1].locale",
            "another notice has this language",
        ),
        ('text = "{authority} {law} {objection}"', "notice[1].locale", "'locale' is missing"),
        ('locale = "en"\ntext = "{authority} {law} {objection}"\ntitle = "x"', "notice[1].title", "there is no key 'title'"),
    ],
)
def test_a_faulty_notice_is_refused_at_its_place(write: Write, written: str, where: str, told: str):
    (problem,) = problems(write(lists__court=f"{COURT}{NOTICE}\n[[notice]]\n{written}\n"))
    assert f"lists/court.toml:{where}: " in problem
    assert told in problem


def test_files_are_read_in_the_order_of_their_names(write: Write):
    directory = write(lists__a=COURT.replace('"court"', '"z-list"'), lists__z=COURT.replace('"court"', '"a-list"'))
    assert ["z-list", "court", "a-list"] == [each.name for each in load_policy(directory).lists]
    assert load_policy(directory) == load_policy(directory)


@pytest.mark.parametrize(
    ("written", "seconds"), [("2y", 63_072_000), ("90d", 7_776_000), ("24h", 86_400), ("15m", 900), ("30s", 30)]
)
def test_a_duration_has_a_unit(write: Write, written: str, seconds: int):
    assert seconds == load_policy(write(lists__court=COURT.replace('"2y"', f'"{written}"'))).lists[0].max_term_s


@pytest.mark.parametrize("written", ['"24"', '"24 h"', '"1d12h"', '"-1h"', '"1.5h"', '"24w"', '""'])
def test_what_is_no_duration_is_refused(write: Write, written: str):
    assert [
        (
            "lists/court.toml:list.max_age: this is no duration; "
            "write a whole number and a unit in quotes, as '2y', '90d', '24h', '15m' or '30s'"
        )
    ] == problems(write(lists__court=COURT.replace('"24h"', written)))


def test_a_policy_that_does_not_declare_on_stale_does_not_load(write: Write):
    directory = write(lists__court=COURT.replace('on_stale = "REVIEW"\n', ""))
    assert [
        (
            "lists/court.toml:measure[loans].on_stale: 'on_stale' is missing; a policy that does not say what happens when "
            "a list is out of date does not load; write one of: ALLOW, RESTRICT, REVIEW"
        )
    ] == problems(directory)
    with pytest.raises(PolicyInvalid):
        load_policy(directory)


@pytest.mark.parametrize(
    "key",
    [
        *("name", "title", "authority", "legal_basis", "purpose", "max_term", "max_age", "disclosure", "redress_url"),
        *("identifier_kinds",),
    ],
)
def test_a_list_without_one_of_its_keys_does_not_load(write: Write, key: str):
    lines = COURT.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{key} ="))
    found = problems(write(lists__court="\n".join(lines[:first] + lines[first + 1 :]), partners__bank=""))
    assert found[0].startswith(f"lists/court.toml:list.{key}: '{key}' is missing; write ")


def test_an_unknown_key_is_refused_with_the_nearest_known_one(write: Write):
    directory = write(lists__court=COURT.replace("max_age", "maxage"))
    assert [
        (
            "lists/court.toml:list.max_age: 'max_age' is missing; "
            "write a whole number and a unit in quotes, as '2y', '90d', '24h', '15m' or '30s'"
        ),
        "lists/court.toml:list.maxage: there is no key 'maxage'; write 'max_age' if that is meant",
    ] == problems(directory)


def test_a_syntax_error_names_its_line_and_the_other_files_are_read(write: Write):
    found = problems(write(lists__court="[list]\nname = court\n", partners__bank=BANK.replace('"bank"', "7")))
    assert [
        "lists/court.toml: this is no TOML: Invalid value (at line 2, column 8); mend the line",
        (
            "partners/bank.toml:partner.name: it is a whole number, and must be a text; "
            "write small letters, digits and hyphens, as 'ticketing'"
        ),
    ] == found


def test_a_file_that_is_not_utf_8_is_refused(write: Write):
    directory = write()
    (directory / "lists" / "court.toml").write_bytes(b"\xff\xfe")
    assert ["lists/court.toml: this is no UTF-8 text; save the file as UTF-8"] == problems(directory)


def test_a_rule_names_the_file_of_the_part_it_refuses(write: Write):
    found = problems(write(lists__court=COURT.replace("amount > 10.0", "amount > 10")))
    assert [
        (
            "lists/court.toml:measure[loans].when: for loan.apply: line 1, column 8: '>' does not take (double, int); "
            "CEL converts no types by itself; write a CEL condition over the attributes of each action named"
        )
    ] == found


def test_a_condition_may_span_lines(write: Write):
    directory = write(lists__court=COURT.replace('"amount > 10.0"', '"""\namount > 10.0 ||\namount < 1.0\n"""'))
    assert "amount > 10.0 ||\namount < 1.0" == load_policy(directory).lists[0].measures[0].when


def test_a_warning_does_not_prevent_loading(write: Write):
    directory = write(actions=ACTIONS + '\n[[action]]\nname = "golf.round.book"\n', partners__golf=GOLF)
    policy, found = read_policy(directory)
    assert policy == load_policy(directory)
    assert [("partners/golf.toml:agreement[0].actions", True)] == [(problem.where, problem.warning) for problem in found]


SAN = '\n[[certificate]]\nsan = "spiffe://bank.example/checkout"\n'
CERTIFIED = BANK.replace("[partner]", '[partner]\ncredentials = "both"') + SAN


def test_a_partner_is_known_by_its_keys_or_by_the_certificates_that_it_names(write: Write):
    more = CERTIFIED.replace('"bank"', '"shop"').replace("spiffe://bank", "spiffe://shop") + SAN.replace(
        "spiffe://bank", "spiffe://b"
    )
    policy = load_policy(write(partners__certified=more, partners__other=CERTIFIED.replace('"bank"', '"other"')))
    assert [
        ("key", ()),
        ("both", ("spiffe://shop.example/checkout", "spiffe://b.example/checkout")),
        ("both", ("spiffe://bank.example/checkout",)),
    ] == [(each.credentials, each.certificates) for each in policy.partners]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BANK + SAN, "partners/bank.toml:partner.credentials: 'credentials' is missing; a partner with a certificate"),
        (
            BANK.replace("[partner]", '[partner]\ncredentials = "both"'),
            "partners/bank.toml:partner.credentials: there is no",
        ),
        (CERTIFIED.replace("both", "key"), "partners/bank.toml:partner.credentials: no certificate is looked at"),
        (CERTIFIED.replace("both", "none"), "partners/bank.toml:partner.credentials: 'none' is none of its words"),
        (CERTIFIED + SAN, "partners/bank.toml:certificate[1].san: another certificate of the policy has this name"),
        (
            CERTIFIED.replace("spiffe://bank.example/checkout", "*.bank.example"),
            "partners/bank.toml:certificate[0].san: this is no name",
        ),
        (CERTIFIED.replace("san =", "name ="), "partners/bank.toml:certificate[0].san: 'san' is missing"),
    ],
)
def test_what_is_no_credential_of_a_partner_is_refused_at_its_place(write: Write, text: str, told: str):
    assert any(each.startswith(told) for each in problems(write(partners__bank=text)))


GOLF = BANK.replace('"bank"', '"golf"').replace('["loan.apply"]', '["loan.apply", "golf.round.book"]')


def test_a_missing_directory_is_one_clear_problem(tmp_path: Path):
    assert [
        (
            f"{tmp_path / 'none'}: there is no such directory; "
            "name a policy's directory: a policy has actions.toml, lists/*.toml and partners/*.toml"
        )
    ] == problems(tmp_path / "none")


def test_an_empty_directory_is_one_clear_problem(tmp_path: Path):
    assert [
        f"{tmp_path}: the directory holds no policy; a policy has actions.toml, lists/*.toml and partners/*.toml"
    ] == problems(tmp_path)


def test_a_policy_without_its_actions_file_is_one_clear_problem(write: Write):
    directory = write()
    (directory / "actions.toml").unlink()
    assert ["actions.toml: the file is missing; write it: one [[action]] for each thing a subject may do"] == problems(
        directory
    )


@pytest.mark.parametrize("stray", ["lists/court.yaml", "policy.toml", "lists/old/court.toml", "partners.json"])
def test_a_file_that_would_be_passed_over_is_refused(write: Write, stray: str):
    directory = write()
    (directory / stray).parent.mkdir(exist_ok=True)
    (directory / stray).write_text("")
    assert [
        f"{stray}: this file is not read; a policy has actions.toml, lists/*.toml and partners/*.toml; move or remove it"
    ] == problems(directory)


def test_a_readme_beside_a_policy_is_no_problem(write: Write):
    directory = write()
    (directory / "README.md").write_text("What this policy is for.")
    assert load_policy(directory)


def test_every_fault_of_a_broken_policy_is_told_at_once():
    """The golden file is what `portcullis policy check` would print; read it through when it changes."""
    expected = (GOLDEN / "broken_policy.txt").read_text(encoding="utf-8")
    assert expected == "\n".join(problems(GOLDEN / "broken_policy")) + "\n"


# --- the demonstration policy -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demonstration() -> Policy:
    return load_policy(DEMONSTRATION)


def test_the_demonstration_policy_has_neither_problems_nor_warnings():
    _, found = read_policy(DEMONSTRATION)
    assert [] == found


def test_the_demonstration_policy_declares_its_eight_lists_and_five_partners(demonstration: Policy):
    assert [
        *("bike-misconduct", "caller-notices", "carrier-misconduct", "court-judgment-defaulters", "ofac-sdn"),
        *("organisation-defaulters", "rental-deposits", "self-exclusion"),
    ] == [each.name for each in demonstration.lists]
    assert ["bikeshare", "callerid", "ecommerce", "lending", "ticketing"] == [each.name for each in demonstration.partners]


def test_one_measure_of_the_demonstration_is_in_shadow(demonstration: Policy):
    shadows = [measure.name for each in demonstration.lists for measure in each.measures if measure.shadow]
    assert ["new-accounts"] == shadows


def test_every_action_of_the_demonstration_is_touched_by_a_measure_and_may_be_asked(demonstration: Policy):
    declared = {action.name for action in demonstration.actions}
    touched = {name for each in demonstration.lists for measure in each.measures for name in measure.actions}
    asked = {name for partner in demonstration.partners for each in partner.agreements for name in each.actions}
    assert declared == touched == asked


@pytest.mark.parametrize(
    ("measure", "attributes", "expected"),
    [
        ("trains", {"train": "G101", "seat_class": "second"}, True),
        ("trains", {"train": "K1", "seat_class": "second"}, False),
        ("trains", {"train": "D301", "seat_class": "first"}, True),
        ("trains", {"train": "K1", "seat_class": "soft-sleeper"}, True),
        ("trains", {"train": "K1", "seat_class": "hard-sleeper"}, False),
        ("ships", {"cabin_class": "second"}, True),
        ("ships", {"cabin_class": "third"}, False),
        ("star-hotels", {"stars": 3}, True),
        ("star-hotels", {"stars": 0}, False),
        ("lavish-renovation", {"lavish": False}, False),
        ("non-essential-vehicles", {"essential": True}, False),
        ("non-essential-vehicles", {"essential": False}, True),
        ("wealth-insurance", {"wealth_management": True, "annual_premium": 50_000.0}, True),
        ("wealth-insurance", {"wealth_management": False, "annual_premium": 50_000.0}, False),
        ("loans", {"product": "consumer"}, True),
        ("loans", {"product": "medical"}, False),
    ],
)
def test_the_catalogue_of_restricted_consumption_restricts_what_it_names(
    demonstration: Policy, measure: str, attributes: dict[str, str | int | float | bool], *, expected: bool
):
    court = demonstration.list_named("court-judgment-defaulters")
    assert court is not None
    rule = next(each for each in court.measures if each.name == measure)
    action = next(each for each in demonstration.actions if each.name == rule.actions[0])
    assert expected is compile_condition(rule.when, action.attributes).holds(attributes)
    assert not (expected and is_protected(action.name, attributes))


def test_the_demonstration_policy_can_be_copied_and_changed(tmp_path: Path):
    """The reference tells people to begin so."""
    copy = shutil.copytree(DEMONSTRATION, tmp_path / "policy")
    (copy / "partners" / "callerid.toml").unlink()
    assert 4 == len(load_policy(copy).partners)


# --- quotas -------------------------------------------------------------------------------------------------------------


def quota_of(write: Write, table: str) -> Quota:
    (partner,) = load_policy(write(partners__bank=BANK + table)).partners
    return partner.quota


def test_a_partner_without_a_quota_has_the_usual_one(write: Write):
    assert Quota() == quota_of(write, "")


def test_a_quota_says_only_what_is_unusual(write: Write):
    assert Quota(checks_per_s=7, labels_per_day=0) == quota_of(write, "\n[quota]\nchecks_per_s = 7\nlabels_per_day = 0\n")


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ("checks_per_s = -1", "checks_per_s", "lies in 0 to 1000000000"),
        ("batch = 1001", "batch", "lies in 0 to 1000"),
        ('streams = "many"', "streams", "a text"),
        ("streams = true", "streams", "true or false"),
        ("check_per_s = 5", "check_per_s", "no key 'check_per_s'"),
    ],
)
def test_a_fault_of_a_quota_names_its_place(write: Write, line: str, where: str, what: str):
    with pytest.raises(PolicyInvalid) as caught:
        quota_of(write, f"\n[quota]\n{line}\n")
    (problem,) = caught.value.problems
    assert f"partners/bank.toml:quota.{where}" == problem.where
    assert what in problem.what


# --- the reference ------------------------------------------------------------------------------------------------------

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")


def test_the_examples_of_the_reference_stand_in_the_demonstration_policy():
    files = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DEMONSTRATION.rglob("*.toml")))
    examples = re.findall(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    assert 7 == len(examples)
    assert [] == [example for example in examples if example not in files]


def test_the_reference_names_every_key():
    fields = {field for part in PARTS for field in part.__struct_fields__}
    written = {
        field.removesuffix("_s")
        for field in fields - {"attributes", "measures", "notices", "agreements", "certificates", "quota"}
    }
    assert set() == {key for key in written if f"`{key}`" not in REFERENCE}


def test_the_reference_names_every_quota_with_its_default():
    rows = msgspec.structs.asdict(Quota()).items()
    assert [] == [key for key, default in rows if f"| `{key}` | {default} |" not in REFERENCE]


def test_the_reference_names_every_protected_word_and_kind_of_identifier():
    assert set() == {word for word in (*PROTECTED_WORDS, *KINDS) if f"`{word}`" not in REFERENCE}
