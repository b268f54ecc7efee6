"""What stands: the documents of the version last signed, as the repository has them."""

from __future__ import annotations

from portcullis.domain.documents import Documents, read_documents
from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import SnapshotRepository


def load_standing(repository: SnapshotRepository) -> Documents | None:
    """Read what the repository says was signed last; None where that is nothing, or nothing whole."""
    vouched = repository.vouched()
    if vouched is None:
        return None

    def read(target: str) -> bytes:
        data = repository.read(target)
        if data is None:
            raise SnapshotInvalid("the repository lacks a target that is in force")
        return data

    try:
        standing = read_documents(read, vouched.version)
        standing.edition()
    except (SnapshotInvalid, OSError):
        return None
    return standing if _has_files(repository, standing) else None


def _has_files(repository: SnapshotRepository, standing: Documents) -> bool:
    """Say whether every base and delta is there with its length."""
    for manifest in standing.manifests:
        files = [(manifest.base.target, manifest.base.length), *((each.target, each.length) for each in manifest.deltas)]
        try:
            if any(repository.path(target).stat().st_size != length for target, length in files):
                return False
        except (OSError, KeyError):
            return False
    return True
