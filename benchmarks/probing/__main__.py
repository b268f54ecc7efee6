"""``python -m benchmarks.probing``: false alarms and stops, as a page of ``benchmarks/results``.

With fixed seeds it gives the same figures on every machine. Args: the windows studied of each honest partner.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.probing.traffic import HONEST, SCRAPERS, Stream, everybody, mixed, shop
from benchmarks.probing.trials import WINDOW, Found, Windows, honest_windows, until_stopped
from benchmarks.report import now

_RESULTS = Path(__file__).parents[1] / "results"
_SEEDS = (11, 12, 13)
"""Those from 1 to 10 served to choose the thresholds."""


def main(windows: int = 5_000) -> None:
    """Run the trials, print the page and keep it."""
    lines = [f"# Probing: false alarms and stops, {now():%Y-%m-%d %H:%M} UTC", "", *_honest(windows), "", *_scrapers()]
    page = "\n".join(lines) + "\n"
    sys.stdout.write(page)
    file = _RESULTS / f"{now():%Y-%m-%d}-probing.md"
    file.write_text(page, encoding="utf-8")


def _honest(windows: int) -> Iterator[str]:
    yield (
        f"`make bench-probing`. Honest partners: {windows:,} windows of {WINDOW} questions each, from the first one on, a "
        "row for each seed."
    )
    yield ""
    yield "| partner | windows | slowed | stopped | false alarms |"
    yield "| --- | --- | --- | --- | --- |"
    alarms = total = 0
    for name, make in HONEST.items():
        for seed in _SEEDS:
            seen = honest_windows(make(seed), windows)
            alarms, total = alarms + seen.slowed + seen.stopped, total + seen.studied
            yield _row(name, seen)
        for workers in (4, 16):
            seen = honest_windows(make(_SEEDS[0]), windows, workers=workers)
            alarms, total = alarms + seen.slowed + seen.stopped, total + seen.studied
            yield _row(f"{name}, {workers} workers", seen)
    seen = honest_windows(HONEST["small shop"](12), 2_000, window_s=14_400.0)
    yield _row("small shop, 16 questions an hour", seen)
    yield f"| all | {total:,} | | | {alarms / total:.4%} (at most 0.1 %) |"
    yield ""
    seen = honest_windows(everybody(11), 1_500)
    yield (
        f"All customers again at night, in the order of their IDs: stopped in {seen.stopped} of {seen.studied:,} windows "
        'where the partner is `strict`. Such a partner is given `probing = "watch"`: the operator is told and nothing is '
        "held back."
    )


def _row(name: str, seen: Windows) -> str:
    share = (seen.slowed + seen.stopped) / seen.studied
    return f"| {name} | {seen.studied:,} | {seen.slowed} | {seen.stopped} | {share:.3%} |"


def _scrapers() -> Iterator[str]:
    yield (
        "Scrapers: the different numbers that one has asked about when it is stopped, the worst of three seeds. "
        "*New*: the credential has no history. *Known*: a shop asked 6,400 honest questions before, or 30,000. "
        "*4, 16 workers*: likewise, "
        "spread over so many, each with as much history. *1 in 11*: with ten honest ones beside each, "
        "at a shop known for 6,400 and for 30,000 questions, and at a desk for new customers known for 6,400. All are asked "
        "640 times a second, where windows are passed over."
    )
    yield ""
    hidden = "1 in 11, shop | 1 in 11, shop, 30,000 | 1 in 11, desk"
    yield f"| scraper | new | known | known, 30,000 | known, 4 workers | known, 16 workers | new, 16 workers | {hidden} |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, make in SCRAPERS.items():
        new = [until_stopped(make(seed)) for seed in _SEEDS]
        known = [until_stopped(make(seed), before=_shop(seed)) for seed in _SEEDS]
        long = [until_stopped(make(seed), before=_shop(seed), history=30_000) for seed in _SEEDS]
        four, sixteen = (
            [until_stopped(make(seed), before=_shop(seed), workers=workers) for seed in _SEEDS] for workers in (4, 16)
        )
        new_sixteen = [until_stopped(make(seed), workers=16) for seed in _SEEDS]
        among = [
            [_hidden(honest(seed), make(seed), history) for seed in _SEEDS]
            for honest, history in ((_shop, 6_400), (_shop, 30_000), (HONEST["new customers' desk"], 6_400))
        ]
        yield f"| {name} | {' | '.join(map(_worst, (new, known, long, four, sixteen, new_sixteen, *among)))} |"


def _shop(seed: int) -> Stream:
    return shop(seed, customers=20_000)


def _hidden(honest: Stream, scraper: Stream, history: int) -> Found:
    return until_stopped(mixed(honest, scraper), before=honest, history=history)


def _worst(found: list[Found]) -> str:
    stopped = [each.stopped for each in found]
    if None not in stopped:
        return f"{max(each for each in stopped if each is not None):,}"
    slowed = [each.slowed for each in found]
    if None not in slowed:
        return f"slowed after {max(each for each in slowed if each is not None):,}"
    return "not told apart"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
