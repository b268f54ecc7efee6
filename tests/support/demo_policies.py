"""The demonstration's policy with its partners changed, for who asks in ways that no honest partner does."""

from __future__ import annotations

import shutil
from pathlib import Path

from portcullis.mains.demo import POLICY


def watched_policy(folder: Path, *partners: str, also: str = "") -> Path:
    """Write the policy into a new folder, its partners (all, or those named) watched rather than stopped.

    A thousand made-up people again and again look like a scraper. ``also`` is added to their files.
    """
    shutil.copytree(POLICY, folder)
    files = sorted((folder / "partners").glob("*.toml"))
    for file in files:
        if not partners or file.stem in partners:
            watched = file.read_text().replace("[partner]\n", '[partner]\nprobing = "watch"\n', 1)
            file.write_text(f"{watched}\n{also}")
    return folder
