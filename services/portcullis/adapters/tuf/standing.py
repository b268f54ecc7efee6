"""What stood before a ceremony, and what has changed by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from portcullis.adapters.tuf.key_files import KeyFiles
from portcullis.adapters.tuf.key_roles import TOP_ROLES, command_role, read_root, read_targets
from portcullis.ports.keys import KeyChanges, Replacement


class Dropped(NamedTuple):
    """The paths of old private keys: of those that were deleted, and where those lie that were not."""

    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


NOTHING_DROPPED = Dropped()


class Standing:
    """Which keys were trusted for what, and which were listed, when this was made.

    Attributes:
        trusted: (role, key id) of every key that the metadata names, whoever has signed that.

    Raises:
        SetupFault: a file is damaged, or ``signers.json`` is missing or names a role that does not exist.
    """

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._listed = {uri for _, _, uri in _each(files.checked_signers())}
        self.trusted = _trusted(files)

    def changes(self, signed: Sequence[str], dropped: Dropped = NOTHING_DROPPED) -> KeyChanges:
        """Tell what has changed since."""
        files = self._files
        new = sorted({uri for _, _, uri in _each(files.signers())} - self._listed)
        made = [path for path in map(files.path_of, new) if path is not None]
        ours = [path for path in made if path.parent == files.offline or path.is_relative_to(files.folder)]
        offline = [] if files.offline_moved else [path for path in ours if path.parent == files.offline]
        return KeyChanges(
            made=tuple(map(str, ours)),
            signed=tuple(signed),
            offline=tuple(map(str, offline)),
            retired=dropped.left,
            replaced=self._replaced(),
            deleted=dropped.deleted,
        )

    def _replaced(self) -> tuple[Replacement, ...]:
        now = _trusted(self._files)
        gone, new = self.trusted - now, now - self.trusted
        return tuple(
            Replacement(command_role(role), _ids(gone, role), _ids(new, role)) for role in sorted({role for role, _ in gone})
        )


def drop_untrusted(files: KeyFiles, before: Standing) -> Dropped:
    """Drop from ``signers.json`` the keys that are no longer trusted; gives which were deleted, and where the others lie.

    Deleted are the publisher's own whose trust has ended since ``before``, and nothing else: what someone put here, or has
    on other media, is theirs to destroy.

    Raises:
        SetupFault: a file is damaged.
        OSError: the disk refused.
    """
    trusted, places = _trusted(files), files.signers()
    kept: dict[str, dict[str, str]] = {}
    dropped: list[tuple[str, str, str]] = []
    for role, key_id, uri in _each(places):
        if (role, key_id) in trusted:
            kept.setdefault(role, {})[key_id] = uri
        else:
            dropped.append((role, key_id, uri))
    in_use = {uri for _, _, uri in _each(kept)}
    deleted, left = [], []
    for role, key_id, uri in dropped:
        path = files.path_of(uri)
        if uri in in_use:
            continue
        if path is not None and files.owns(uri) and (role, key_id) in before.trusted:
            path.unlink(missing_ok=True)
            deleted.append(str(path))
        else:
            left.append(uri if path is None else str(path))
    if dropped:
        files.write_signers(kept)
    return Dropped(tuple(sorted(deleted)), tuple(sorted(left)))


def _ids(keys: set[tuple[str, str]], role: str) -> tuple[str, ...]:
    return tuple(sorted(key_id for each, key_id in keys if each == role))


def _trusted(files: KeyFiles) -> set[tuple[str, str]]:
    roots, targets = files.roots(), files.targets()
    found = set()
    if roots:
        root = read_root(roots[-1], str(files.root_file(len(roots))))
        found |= {(role, key_id) for role in TOP_ROLES for key_id in root.roles[role].keyids}
    if targets is not None:
        delegations = read_targets(targets, str(files.targets_file)).signed.delegations
        roles = (delegations.roles if delegations else None) or {}
        found |= {(role, key_id) for role, each in roles.items() for key_id in each.keyids}
    return found


def _each(places: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    for role, uris in places.items():
        for key_id, uri in uris.items():
            yield role, key_id, uri
