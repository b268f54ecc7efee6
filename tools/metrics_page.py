"""Write docs/reference/metrics.md from the metric catalogue: `python tools/metrics_page.py`."""

from __future__ import annotations

from pathlib import Path

from portcullis.metrics.catalogue import CATALOGUE, Definition

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"

_HEAD = """# Metrics

Made from `services/portcullis/metrics/catalogue.py` by `tools/metrics_page.py`; change the catalogue, then run it.

Served at `/metrics` on the HTTP port (8080): by the parent of `portcullis run` for all its children together, by each part
of the production form for itself. No label holds an identifier or anything else about a person.
"""
_PARTS = {
    "gateway": "Gateway workers",
    "shipper": "Shipper",
    "follower": "Follower",
    "publisher": "Publisher",
    "exchange": "Exchange",
    "stack": "The parent of `portcullis run`",
}
_JOINED = {
    "": "",
    "livemin": " Lowest of the living processes.",
    "livemax": " Highest of the living processes.",
    "livemostrecent": " Last set by a living process.",
}


def page() -> str:
    """Give the page's text."""
    return _HEAD + "".join(_section(part, title) for part, title in _PARTS.items())


def _section(part: str, title: str) -> str:
    rows = "".join(_row(each) for each in CATALOGUE if each.part == part)
    return f"\n## {title}\n\n| metric | kind | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n{rows}"


def _row(metric: Definition) -> str:
    labels = ", ".join(f"`{each}`" for each in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning}{_JOINED[metric.mode]} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
