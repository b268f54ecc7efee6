"""A policy as files: a directory of TOML, read whole, with every fault told at once.

    actions.toml        [[action]] with its [[action.attribute]]
    lists/*.toml        [list] with its [[measure]] and [[notice]], one list a file
    partners/*.toml     [partner] with its [[agreement]] and [[certificate]], one partner a file

Files are read in the order of their names, so the same directory always gives the same policy. A faulty key gets a place,
what is wrong and what to write instead, and the reading goes on as if something harmless stood there: the rules
(`portcullis.domain.policy_rules`) then judge the rest, and what they say about a key already reported is left out.

``docs/reference/policy.md`` is the reference of every key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portcullis.domain.errors import PolicyInvalid, PolicyProblem
from portcullis.domain.policies import Action, Partner, Policy, RestrictedList
from portcullis.domain.policy_rules import check_policy
from portcullis.registry.policy_tables import read_action, read_list, read_partner
from portcullis.registry.toml_tables import Table

ACTIONS_FILE = "actions.toml"
LISTS_FOLDER = "lists"
PARTNERS_FOLDER = "partners"

_LAYOUT = f"a policy has {ACTIONS_FILE}, {LISTS_FOLDER}/*.toml and {PARTNERS_FOLDER}/*.toml"
_CONFIGURATION = frozenset({".toml", ".yaml", ".yml", ".json"})


def load_policy(directory: Path) -> Policy:
    """Read a policy that may be loaded. Blocks on the disk.

    Raises:
        PolicyInvalid: with every problem, warnings left out.
    """
    policy, problems = read_policy(directory)
    if policy is None:
        raise PolicyInvalid([problem for problem in problems if not problem.warning])
    return policy


def read_policy(directory: Path) -> tuple[Policy | None, list[PolicyProblem]]:
    """Read a policy, and say everything about it: None when a problem that is no warning stands in its way."""
    reading = _Reading(directory)
    if not directory.is_dir():
        reading.fault(str(directory), "there is no such directory", f"name a policy's directory: {_LAYOUT}")
    elif not any(directory.rglob("*.toml")):
        reading.fault(str(directory), "the directory holds no policy", _LAYOUT)
    else:
        reading.read()
    reading.problems.sort(key=lambda problem: problem.where.partition(":")[0])
    refused = any(not problem.warning for problem in reading.problems)
    return (None if refused else reading.policy), reading.problems


class _Reading:
    """One reading of one directory: what was read, of which files, and what was wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problems: list[PolicyProblem] = []
        self.policy = Policy()
        self._actions: list[Action] = []
        self._lists: list[RestrictedList] = []
        self._partners: list[Partner] = []
        self._files: dict[str, str] = {}
        # Without a whole file the rules would only complain of what stood in it.
        self._lost = False

    def fault(self, where: str, what: str, instead: str) -> None:
        self.problems.append(PolicyProblem(where, what, instead))

    def read(self) -> None:
        if (self.directory / ACTIONS_FILE).is_file():
            self._read_actions()
        else:
            self._lost = True
            self.fault(ACTIONS_FILE, "the file is missing", "write it: one [[action]] for each thing a subject may do")
        for file, data in self._folder(LISTS_FOLDER):
            self._read_list(file, data)
        for file, data in self._folder(PARTNERS_FOLDER):
            self._read_partner(file, data)
        self._look_for_strays()
        self.policy = Policy(tuple(self._actions), tuple(self._lists), tuple(self._partners))
        if not self._lost:
            told = {problem.where for problem in self.problems}
            self.problems += [each for each in check_policy(self.policy, self._files) if each.where not in told]

    def _read_actions(self) -> None:
        data = self._load(self.directory / ACTIONS_FILE)
        if data is None:
            return
        top = self._top(ACTIONS_FILE, data)
        for number, table in enumerate(top.tables("action")):
            self._files[f"actions[{number}]"] = ACTIONS_FILE
            self._actions.append(read_action(table))
        top.close()

    def _read_list(self, file: str, data: dict[str, Any]) -> None:
        top = self._top(file, data)
        head = top.table("list", instead="write one [list] table, then its [[measure]] tables")
        measures = top.tables("measure")
        notices = top.tables("notice", named=False)
        top.close()
        self._lost = self._lost or head is None
        if head is not None:
            self._files[f"lists[{len(self._lists)}]"] = file
            self._lists.append(read_list(head, measures, notices))

    def _read_partner(self, file: str, data: dict[str, Any]) -> None:
        top = self._top(file, data)
        head = top.table("partner", instead="write one [partner] table, then its [[agreement]] tables")
        agreements = top.tables("agreement", named=False)
        certificates = top.tables("certificate", named=False)
        quota = top.table("quota", instead="write one [quota] table", required=False)
        top.close()
        self._lost = self._lost or head is None
        if head is not None:
            self._files[f"partners[{len(self._partners)}]"] = file
            self._partners.append(read_partner(head, agreements, certificates, quota))

    def _top(self, file: str, data: dict[str, Any]) -> Table:
        return Table(data, f"{file}:", self.problems)

    def _folder(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted((self.directory / folder).glob("*.toml")):
            data = self._load(path)
            if data is not None:
                yield f"{folder}/{path.name}", data

    def _load(self, path: Path) -> dict[str, Any] | None:
        file = path.relative_to(self.directory).as_posix()
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as fault:
            self.fault(file, f"this is no TOML: {fault}", "mend the line")
        except UnicodeDecodeError:
            self.fault(file, "this is no UTF-8 text", "save the file as UTF-8")
        except OSError as fault:
            self.fault(file, f"it can't be read: {fault.strerror}", "give this user the right to read it")
        except (ValueError, RecursionError):
            # What the parser leaves as Python raises it: numbers of thousands of digits, and nesting without end.
            self.fault(file, "a number in it is too long, or its arrays and tables are nested too deep", "write it plainly")
        self._lost = True
        return None

    def _look_for_strays(self) -> None:
        """A list in a file that nothing reads would be a list without effect: say so rather than pass over it."""
        for path in sorted(self.directory.rglob("*")):
            relative = path.relative_to(self.directory)
            read = relative.as_posix() == ACTIONS_FILE or (
                len(relative.parts) == 2 and relative.parts[0] in (LISTS_FOLDER, PARTNERS_FOLDER) and path.suffix == ".toml"
            )
            if path.is_file() and path.suffix in _CONFIGURATION and not read:
                self.fault(relative.as_posix(), "this file is not read", f"{_LAYOUT}; move or remove it")
