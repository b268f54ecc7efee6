"""The bill of materials and the licences of what is shipped: `python tools/materials.py check`, or `make [FOLDER]`.

The bill (CycloneDX 1.5, JSON) is uv's own export of ``uv.lock``: every package of the production image with its version,
its source and the hashes that it is installed by, on every platform. Added here is the licence that each installed package
states in its own metadata, as an SPDX expression. `licences.toml` says which licences may be shipped, which may be used for
development, and what the metadata means where it does not speak SPDX.

``check`` looks at everything that is installed and exits 1 at a licence that is not listed. ``make`` does the same for what
is shipped, and writes ``sbom.cdx.json`` and ``licences.txt`` with the text of each licence. Standard library only: the image
is built with it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RULES = Path(__file__).resolve().with_name("licences.toml")
SBOM = "sbom.cdx.json"
LICENCES = "licences.txt"
OWN = "portcullis"
# What an image is built with: deploy/Dockerfile.
_EXPORT = (
    "export",
    "--frozen",
    "--offline",
    "--no-dev",
    "--extra",
    "native",
    "--extra",
    "postgres",
    "--format",
    "cyclonedx1.5",
)
_CLASSIFIER = "License :: OSI Approved :: "
_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR) [A-Za-z0-9.+-]+)*")


class Rules(NamedTuple):
    """Which licences are taken, by SPDX id, and how those are read that are not written so.

    Attributes:
        shipped: may be in an image.
        development: may be used beside these to build and test.
        names: SPDX expressions by what metadata states instead.
        packages: by package, what its metadata states and which SPDX expression its licence file shows that to be.
    """

    shipped: frozenset[str]
    development: frozenset[str]
    names: Mapping[str, str]
    packages: Mapping[str, Mapping[str, str]]


class Licensed(NamedTuple):
    """One package: its normalised name, version and licence as an SPDX expression; "" where nobody knows it."""

    name: str
    version: str
    licence: str
    stated: str


def read_rules(path: Path = RULES) -> Rules:
    """Read the rules."""
    table = tomllib.loads(path.read_text())
    shipped = frozenset(table["shipped"])
    return Rules(shipped, shipped | frozenset(table["development"]), table["names"], table["packages"])


def normalised(name: str) -> str:
    """Give a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stated(given: Message | metadata.PackageMetadata) -> str:
    """Give what a package's metadata states: its expression, or else its classifiers, or else its free text's first line."""
    fields: Any = given
    if expression := fields.get("License-Expression"):
        return str(expression)
    classifiers = [
        each.removeprefix(_CLASSIFIER) for each in fields.get_all("Classifier") or () if each.startswith(_CLASSIFIER)
    ]
    if classifiers:
        return " AND ".join(sorted(classifiers))
    return next(iter((fields.get("License") or "").strip().splitlines()), "")


def spdx(name: str, said: str, rules: Rules) -> str:
    """Give the SPDX expression of what a package states, "" where it is not known."""
    if own := rules.packages.get(name):
        return own["is"] if own["stated"] == said else ""
    if said in rules.names:
        return rules.names[said]
    return said if _EXPRESSION.fullmatch(said) else ""


def is_taken(expression: str, taken: frozenset[str]) -> bool:
    """Say whether an expression can be met with the licences taken: of OR one, of AND each; brackets are not understood."""
    if not expression or "(" in expression:
        return False
    return all(any(each in taken for each in term.split(" OR ")) for term in expression.split(" AND "))


def installed(rules: Rules) -> dict[str, Licensed]:
    """Give the packages of this interpreter by name, without our own."""
    found = {}
    for each in metadata.distributions():
        name, said = normalised(each.metadata["Name"]), stated(each.metadata)
        if name != OWN:
            found[name] = Licensed(name, each.version, spdx(name, said, rules), said)
    return found


def faults(packages: Iterable[Licensed], taken: frozenset[str]) -> list[str]:
    """Give a line for each package whose licence is not taken."""
    return [
        f"{each.name} {each.version}: {each.licence or each.stated or 'no licence stated'}: not in tools/licences.toml"
        for each in packages
        if not is_taken(each.licence, taken)
    ]


def export() -> dict[str, Any]:
    """Give uv's bill of materials of what is shipped."""
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    if uv is None:
        raise SystemExit("tools/materials.py: there is no uv beside this python or in the path; run it with `make sbom`")
    command = [uv, *_EXPORT, "--preview-features", "sbom-export"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def with_licences(bill: dict[str, Any], packages: Mapping[str, Licensed]) -> dict[str, Any]:
    """Give a bill whose components have the licences of what is installed; those of other platforms stay without."""
    bill["metadata"]["component"] |= {"type": "application", "licenses": [{"license": {"id": "Apache-2.0"}}]}
    for component in bill["components"]:
        known = packages.get(normalised(component["name"]))
        if known is not None and known.version == component["version"] and known.licence:
            alone = " " not in known.licence
            component["licenses"] = [{"license": {"id": known.licence}} if alone else {"expression": known.licence}]
    return bill


def texts(name: str) -> list[str]:
    """Give the licence and notice files that a package brings."""
    distribution = metadata.distribution(name)
    pattern = re.compile(r"\.dist-info/(?:.*/)?(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*$", re.IGNORECASE)
    paths = [each for each in distribution.files or () if pattern.search(each.as_posix())]
    return [Path(str(each.locate())).read_text(errors="replace").strip() for each in sorted(paths)]


def listed(packages: Sequence[Licensed]) -> str:
    """Give the list of licences with their texts."""
    parts = [
        f"{each.name} {each.version}\n{each.licence}\n" + "".join(f"\n{text}\n" for text in texts(each.name))
        for each in packages
    ]
    return f"\n{'=' * 80}\n".join(parts)


def make(folder: Path, rules: Rules) -> list[str]:
    """Write the bill and the list; gives the faults found."""
    packages = installed(rules)
    bill = export()
    names = {normalised(each["name"]) for each in bill["components"]}
    shipped = [packages[name] for name in sorted(names & packages.keys())]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SBOM).write_text(json.dumps(with_licences(bill, packages), indent=1) + "\n")
    (folder / LICENCES).write_text(listed(shipped))
    return faults(shipped, rules.shipped)


def check(rules: Rules) -> list[str]:
    """Give the faults of everything that is installed."""
    packages = installed(rules)
    shipped = {normalised(each["name"]) for each in export()["components"]}
    return [
        *faults((each for name, each in packages.items() if name in shipped), rules.shipped),
        *faults((each for name, each in packages.items() if name not in shipped), rules.development),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands."""
    match arguments:
        case ["check"]:
            found = check(read_rules())
        case ["make", *given] if len(given) < 2:
            found = make(Path(*given) if given else ROOT / "build", read_rules())
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    for line in sorted(found):
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
