"""What h2load prints is read rightly, or refused."""

from __future__ import annotations

import pytest

from benchmarks.h2load import Load, LoadFailed, frame, read_output

SUMMARY = """\
finished in 2.50s, {rate} req/s, 3.36MB/s
requests: {done} total, 128 started, {done} done, {good} succeeded, {failed} failed, {errored} errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 6.71MB (7037220) total, 1.01MB (1057938) headers (space savings 91.24%), 4.67MB (4901742) data
                     min         max         mean         sd        +/- sd
time for request:     2.04ms     56.79ms      {mean}      3.95ms    89.08%
time for connect:        0us         0us         0us         0us     0.00%
"""


def summary(*, done: int = 37742, good: int = 37742, failed: int = 0, errored: int = 0, mean: str = "6.76ms") -> str:
    return SUMMARY.format(rate="18871.00", done=done, good=good, failed=failed, errored=errored, mean=mean)


@pytest.mark.parametrize(("mean", "microseconds"), [("6.76ms", 6760.0), ("731us", 731.0), ("1.20s", 1_200_000.0)])
def test_a_summary_gives_rate_calls_mean_and_bytes(mean: str, microseconds: float) -> None:
    expected = Load(rate=18871.0, calls=37742, mean_us=pytest.approx(microseconds), data_bytes=4_901_742)
    assert expected == read_output(summary(mean=mean))


@pytest.mark.parametrize(
    "text",
    [
        summary(good=37741),
        summary(failed=1),
        summary(errored=1),
        summary(done=0, good=0),
        "",
    ],
)
def test_a_round_in_which_a_call_failed_does_not_count(text: str) -> None:
    with pytest.raises(LoadFailed):
        read_output(text)


def test_a_message_is_framed_with_its_length() -> None:
    assert b"\x00\x00\x00\x01\x02" + b"x" * 258 == frame(b"x" * 258)
