"""Made-up traffic: partners with honest customers, and people who go through numbers.

Each stream gives questions without end. The numbers are written as real ones are, since how they lie is what is studied;
they are drawn at random and asked of nobody: the detector works in memory, and only counts leave it.
"""
# ruff: noqa: S311 - a simulation, which must come out alike each time

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from itertools import accumulate, cycle, islice
from typing import NamedTuple
from zlib import crc32

LISTED_SHARE = 0.005
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class Question(NamedTuple):
    """One identifier asked about; ``value`` is "" where it can't be what it says."""

    kind: str
    value: str
    listed: bool
    scraped: bool = False

    @property
    def token(self) -> bytes:
        """Stands for its token."""
        return hashlib.blake2b(self.value.encode(), digest_size=16).digest()


Stream = Iterator[Question]


def resident_id(region: int, day: int, code: int) -> str:
    """Write a resident ID with its check digit (GB 11643): a region, a day from 1940 on, and a code of that day."""
    year, rest = divmod(day, 336)
    body = f"{region:06d}{1940 + year:04d}{1 + rest // 28:02d}{1 + rest % 28:02d}{code:03d}"
    return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]


def _one_in(many: int, value: str) -> bool:
    """Draw for a number, always alike."""
    return crc32(value.encode()) % many == 0


def _person(draw: random.Random, *, local: float = 0.3) -> str:
    """Someone of working age: born within 40 years, and of one region with a probability."""
    region = 440305 if draw.random() < local else 110000 + draw.randrange(3000) * 37
    return resident_id(region, 336 * 20 + draw.randrange(336 * 40), draw.randrange(1, 400))


def _mobile(draw: random.Random) -> str:
    return f"+861{draw.choice('35789')}{draw.randrange(10**9):09d}"


def _phones(draw: random.Random, count: int) -> list[str]:
    """Phones of customers: some families have neighbouring numbers, some offices a block."""
    phones: list[str] = []
    while len(phones) < count:
        chance = draw.random()
        first = int(_mobile(draw)[1:])
        size = 1 if chance < 0.95 else draw.randrange(2, 5) if chance < 0.999 else draw.randrange(10, 40)
        phones += [f"+{first + place}" for place in range(size)]
    return phones[:count]


def shop(seed: int, *, customers: int = 200_000, exponent: float = 1.1, local: float = 0.3) -> Stream:
    """A shop: customers come again by Zipf's law, one in a hundred is mistyped, and each brings an ID and a phone."""
    draw = random.Random(seed)
    phones = _phones(draw, customers)
    people = [_person(draw, local=local) for _ in range(customers)]
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(customers)))
    listed = [draw.random() < LISTED_SHARE for _ in range(customers)]
    while True:
        for who in draw.choices(range(customers), cum_weights=weights, k=4096):
            if draw.random() < 0.01:
                yield Question("cn.resident-id", "", listed=False)
                continue
            yield Question("cn.resident-id", people[who], listed[who])
            if draw.random() < 0.5:
                yield Question("phone", phones[who], listed[who])


def caller_id(seed: int) -> Stream:
    """Callers' numbers: most call seldom, some often, and one call in four is a call centre's, out of a block of numbers."""
    draw = random.Random(seed)
    phones = _phones(draw, 100_000)
    weights = list(accumulate((rank + 1) ** -1.05 for rank in range(len(phones))))
    centres = [(int(_mobile(draw)[1:]), draw.randrange(10, 200)) for _ in range(300)]
    busy = list(accumulate((rank + 1) ** -1.0 for rank in range(len(centres))))
    while True:
        for who in draw.choices(range(len(phones)), cum_weights=weights, k=4096):
            if draw.random() < 0.25:
                first, size = draw.choices(centres, cum_weights=busy)[0]
                yield Question("phone", f"+{first + draw.randrange(size)}", listed=draw.random() < 0.05)
            else:
                yield Question("phone", phones[who], listed=_one_in(200, phones[who]))


def new_customers(seed: int) -> Stream:
    """A bank's desk for new customers: nearly nobody comes again."""
    draw = random.Random(seed)
    while True:
        invalid = draw.random() < 0.02
        value = "" if invalid else _person(draw, local=0.5)
        yield Question("cn.resident-id", value, listed=not invalid and draw.random() < LISTED_SHARE)


def everybody(seed: int) -> Stream:
    """All customers of a bank at night, in the order of their IDs."""
    draw = random.Random(seed)
    people = sorted({_person(draw) for _ in range(100_000)})
    while True:
        for each in people:
            yield Question("cn.resident-id", each, listed=draw.random() < LISTED_SHARE)


HONEST: dict[str, Callable[[int], Stream]] = {
    "shop, Zipf 1.0": lambda seed: shop(seed, exponent=1.0),
    "shop, Zipf 1.1": lambda seed: shop(seed, exponent=1.1),
    "shop, Zipf 1.2": lambda seed: shop(seed, exponent=1.2),
    "shop of one town": lambda seed: shop(seed, customers=20_000, local=0.9),
    "small shop": lambda seed: shop(seed, customers=3_000, exponent=1.0),
    "caller identification": caller_id,
    "new customers' desk": new_customers,
}


def _scraped(kind: str, values: Iterator[str]) -> Stream:
    for value in values:
        # What is gone through at random is listed as seldom as anybody; what is stolen, always.
        yield Question(kind, value, listed=bool(value) and _one_in(1000, value), scraped=True)


def _codes(start: int, step: int = 1) -> Iterator[str]:
    """Resident IDs of one region, birth date after birth date, check digits computed."""
    number = start
    while True:
        day, code = divmod(number, 999)
        yield resident_id(440305, day % (336 * 60), code + 1)
        number += step


def _numbers(step: int, first: int = 8613800000000) -> Iterator[str]:
    number = first
    while True:
        yield f"+{number}"
        number += step


def _shuffled(seed: int, size: int) -> Iterator[str]:
    places = list(range(size))
    random.Random(seed).shuffle(places)
    return (f"+{8613800000000 + place}" for place in cycle(places))


def _walk(seed: int) -> Iterator[str]:
    """Somebody who can't work check digits out: ten of eleven tries are none."""
    for number in _codes(999 * 9000 * seed):
        for place in range(11):
            yield number if place == 10 else ""


def _interleaved(seed: int) -> Iterator[str]:
    blocks = (8613000000000, 8615000000000, 8618000000000)
    return (f"+{block + seed * 10**6 + place}" for place in range(10**6) for block in blocks)


def _one_region(seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    while True:
        yield resident_id(510104, draw.randrange(336 * 60), draw.randrange(1, 999))


def _anybody(seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    while True:
        yield _person(draw, local=0.0)


def _stolen(seed: int) -> Stream:
    draw = random.Random(seed)
    while True:
        yield Question("cn.resident-id", _person(draw), listed=draw.random() < 0.95, scraped=True)


def _passports(seed: int) -> Iterator[str]:
    return (f"XA{number:07d}" for number in range(seed % 8 * 1_000_000, 9_000_000))


SCRAPERS: dict[str, Callable[[int], Stream]] = {
    "phones in order": lambda seed: _scraped("phone", _numbers(1, 8613800000000 + seed * 10**6)),
    "phones downwards": lambda seed: _scraped("phone", _numbers(-1, 8613800000000 + seed * 10**6)),
    "phones, every 97th": lambda seed: _scraped("phone", _numbers(97, 8613800000000 + seed * 10**6)),
    "phones, a block of 100,000 shuffled": lambda seed: _scraped("phone", _shuffled(seed, 100_000)),
    "phones, three blocks in turn": lambda seed: _scraped("phone", _interleaved(seed)),
    "resident IDs in order": lambda seed: _scraped("cn.resident-id", _codes(999 * 9000 * seed)),
    "resident IDs, one of each birth date": lambda seed: _scraped("cn.resident-id", _codes(999 * 9000 * seed, 999)),
    "passports in order": lambda seed: _scraped("passport", _passports(seed)),
    "check digits tried": lambda seed: _scraped("cn.resident-id", _walk(seed)),
    "a stolen list": _stolen,
    "valid IDs of one region, at random": lambda seed: _scraped("cn.resident-id", _one_region(seed)),
    "valid IDs at random": lambda seed: _scraped("cn.resident-id", _anybody(seed)),
}


def mixed(honest: Stream, scraper: Stream, share: int = 10) -> Stream:
    """Put one question of a scraper among so many honest ones."""
    while True:
        yield from islice(honest, share)
        yield next(scraper)
