from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer

from portcullis.cli import asking
from portcullis.client import AttributeValue, Identifier
from portcullis.domain.errors import SetupFault
from portcullis.mains.wiring import ProcessWiring

CANARY = "A1234567"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train=G101", "G101"),
        ("train=1461", 1461),
        ("train:string=1461", "1461"),
        ("fare=12.50", 12.5),
        ("delta=-3", -3),
        ("code=007", "007"),
        ("lavish=true", True),
        ("lavish=false", False),
        ("word:string=true", "true"),
        ("fare:double=12", 12.0),
        ("stars:int=5", 5),
        ("note=a=b", "a=b"),
        ("note=", ""),
    ],
)
def test_a_fact_gets_its_type_from_its_text_or_its_name(text: str, value: AttributeValue) -> None:
    ((name, read),) = asking.attributes([text]).items()

    assert (text.split("=", maxsplit=1)[0].split(":", maxsplit=1)[0], value, type(value)) == (name, read, type(read))


@pytest.mark.parametrize("given", [["train"], ["=G101"], ["a=1", "a=2"], ["a:int=x"], ["a:bool=1"], ["a:date=1"]])
def test_what_is_no_fact_is_refused_by_its_place(given: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match=f"^fact {len(given)}: "):
        asking.attributes(given)


@pytest.mark.parametrize(
    "given",
    [[CANARY], [f"{CANARY}=1", f"{CANARY}=2"], [f"{CANARY}:int={CANARY}"], [f"{CANARY}:date=1"], [f"a:int={CANARY}"]],
)
def test_an_identifier_given_as_a_fact_is_not_repeated(given: list[str]) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        asking.attributes(given)

    assert CANARY not in str(caught.value)


def test_identifiers_come_from_the_arguments_and_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("passport:XA:A1\n\n  phone:+447700900123\n"))

    assert [
        Identifier("passport", "B1", "XB"),
        Identifier("passport", "A1", "XA"),
        Identifier("phone", "+447700900123"),
    ] == asking.identifiers(["passport:XB:B1", "-"])


@pytest.mark.parametrize("text", [CANARY, f"passport:XYZ:{CANARY}", f":{CANARY}"])
def test_what_is_no_identifier_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="identifier 1") as caught:
        asking.identifiers([text])

    assert CANARY not in str(caught.value)


def test_an_empty_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))

    with pytest.raises(typer.BadParameter, match="stdin holds nothing"):
        asking.identifiers(["-"])


def test_one_number_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("+447700900123\n+447700900124\n"))

    assert "+447700900125" == asking.phone("+447700900125")
    with pytest.raises(typer.BadParameter, match="one at a time"):
        asking.phone("-")


def whom(home: Path, **given: str | None) -> tuple[str, str]:
    asked = {"target": None, "key": None, "partner": None, "purpose": "ticketing"} | given
    return asking.whom(ProcessWiring(), home=home, **asked)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keys = {"ticketing": "key-t", "ecommerce": "key-e", "callerid": "key-c"}
    (tmp_path / "demo-keys.json").write_text(json.dumps(keys))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"purpose": "ticketing"}, "key-t"),
        ({"purpose": "retail"}, "key-e"),
        ({"purpose": "caller-identification"}, "key-c"),
        ({"partner": "ecommerce"}, "key-e"),
        ({"key": "mine"}, "mine"),
        ({"key": "mine", "partner": "ecommerce"}, "key-e"),
    ],
)
def test_the_key_is_given_or_the_one_that_fits(home: Path, given: dict[str, str], key: str) -> None:
    assert ("127.0.0.1:50051", key) == whom(home, **given)


def test_nothing_is_looked_up_when_target_and_key_are_given(tmp_path: Path) -> None:
    assert ("gateway.example:443", "mine") == whom(tmp_path / "nowhere", target="gateway.example:443", key="mine")


@pytest.mark.parametrize("given", [{"purpose": "lending"}, {"partner": "nobody"}])
def test_a_partner_without_a_demonstration_key_is_told(home: Path, given: dict[str, str]) -> None:
    with pytest.raises(SetupFault, match="has no key of"):
        whom(home, **given)


def test_a_purpose_that_no_demonstration_key_fits_is_named(home: Path) -> None:
    with pytest.raises(SetupFault, match=r"^--purpose: .* ticketing, retail"):
        whom(home, purpose="tiketing")


def test_no_key_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="set PORTCULLIS_API_KEY, or start the demonstration stack"):
        whom(tmp_path)


def test_a_damaged_file_of_keys_is_told(tmp_path: Path) -> None:
    (tmp_path / "demo-keys.json").write_text("{")

    with pytest.raises(SetupFault, match="no JSON"):
        whom(tmp_path)
