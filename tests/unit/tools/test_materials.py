"""The bill of materials, the licences, and the hashes that everything is installed by."""

from __future__ import annotations

import json
import re
import tomllib
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest

from tools import materials
from tools.materials import Licensed, Rules, is_taken, normalised, read_rules, spdx, stated

REPOSITORY = Path(__file__).resolve().parents[3]
RULES = Rules(
    shipped=frozenset({"MIT", "Apache-2.0"}),
    development=frozenset({"MIT", "Apache-2.0", "GPL-3.0-only"}),
    names={"MIT License": "MIT"},
    packages={"odd": {"stated": "BSD License", "is": "BSD-3-Clause"}},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("materials")
    assert [] == materials.make(folder, read_rules())
    return folder


def described(**fields: str | list[str]) -> Message:
    message = Message()
    for name, given in fields.items():
        for each in [given] if isinstance(given, str) else given:
            message[name.replace("_", "-")] = each
    return message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"License_Expression": "MIT", "License": "see below"}, "MIT"),
        ({"Classifier": ["License :: OSI Approved :: MIT License", "Topic :: X"], "License": "x"}, "MIT License"),
        ({"Classifier": ["License :: OSI Approved :: Z", "License :: OSI Approved :: A"]}, "A AND Z"),
        ({"License": "MIT\n\nPermission is granted"}, "MIT"),
        ({}, ""),
    ],
)
def test_a_package_states_its_licence_in_the_most_exact_of_three_ways(given: dict[str, str], expected: str) -> None:
    assert expected == stated(described(**given))


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("any", "MIT", "MIT"),
        ("any", "MIT License", "MIT"),
        ("any", "MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("any", "BSD License", ""),
        ("odd", "BSD License", "BSD-3-Clause"),
        ("odd", "MIT", ""),
        ("any", "", ""),
    ],
)
def test_what_is_stated_is_read_by_the_rules_or_not_known(name: str, said: str, expected: str) -> None:
    assert expected == spdx(name, said, RULES)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT AND Apache-2.0", True),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", False),
        ("", False),
    ],
)
def test_one_of_or_and_each_of_and_must_be_taken(expression: str, expected: bool) -> None:
    assert expected is is_taken(expression, RULES.shipped)


def test_a_licence_that_nobody_has_allowed_is_a_fault_that_names_package_and_licence() -> None:
    packages = [Licensed("a", "1", "MIT", "MIT"), Licensed("b", "2", "GPL-3.0-only", ""), Licensed("c", "3", "", "Mine")]

    assert ["b 2: GPL-3.0-only", "c 3: Mine"] == [
        line.rpartition(":")[0] for line in materials.faults(packages, RULES.shipped)
    ]
    assert 1 == len(materials.faults(packages, RULES.development))


def test_every_licence_that_is_installed_has_been_allowed() -> None:
    assert [] == materials.check(read_rules())


def test_every_rule_is_still_needed() -> None:
    rules = read_rules()
    found = materials.installed(rules)
    used = {part for each in found.values() for part in re.split(" AND | OR ", each.licence)}

    assert set() == rules.development - used
    assert set() == rules.names.keys() - {each.stated for each in found.values()}
    assert set() == rules.packages.keys() - found.keys()


def test_the_bill_names_every_package_of_the_lock_that_is_shipped_with_its_hashes(made: Path) -> None:
    bill = json.loads((made / materials.SBOM).read_text())
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text())
    versions = {each["name"]: each["version"] for each in lock["package"]}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {normalised(re.match(r"[\w.-]+", each)[0]) for each in project["dependencies"]}
    named = {each["name"]: each for each in bill["components"]}

    assert ("CycloneDX", "1.5") == (bill["bomFormat"], bill["specVersion"])
    assert wanted | {"pygrpc-native", "psycopg", "psycopg-binary"} <= named.keys()
    assert not {"pytest", "ruff"} & named.keys()
    assert {name: versions[name] for name in named} == {name: each["version"] for name, each in named.items()}
    for each in named.values():
        assert all(source["hashes"] for source in each["externalReferences"]), each["name"]


def test_the_bill_tells_the_licence_of_whatever_is_installed(made: Path) -> None:
    bill = json.loads((made / materials.SBOM).read_text())
    here = {normalised(each.metadata["Name"]) for each in metadata.distributions()}

    assert [] == [each["name"] for each in bill["components"] if each["name"] in here and not each.get("licenses")]


def test_the_list_of_licences_has_the_text_of_each(made: Path) -> None:
    text = (made / materials.LICENCES).read_text()

    assert re.search(r"^grpcio \d\S+\nApache-2.0\n", text, re.MULTILINE)
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in text
    assert "Redistribution and use in source and binary forms" in text


def test_an_unknown_command_is_told_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == materials.main(["nonsense"])
    assert "tools/materials.py check" in capsys.readouterr().err


def test_everything_in_the_lock_is_installed_by_its_hash() -> None:
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    ours = [each["name"] for each in packages if "registry" not in each["source"]]

    assert ["portcullis"] == ours
    for each in packages:
        files = [*each.get("wheels", ()), *([each["sdist"]] if "sdist" in each else ())]
        assert all(file["hash"].startswith("sha256:") for file in files), each["name"]
        assert files or each["name"] == "portcullis"


def test_uv_itself_is_installed_by_its_hash_on_every_platform() -> None:
    lines = (REPOSITORY / "tools" / "uv.txt").read_text().splitlines()
    (pin,) = [line for line in lines if line.startswith("uv==")]
    hashes = [line for line in lines if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)]

    assert pin.endswith(" \\")
    assert len(hashes) > 10
    assert {"", "#", "u"} >= {line[:1] for line in lines} - {" "}
