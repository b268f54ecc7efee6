"""What is asked for now and then, to be counted."""

from __future__ import annotations

from collections.abc import Callable

from portcullis.domain.errors import RegistryUnavailable
from portcullis.ports import RegistryStore


def held_imports_of(registry: RegistryStore) -> Callable[[], int | None]:
    """Give what counts the imports that wait for a second operator; None while the registry can't be asked."""

    def count() -> int | None:
        try:
            return len(registry.held_imports())
        except RegistryUnavailable:
            return None

    return count
