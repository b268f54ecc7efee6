"""The machine a run was made on, as far as it bears on the figures: never its name."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec

_PACKAGES = ("grpcio", "pygrpc-native", "protobuf", "uvloop", "lmdb", "msgspec", "sqlalchemy", "cel-expr-python")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures depend on. ``memory_gib`` is all of the memory, ``cores`` what this process may use."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    filesystem: str
    versions: dict[str, str]

    @property
    def slug(self) -> str:
        """A short name for files: the processor and its cores."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.cpu.lower()).strip("-")
        return f"{plain}-{self.cores}-cores"


def describe_machine(folder: Path) -> Machine:
    """Describe this machine; ``folder`` is where the run keeps its files, whose file system is named."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        filesystem=_filesystem_of(folder),
        versions=_versions(),
    )


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _filesystem_of(folder: Path) -> str:
    """Give the type of the file system that holds the folder: the longest mount point above it."""
    best, kind = "", "unknown"
    for line in _text("/proc/mounts").splitlines():
        _, point, name, *_ = line.split(" ")
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind


def _versions() -> dict[str, str]:
    versions = {name: _version_of(name) for name in _PACKAGES}
    versions["sqlite"] = sqlite3.sqlite_version
    versions["h2load"] = _h2load_version()
    return versions


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _h2load_version() -> str:
    program = shutil.which("h2load")
    if program is None:
        return "absent"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split("/")[-1].strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
