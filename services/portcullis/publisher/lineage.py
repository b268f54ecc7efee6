"""Whether a registry is the one that was published, and not an old copy of it or another.

What a registry says was touched since a change is true of the registry that made this change. One that was restored from a
backup and written to since has other changes under the same numbers, so the time of the last one published is compared too.
"""

from __future__ import annotations

from portcullis.domain.documents import Documents
from portcullis.domain.errors import SetupFault
from portcullis.ports import RegistryView


def demand_not_before(head: int, standing: Documents | None) -> None:
    """Have a registry know every change that was published; ``head`` is its last.

    Raises:
        SetupFault: it knows fewer.
    """
    if standing is not None and head < standing.head.registry_seq:
        raise _other_registry("knows fewer changes than were published")


def demand_same(view: RegistryView, standing: Documents) -> None:
    """Have the last change that was published be the registry's own.

    Raises:
        SetupFault: it has another under that number, or none.
        RegistryUnavailable: the registry can't be reached.
    """
    if view.changed_at(standing.head.registry_seq) != standing.head.registry_at:
        raise _other_registry("has other changes than were published, as one restored from a backup has")


def _other_registry(what: str) -> SetupFault:
    return SetupFault(
        f"the registry {what}: restore the registry, or, if it shall be published as it is, stop the publisher and remove "
        "the folder publisher of its home"
    )
