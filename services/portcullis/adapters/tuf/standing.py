"""What stood before a ceremony, and what has changed by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from portcullis.adapters.tuf.key_files import KeyFiles
from portcullis.adapters.tuf.key_roles import TOP_ROLES, read_root, read_targets
from portcullis.ports.keys import KeyChanges


class Standing:
    """Which keys were trusted for what, and which were listed, when this was made.

    Attributes:
        trusted: (role, key id) of every key that the metadata names, whoever has signed that.
    """

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._listed = {uri for _, _, uri in _each(files.signers())}
        self.trusted = _trusted(files)

    def changes(self, signed: Sequence[str], retired: Sequence[str]) -> KeyChanges:
        """Tell what has changed since."""
        files = self._files
        new = sorted({uri for _, _, uri in _each(files.signers())} - self._listed)
        made = [path for path in map(files.path_of, new) if path is not None]
        ours = [path for path in made if path.parent == files.offline or path.is_relative_to(files.folder)]
        offline = [] if files.offline_moved else [path for path in ours if path.parent == files.offline]
        return KeyChanges(tuple(map(str, ours)), tuple(signed), tuple(map(str, offline)), tuple(retired))


def drop_untrusted(files: KeyFiles, before: Standing) -> tuple[str, ...]:
    """Drop from ``signers.json`` the keys that are no longer trusted; gives where those lie that were not deleted.

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
    left = []
    for role, key_id, uri in dropped:
        path = files.path_of(uri)
        if uri in in_use:
            continue
        if path is not None and files.owns(uri) and (role, key_id) in before.trusted:
            path.unlink(missing_ok=True)
        else:
            left.append(uri if path is None else str(path))
    if dropped:
        files.write_signers(kept)
    return tuple(sorted(left))


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
