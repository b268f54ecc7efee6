"""The scan finds what a leak looks like, and nothing else in this repository."""

from __future__ import annotations

import secrets
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from portcullis.registry.keys import PREFIX
from tools.secrets_scan import ALLOWED, FIXTURES, MADE_UP, findings, main, secrets_in, tracked

REPOSITORY = Path(__file__).resolve().parents[3]
# Put together here, so that this file itself has none.
DASHES = "-" * 5
LEAKS = {
    "an API key": f"{PREFIX}_abcdefgh_{'Ab3-_' * 8}xyz",
    "a session or a relay's token": f"pcs_{'Ab3-_' * 8}xyz",
    "a private key": f"{DASHES}BEGIN PRIVATE KEY{DASHES}\nMC4CAQAwBQYDK2VwBCIEI{'A' * 40}\n",
    "a URL with a password": "redis" + "://:p4ssw0rd@store:6379/0",
    "a key of AWS": "AKIA" + "A1B2" * 4,
    "a token of GitHub": "ghp_" + "a1B2" * 9,
    "a token of GitLab": "glpat-" + "a1B2" * 5,
    "a token of Slack": "xoxb-" + "1234567890-a",
    "a key of Google": "AIza" + "a1B2_" * 7,
    "a key of Stripe": "sk_live_" + "a1B2" * 6,
    "a token of PyPI": "pypi-" + "a1B2-" * 12,
    "a token of npm": "npm_" + "a1B2" * 9,
    "a signed token": ".".join(["eyJ" + "a1B2" * 5] * 2 + ["a1B2" * 5]),
    "a literal given to a secret's name": 'db_password = "' + "correct-horse-1-battery" + '"',
}


@pytest.mark.parametrize(("what", "text"), LEAKS.items(), ids=LEAKS)
def test_a_secret_is_found_by_its_form_at_its_line(what: str, text: str) -> None:
    assert [(2, what)] == list(secrets_in(f"first\nx = {text}\nlast\n"))


def test_a_key_file_is_found() -> None:
    assert [(0, "a key file")] == list(secrets_in(f"{secrets.token_hex(32)}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "redis://HOST:PORT",
        "redis://:$(<valkey-password)@valkey:6379/0",
        "http://127.0.0.1:8080/readyz",
        'password = os.environ["PASSWORD"]',
        'secret = "a sentence about it"',
        f"digest: {sha256(b'of nothing').hexdigest()}",
        f"{DASHES}BEGIN PRIVATE KEY{DASHES}",
        f"redis://:{MADE_UP}@store:6379",
    ],
)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    assert [] == list(secrets_in(text))


def test_a_line_that_says_why_it_is_none_is_let_by() -> None:
    text = LEAKS["a key of AWS"]

    assert [] == list(secrets_in(f"{text}  # {ALLOWED}, from a manual\n"))
    assert [(2, "a key of AWS")] == list(secrets_in(f"{ALLOWED}\n{text}\n"))


def test_a_leak_ends_the_scan_with_its_place_and_without_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leak.toml").write_text(f"\n{LEAKS['a URL with a password']}\n")

    assert 1 == main([str(tmp_path / "leak.toml")])
    said = capsys.readouterr().err
    assert f"{tmp_path}/leak.toml:2: a URL with a password;" in said
    assert "p4ssw0rd" not in said


def test_what_git_tracks_or_would_add_is_looked_at_and_what_it_ignores_is_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("ignored\n")
    for name in ("new", "ignored"):
        (tmp_path / name).write_text(LEAKS["a key of AWS"])

    assert ["new:1: a key of AWS"] == findings(tracked(tmp_path), tmp_path)


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_a_file_that_may_hold_a_made_up_secret_does(name: str) -> None:
    assert FIXTURES[name] == {what for _, what in secrets_in((REPOSITORY / name).read_text())}
