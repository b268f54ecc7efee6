"""Look for secrets in what git tracks, or would: `python tools/secrets_scan.py [FILE ...]`; exits 1 where there is one.

It knows the forms of secrets that can't be anything else: the project's own keys, sessions and key files, private keys, URLs
with a password, tokens of well-known services, and literals that are given to a name such as ``password``. It does not guess
by entropy: among golden digests and test vectors a guess is mostly wrong, and a list of exceptions that is edited with every
test is read by nobody.

What a test makes up has ``hush`` in it, and is none. A line that must look so otherwise ends with ``secrets-scan: allow``
and the reason, or its file stands in `FIXTURES`. Only the place is printed, never the secret.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = "secrets-scan: allow"
MADE_UP = "hush"
FORMS = {
    "an API key": r"\bpcl_[a-z2-7]{8}_[\w-]{43}\b",
    "a session or a relay's token": r"\bpcs_[\w-]{32,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\s|\\n|[\"'])*[A-Za-z0-9+/=]{40,}",
    "a URL with a password": r"\b[a-z][a-z0-9+.-]*://[^\s:/@\"'`<>{}$]*:[^\s@/\"'`<>{}$]{3,}@[\w.\[-]",
    "a key of AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\bgh[opsur]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}",
    "a token of GitLab": r"\bglpat-[\w-]{20,}",
    "a token of Slack": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a key of Google": r"\bAIza[\w-]{35}\b",
    "a key of Stripe": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "a token of PyPI": r"\bpypi-[\w-]{50,}",
    "a token of npm": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a signed token": r"\beyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}",
    "a literal given to a secret's name": (
        r"(?i)\b[\w-]*(?:passw(?:or)?d|secret|api_?key|authorization|credential|auth_?token)s?[\"']?\s*[:=]\s*[\"'](?=[^\"']*\d)"
        r"[A-Za-z0-9+/=_.~-]{16,}[\"']"
    ),
}
"""What is looked for, by what it is."""
WHOLE = {"a key file": re.compile(r"\s*[0-9a-fA-F]{64}\s*")}
"""What a file is as a whole."""
FIXTURES: dict[str, frozenset[str]] = {
    "tests/unit/adapters/test_sql_engines.py": frozenset({"a URL with a password"}),
    "tests/unit/registry/test_api_keys.py": frozenset({"an API key"}),
}
"""What may be in which file, by the file's path: made-up secrets of tests that open nothing."""

_LONGEST = 2_000_000
_PATTERNS = {what: re.compile(form) for what, form in FORMS.items()}


def tracked(root: Path = ROOT) -> list[Path]:
    """Give the files that git tracks, and those that it would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    told = subprocess.run(command, cwd=root, check=True, capture_output=True)
    return [path for name in told.stdout.split(b"\0") if name and (path := root / name.decode()).is_file()]


def secrets_in(text: str) -> Iterator[tuple[int, str]]:
    """Give the line and the kind of each secret of a text; line 0 where the whole text is one."""
    for what, pattern in WHOLE.items():
        if pattern.fullmatch(text):
            yield 0, what
    for what, pattern in _PATTERNS.items():
        for found in pattern.finditer(text):
            line = text[text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            if MADE_UP not in found[0] and ALLOWED not in line:
                yield text.count("\n", 0, found.start()) + 1, what


def findings(files: Sequence[Path], root: Path = ROOT) -> list[str]:
    """Give a line for each secret that should not be there."""
    found = []
    for path in files:
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        raw = path.read_bytes()
        if b"\0" in raw or len(raw) > _LONGEST:
            continue
        allowed = FIXTURES.get(name, frozenset())
        found += [f"{name}:{line}: {what}" for line, what in secrets_in(raw.decode(errors="replace")) if what not in allowed]
    return found


def main(arguments: Sequence[str]) -> int:
    """Look at the files given, or at all."""
    found = findings([Path(each).resolve() for each in arguments] or tracked())
    for line in found:
        print(f"{line}; take it out and exchange it, or say at its end why it is none: {ALLOWED}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
