"""Checkouts that ask about people whose answers are known, while keys change underneath them.

A wrong answer is one that differs from what is certain at that moment: a person is taken off the books that are asked about
before anything is done to their entry, and put on again once every worker shows it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portcullis.client import Client, ClientError, Identifier, Question
from portcullis.demo.people import passport, resident_id
from tests.support.stack import RunningStack, portcullis

LIST = "carrier-misconduct"
BATCH = 1_000
LISTED_SHARE = 50
"""One in so many of those asked about is listed."""
SETTLED_S = 20.0
_LOOKS = 12


def wanted_of(number: int) -> Identifier:
    """Somebody, by a document of a kind that belongs to a country and of one that does not, in turn."""
    made = passport(1_000 + number) if number % 2 else resident_id(500_000 + number)
    return Identifier(made.kind, made.value, made.country)


def row(number: int) -> dict[str, Any]:
    """An entry about them."""
    today = datetime.now(UTC).date()
    who = wanted_of(number)
    return {
        "key": f"rotated-{number}",
        "subject_type": "person",
        "identifiers": [{"kind": who.kind, "value": who.value, "country": who.country}],
        "case_reference": f"Flight report {number}",
        "valid_from": str(today - timedelta(days=1)),
        "until": str(today + timedelta(days=60)),
    }


def asked(who: Identifier) -> Question:
    return Question((who,), action="air.ticket.purchase", purpose="ticketing")


def is_shown(stack: RunningStack, number: int, wanted: str) -> bool:
    """Say whether every one of some fresh connections gives this answer, so that each worker was asked."""
    question, seen = asked(wanted_of(number)), set()
    for _ in range(_LOOKS):
        with stack.client("ticketing", timeout_s=30.0) as client:
            seen.add(str(client.check(question.identifiers, action=question.action, purpose=question.purpose).outcome))
    return seen == {wanted}


class Books:
    """Who is certainly listed, and who certainly is not."""

    def __init__(self, listed: int, clean: int) -> None:
        self.lock = threading.Lock()
        self.listed = list(range(listed))
        self.clean = list(range(1_000_000, 1_000_000 + clean))
        self.strangers = 2_000_000
        self.rounds: Counter[int] = Counter()

    def draw(self, rng: random.Random, worker: int) -> list[tuple[int, str]]:
        with self.lock:
            self.rounds[worker] += 1
            share = BATCH // LISTED_SHARE
            drawn = [(each, "RESTRICT") for each in rng.sample(self.listed, share)]
            drawn += [(each, "ALLOW") for each in rng.choices(self.clean, k=BATCH - share)]
        rng.shuffle(drawn)
        return drawn

    def take(self, book: list[int], rng: random.Random) -> int:
        """Take somebody off a book, and wait until nobody asks about them any more."""
        with self.lock:
            number = book.pop(rng.randrange(len(book)))
            before = dict(self.rounds)
        until = time.monotonic() + SETTLED_S
        while any(self.rounds[worker] == count for worker, count in before.items()) and time.monotonic() < until:
            time.sleep(0.01)
        return number

    def enter(self, book: list[int], number: int) -> None:
        with self.lock:
            book.append(number)


class Checkout:
    """Asks batch after batch, and counts what is wrong."""

    def __init__(self, stack: RunningStack, books: Books, number: int) -> None:
        self._stack = stack
        self._books = books
        self._number = number
        self._rng = random.Random(number)
        self.checks = 0
        self.wrong: Counter[tuple[str, str, bool, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.refused: list[str] = []

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            try:
                with self._stack.client("ticketing", timeout_s=30.0) as client:
                    self._ask(client, over)
            except ClientError as fault:
                self.faults[type(fault).__name__] += 1
                over.wait(0.05)

    def _ask(self, client: Client, over: threading.Event) -> None:
        # A connection of its own now and then, so that both workers are asked.
        for _ in range(5):
            if over.is_set():
                return
            drawn = self._books.draw(self._rng, self._number)
            answers = client.batch_check([asked(wanted_of(number)) for number, _ in drawn])
            for (_, expected), answer in zip(drawn, answers, strict=True):
                outcome = str(answer.get().outcome)
                self.checks += 1
                if outcome != expected:
                    decision = answer.get()
                    self.wrong[expected, outcome, decision.degraded, decision.snapshot.version] += 1
            self.refused = [each.decision.decision_id for each in answers if each.decision and not each.decision.allowed]


class Desk:
    """Puts people on the list and takes them off, by turns, while they are asked about."""

    def __init__(self, stack: RunningStack, books: Books, folder: Path) -> None:
        self._stack = stack
        self._books = books
        self._folder = folder
        self._rng = random.Random(7)
        self.puts = self.withdrawals = 0

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            books = self._books
            number = books.take(books.clean, self._rng)
            file = self._folder / "put.json"
            file.write_text(json.dumps(row(number)))
            self._command("entry", "put", LIST, file, "--why", "reported by the crew")
            self._shown(number, "RESTRICT")
            self.puts += 1
            books.enter(books.listed, number)
            number = books.take(books.listed, self._rng)
            self._command("entry", "withdraw", f"{LIST}/rotated-{number}", "--why", "decided for the passenger")
            self._shown(number, "ALLOW")
            self.withdrawals += 1
            books.enter(books.clean, number)

    def _command(self, *arguments: str | Path) -> None:
        for left in reversed(range(3)):
            key = self._stack.home / "operator-key"
            done = portcullis(*arguments, "--home", self._stack.home, "--key", f"@{key}", "--json")
            if done.returncode == 0:
                return
            assert left, f"{arguments[:2]}: {done.stderr}"

    def _shown(self, number: int, wanted: str) -> None:
        until = time.monotonic() + SETTLED_S
        while not is_shown(self._stack, number, wanted):
            assert time.monotonic() < until, f"not every worker says {wanted}"


class Load:
    """What goes on beside a rotation."""

    def __init__(self, checkouts: list[Checkout], desk: Desk, deaths: list[str]) -> None:
        self._checkouts = checkouts
        self._deaths = deaths
        self.desk = desk

    @property
    def checks(self) -> int:
        assert not self._deaths, self._deaths
        return sum(each.checks for each in self._checkouts)

    @property
    def wrong(self) -> Counter[tuple[str, str, bool, str]]:
        return sum((each.wrong for each in self._checkouts), Counter())

    @property
    def faults(self) -> Counter[str]:
        return sum((each.faults for each in self._checkouts), Counter())

    @property
    def refused(self) -> list[str]:
        """The ids of some decisions that refused somebody, the latest."""
        return [decision_id for each in self._checkouts for decision_id in each.refused]


@contextmanager
def under_load(stack: RunningStack, books: Books, folder: Path, *, checkouts: int = 2) -> Iterator[Load]:
    """Let checkouts ask and a desk work while the context lasts."""
    over = threading.Event()
    made = [Checkout(stack, books, number) for number in range(checkouts)]
    desk = Desk(stack, books, folder)
    deaths: list[str] = []

    def guarded(work: Any) -> None:
        try:
            work(over)
        except Exception as fault:  # noqa: BLE001 - told by whoever looks at the load
            deaths.append(f"{type(fault).__name__}: {fault}")
            over.set()

    threads = [threading.Thread(target=guarded, args=(each.run,)) for each in (*made, desk)]
    for thread in threads:
        thread.start()
    try:
        yield Load(made, desk, deaths)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not deaths, deaths
