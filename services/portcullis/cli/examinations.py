"""What the doctor looks at. Each examination gives its findings and changes nothing.

A part that is not this host's business, as the registry on a host that has only a gateway, is a warning and no failure:
the doctor can't know what the host is meant to run.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.cli.alarm_examination import alarms
from portcullis.cli.exchange_examinations import exchange, spool
from portcullis.cli.findings import MIB, NO_DISK_BYTES, NO_ROOM, Examination, Finding, State, finding_of
from portcullis.cli.signing import WARN_DAYS, days_left
from portcullis.cli.wiring import Wiring
from portcullis.domain.editions import FORMAT
from portcullis.domain.errors import PortcullisError, Refusal, SnapshotInvalid
from portcullis.private_files import is_exposed

if TYPE_CHECKING:
    from portcullis.config import Settings
    from portcullis.domain.editions import Edition

KEY_FILES = {
    "token.key": "",
    "feed.key": "",
    "entry.key": "the registry, the publisher or the exchange",
    "seal.key": "the registry, the publisher or the exchange",
    "record.key": "the registry, the exchange or a shipper",
    "journal.key": "the exchange",
}
"""The key files, and the parts that need one where not every host does."""
SECRET_FILES = ("demo-keys.json", "demo-people-keys.json", "operator-key")
_STORE_MEND = "see that this host's trusted root is the publisher's; `portcullis snapshot verify` says what is wrong"
_STORE_MENDS = {
    Refusal.STORE_EMPTY: "start the publisher (`portcullis serve publisher`), or `portcullis publish` once",
    Refusal.METADATA_EXPIRED: "is the publisher running? it signs anew every second",
}
_LITTLE_DISK_BYTES = 1024 * MIB
_EARLIEST_S = 1_767_225_600
"""2026-01-01, before which this release did not exist."""
_TOLERATED_SKEW_S = 5.0
_GATEWAY_TIMEOUT_S = 3.0


def home(_wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the home is there, writable and private."""
    folder = settings.home.absolute()
    if not folder.is_dir():
        mend = "start `portcullis run`, or name another folder with --home or PORTCULLIS_HOME"
        yield Finding("home", State.FAIL, f"{folder} is no folder", mend)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("home", State.FAIL, f"{folder} can't be written", f"give it to this user: chown $USER {folder}")
    elif is_exposed(folder):
        yield Finding("home", State.WARN, f"{folder} can be read by others", f"chmod 700 {folder}")
    else:
        yield Finding("home", State.OK, str(folder))
    for name in SECRET_FILES:
        if is_exposed(folder / name):
            yield Finding(name, State.FAIL, "it can be read by others", f"chmod 600 {folder / name}")


def process(wiring: Wiring, _settings: Settings) -> Iterator[Finding]:
    """Look whether this user's processes have more rights, or show more, than they should."""
    exposed = wiring.exposures()
    for each in exposed:
        yield Finding("process", State.WARN, each.what, each.mend)
    if not exposed:
        yield Finding("process", State.OK, "not root, and no secret in its environment")


def keys(_wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the key files are there, private and whole."""
    folder = settings.keys_path.absolute()
    for name, parts in KEY_FILES.items():
        later = sorted(folder.glob(f"{Path(name).stem}.*.key"))
        yield from (_key_file(each.name, each, parts) for each in later)
        if later and not (folder / name).exists():
            # It was rotated out and retired.
            continue
        yield _key_file(name, settings.keys_path.absolute() / name, parts)


def key_ages(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether keys are older than they may get, and whether the registry's token keys are those that are here."""
    if not settings.keys_path.is_dir():
        return
    found = wiring.home_keys(settings).report()
    now = wiring.clock.now()
    late = [each for each in found if each.is_overdue(now)]
    for each in found:
        if each.name == "token" and each.state in {"missing", "damaged"}:
            mend = f"copy {Path(each.file).name} from another host of the registry, or from its backup"
            yield Finding("key ages", State.FAIL, f"the token key of epoch {each.epoch} is {each.state}", mend)
        if each.name == "token" and each.state == "unreadable":
            mend = f"give it and its folder to this user: chown $USER {Path(each.file).parent} {each.file}"
            yield Finding("key ages", State.FAIL, f"the token key of epoch {each.epoch} can't be read", mend)
    for each in late:
        what = f"{each.name} is older than {each.most_days} days"
        yield Finding("key ages", State.WARN, what, "rotate it: docs/how-to/keys.md, `portcullis keys`")
    if not late:
        yield Finding("key ages", State.OK, f"{len(found)} keys, none older than it may get")


def signing_keys(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look, where snapshots are signed, whether each role can sign and what people have signed holds for a while."""
    folder = settings.keys_path.absolute() / "trust"
    try:
        if not (folder / "targets.json").exists():
            return
        roles = wiring.key_ceremony(settings, None).roles()
    except PortcullisError as fault:
        yield finding_of(fault, "signing keys")
        return
    except OSError as fault:
        mend = f"give it to this user: chown -R $USER {folder}"
        yield Finding("signing keys", State.FAIL, f"{folder} can't be read ({fault.strerror})", mend)
        return
    silent = [each.role for each in roles if each.expires_at is None and all(key.state != "here" for key in each.keys)]
    late = [each.role for each in roles if (left := days_left(each, wiring.clock.now())) is not None and left < WARN_DAYS]
    if silent:
        mend = "the publisher of this host can't sign for them: see `portcullis keys show`"
        yield Finding("signing keys", State.WARN, f"no usable key of {', '.join(silent)} is here", mend)
    for role in late:
        mend = f"sign it anew: `portcullis keys rotate {role} --renew`"
        yield Finding("signing keys", State.WARN, f"{role} expires within {WARN_DAYS} days, or has expired", mend)
    if not silent and not late:
        yield Finding("signing keys", State.OK, f"{len(roles)} roles")


def trusted_root(_wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the root file is there from which a follower begins to trust snapshots."""
    path = settings.trusted_root_path.absolute()
    try:
        signed = json.loads(path.read_bytes())["signed"]
        is_root = signed["_type"] == "root"
    except OSError as fault:
        mend = "a follower needs it: copy 1.root.json from the publisher's keys, or set PORTCULLIS_TRUSTED_ROOT"
        yield Finding("trusted root", State.WARN, f"{path} can't be read ({fault.strerror})", mend)
        return
    except (ValueError, KeyError, TypeError):
        is_root = False
    if is_root:
        yield Finding("trusted root", State.OK, str(path))
    else:
        mend = "restore 1.root.json from the publisher's keys, or set PORTCULLIS_TRUSTED_ROOT"
        yield Finding("trusted root", State.FAIL, f"{path} is no root file", mend)


def disk(_wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look how much room is left where the state lies."""
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    what = f"{free / MIB:,.0f} MiB free"
    if free < NO_DISK_BYTES:
        yield Finding("disk", State.FAIL, what, NO_ROOM)
    elif free < _LITTLE_DISK_BYTES:
        yield Finding("disk", State.WARN, what, "make room before the journal and the next snapshot need it")
    else:
        yield Finding("disk", State.OK, what)


def clock(wiring: Wiring, _settings: Settings) -> Iterator[Finding]:
    """Look whether the clock can be right; every entry's end is judged by it."""
    if wiring.clock.now() < _EARLIEST_S:
        yield Finding("clock", State.FAIL, "it is before 2026", "set it, and keep it set by NTP: ends are judged by it")
    else:
        yield Finding("clock", State.OK, "plausible")


def registry(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the registry's database can be used, and holds a policy."""
    try:
        yield Finding("registry", State.OK, wiring.examine_registry(settings))
    except PortcullisError as fault:
        yield finding_of(fault, "registry")


def journal(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the journal's database can be written."""
    try:
        yield Finding("journal", State.OK, wiring.examine_journal(settings))
    except PortcullisError as fault:
        yield finding_of(fault, "journal")


def store(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the store of snapshots can be reached, and holds one that this host trusts."""
    try:
        with wiring.store(settings) as opened, wiring.trusted(settings, opened) as trusted:
            vouched = trusted.look()
    except SnapshotInvalid as fault:
        yield Finding("store", State.FAIL, fault.message, _STORE_MENDS.get(fault.refusal, _STORE_MEND))
        return
    except PortcullisError as fault:
        yield finding_of(fault, "store")
        return
    age_s = wiring.clock.now() - vouched.vouched_at
    what = f"snapshot {vouched.version}, vouched for {age_s:.1f} s ago"
    if age_s > _stale_after_s(settings):
        yield Finding("store", State.WARN, what, "is the publisher running? it vouches every second")
    elif age_s < -_TOLERATED_SKEW_S:
        yield Finding("store", State.WARN, what, "the publisher's clock is ahead of this one; keep both set by NTP")
    else:
        yield Finding("store", State.OK, what)


def replica(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look what this host serves from, and how old it is."""
    try:
        with wiring.replica(settings) as opened:
            transaction = opened.begin()
            if transaction is None:
                mend = "start the follower (`portcullis serve follower`); the gateway serves once it has one"
                yield Finding("replica", State.FAIL, "it holds no snapshot of this release's format", mend)
                return
            edition, age_s = transaction.edition, opened.vouched_age_s()
            transaction.close()
    except PortcullisError as fault:
        yield finding_of(fault, "replica")
        return
    yield _replica(edition, age_s, settings)
    if stalled := [each.name for each in edition.lists if each.stalled_at is not None]:
        mend = "the publisher's log says why; past a list's greatest age its fail mode applies"
        yield Finding("lists", State.WARN, f"the publisher can't bring {', '.join(stalled)} up to date", mend)
    if edition.published_at > wiring.clock.now() + _TOLERATED_SKEW_S:
        mend = "keep the clocks of both hosts set by NTP: ends are judged by them"
        yield Finding("clock", State.WARN, "the snapshot was published in this host's future", mend)


def gateway(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the gateway answers and serves."""
    from portcullis.client import ClientError  # noqa: PLC0415 - gRPC would slow `--help` down

    target = wiring.gateway_target(settings)
    try:
        with wiring.client(target, None, _GATEWAY_TIMEOUT_S) as client:
            ready = client.ready()
    except ClientError as fault:
        mend = "another program listens there; name the gateway's port with PORTCULLIS_GRPC_PORT"
        yield Finding("gateway", State.FAIL, f"{target} answers {fault.status}", mend)
        return
    if ready:
        yield Finding("gateway", State.OK, f"{target} serves")
    else:
        mend = "start it with `portcullis run` or `portcullis serve gateway`; if it runs, look at the replica above"
        yield Finding("gateway", State.FAIL, f"{target} does not serve", mend)


EXAMINATIONS: tuple[Examination, ...] = (
    home,
    process,
    keys,
    key_ages,
    signing_keys,
    trusted_root,
    disk,
    clock,
    registry,
    spool,
    journal,
    exchange,
    store,
    alarms,
    replica,
    gateway,
)
"""In the order that a check depends on them."""


def _key_file(name: str, path: Path, parts: str) -> Finding:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if parts:
            return Finding(name, State.WARN, f"{path} is not there", f"restore it if this host runs {parts}")
        return Finding(
            name, State.FAIL, f"{path} is not there", "copy it from the registry's host, or start `portcullis run`"
        )
    except (OSError, UnicodeDecodeError):
        return Finding(name, State.FAIL, f"{path} can't be read", f"give it to this user, or restore it: chmod 600 {path}")
    if is_exposed(path):
        return Finding(name, State.FAIL, f"{path} can be read by others", f"chmod 600 {path}")
    if len(text) != 64 or set(text) - set("0123456789abcdefABCDEF"):
        return Finding(name, State.FAIL, f"{path} is not 64 hexadecimal digits", "restore it from its backup")
    return Finding(name, State.OK, str(path))


def _replica(edition: Edition, age_s: float, settings: Settings) -> Finding:
    age = f"vouched for {age_s:.1f} s ago" if math.isfinite(age_s) else "never vouched for since the boot"
    what = f"snapshot {edition.version}, format {FORMAT}, {edition.records:,} index keys, {age}"
    if age_s > _stale_after_s(settings):
        return Finding(
            "replica", State.WARN, what, "is the follower running? past a list's greatest age its fail mode applies"
        )
    return Finding("replica", State.OK, what)


def _stale_after_s(settings: Settings) -> float:
    return max(10.0, 5 * settings.follow_interval_s)
