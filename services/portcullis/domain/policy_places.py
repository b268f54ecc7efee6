"""Where the parts of a policy stand: the paths that its problems name.

A place is a file and a key path in it, such as ``lists/carrier-misconduct.toml:measure[flights].when``; a policy that comes
from no file has the whole path, ``list[carrier-misconduct].measure[flights].when``. A part without a name goes by its
number, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

Files = Mapping[str, str]
"""The file of each part, by its number: ``{"actions[0]": "actions.toml", "lists[2]": "lists/ofac-sdn.toml"}``."""

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""The form of a list's, measure's, partner's or purpose's name."""

ACTION_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+")
"""The form of an action's name: dotted, two parts at least."""

MAX_NAME_LENGTH = 64
"""The longest name, in characters."""


def action_place(files: Files, number: int, name: str) -> str:
    """Give the place of an action."""
    return _in_file(files.get(f"actions[{number}]"), f"action[{name or number}]")


def list_place(files: Files, number: int, name: str) -> str:
    """Give the place of a list's own keys."""
    file = files.get(f"lists[{number}]")
    return f"{file}:list" if file else f"list[{name or number}]"


def measure_place(files: Files, number: int, list_name: str, place: int, name: str) -> str:
    """Give the place of the ``place``-th measure of the ``number``-th list."""
    file = files.get(f"lists[{number}]")
    return f"{file}:measure[{name or place}]" if file else f"list[{list_name or number}].measure[{name or place}]"


def notice_place(files: Files, number: int, list_name: str, place: int) -> str:
    """Give the place of the ``place``-th notice of the ``number``-th list."""
    file = files.get(f"lists[{number}]")
    return f"{file}:notice[{place}]" if file else f"list[{list_name or number}].notice[{place}]"


def partner_place(files: Files, number: int, name: str) -> str:
    """Give the place of a partner's own keys."""
    file = files.get(f"partners[{number}]")
    return f"{file}:partner" if file else f"partner[{name or number}]"


def agreement_place(files: Files, number: int, partner: str, place: int) -> str:
    """Give the place of the ``place``-th agreement of the ``number``-th partner."""
    file = files.get(f"partners[{number}]")
    return f"{file}:agreement[{place}]" if file else f"partner[{partner or number}].agreement[{place}]"


def certificate_place(files: Files, number: int, partner: str, place: int) -> str:
    """Give the place of the ``place``-th certificate of the ``number``-th partner."""
    file = files.get(f"partners[{number}]")
    return f"{file}:certificate[{place}]" if file else f"partner[{partner or number}].certificate[{place}]"


def quota_place(files: Files, number: int, partner: str) -> str:
    """Give the place of the quota of the ``number``-th partner."""
    file = files.get(f"partners[{number}]")
    return f"{file}:quota" if file else f"partner[{partner or number}].quota"


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """Say which known name may be meant, or which there are."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"write {near[0]!r} if that is meant, or declare the {what}"
    return f"declare the {what} first" + (f"; known: {', '.join(names[:12])}" if names else "")


def _in_file(file: str | None, path: str) -> str:
    return f"{file}:{path}" if file else path
