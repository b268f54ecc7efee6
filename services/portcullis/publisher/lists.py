"""One list being compiled, into a base or into a delta: terms, bodies, digest and draft grow together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from portcullis.domain.documents import ListDocuments
from portcullis.domain.editions import FORMAT
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC
from portcullis.domain.manifests import (
    Base,
    Delta,
    Manifest,
    Terms,
    base_target,
    delta_target,
    terms_target,
)
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import RestrictedList
from portcullis.ports import IndexedEntry, SnapshotRepository
from portcullis.publisher.compiling import BodyCompiler
from portcullis.publisher.drafts import Draft, put_document
from portcullis.publisher.terms import TermsBuilder

_log = structlog.get_logger("portcullis.publisher")


class Reading(NamedTuple):
    """What all lists of one version are compiled with: the version, and the time of the registry's reading, Unix seconds."""

    version: int
    now: float


class ListCompilation:
    """One list being compiled. A list that fails is given up; the others go on.

    Attributes:
        failed: the list can't be compiled.
        fault: why not; "" where it can.
    """

    def __init__(
        self,
        definition: RestrictedList,
        number: int,
        *,
        reading: Reading,
        draft: Draft,
        terms: TermsBuilder,
        digest: MultisetDigest,
    ) -> None:
        self.definition = definition
        self.number = number
        self.draft = draft
        self.terms = terms
        self.failed = not terms.fits
        self.fault = "" if terms.fits else "its terms do not fit into a snapshot"
        self._reading = reading
        self._digest = digest
        self._compiler = BodyCompiler(number, terms, reading.now)

    def body(self, entries: Sequence[IndexedEntry]) -> bytes | None:
        """Compile one token's entries; None, and failed, where that can't be done."""
        try:
            return self._compiler.body(entries)
        except Exception as fault:  # noqa: BLE001 - one bad list never stops the others; its message may hold anything
            self.failed = True
            self.fault = f"it can't be compiled ({type(fault).__name__})"
            _log.warning("a list can't be compiled", list=self.definition.name, fault=type(fault).__name__)
            return None

    def put(self, token: bytes, old: bytes, new: bytes) -> None:
        """Put a token's new body in the place of its old one.

        Raises:
            OSError: the disk refused.
        """
        self._digest.replace(token, old, new)
        self.draft.put(token, new)

    def report(self) -> int:
        """Log the entries that were left out or mended; gives how many."""
        faults = self._compiler.faults
        for reason, count in faults.items():
            _log.warning("entries of a list were left out or cut", list=self.definition.name, reason=reason, entries=count)
        return faults.total()

    def base_state(self, repository: SnapshotRepository) -> ListDocuments:
        """Finish the base, write its terms, and give the list as it is with them; its manifest is not written yet.

        Raises:
            OSError: the disk refused.
        """
        self.draft.close()
        version = self._reading.version
        manifest = Manifest(
            format=FORMAT,
            list=self.definition.name,
            number=self.number,
            version=version,
            records=self._digest.count,
            digest=self._digest.hex(),
            terms=terms_target(self.definition.name, version),
            base=Base(target=self.draft.target, version=version, records=self.draft.frames, length=self.draft.length),
        )
        return ListDocuments(manifest, self._put_terms_down(repository, manifest))

    def changed_state(self, repository: SnapshotRepository, earlier: ListDocuments) -> ListDocuments:
        """Finish the delta, write the terms, where there are any, and give the list as it is with them.

        Raises:
            OSError: the disk refused.
        """
        manifest, terms, version = earlier.manifest, earlier.terms, self._reading.version
        if self.draft.frames:
            self.draft.close()
            delta = Delta(
                target=self.draft.target,
                since=manifest.version,
                version=version,
                changes=self.draft.frames,
                length=self.draft.length,
            )
            manifest = msgspec.structs.replace(
                manifest,
                version=version,
                records=self._digest.count,
                digest=self._digest.hex(),
                deltas=(*manifest.deltas, delta),
            )
        if self.terms.changed:
            manifest = msgspec.structs.replace(manifest, terms=terms_target(manifest.list, version))
            terms = self._put_terms_down(repository, manifest)
        return ListDocuments(manifest, terms)

    def _put_terms_down(self, repository: SnapshotRepository, manifest: Manifest) -> Terms:
        terms = self.terms.terms()
        put_document(repository, manifest.terms, terms)
        return terms


def begin_base(repository: SnapshotRepository, definition: RestrictedList, number: int, reading: Reading) -> ListCompilation:
    """Begin a base of a list, with terms begun afresh."""
    return ListCompilation(
        definition,
        number,
        reading=reading,
        draft=Draft(repository, base_target(definition.name, reading.version), BASE_MAGIC),
        terms=TermsBuilder(number, definition),
        digest=MultisetDigest(),
    )


def begin_delta(
    repository: SnapshotRepository, definition: RestrictedList, earlier: ListDocuments, reading: Reading
) -> ListCompilation:
    """Begin a delta that leads on from a list's present state."""
    manifest = earlier.manifest
    return ListCompilation(
        definition,
        manifest.number,
        reading=reading,
        draft=Draft(repository, delta_target(definition.name, manifest.version, reading.version), DELTA_MAGIC),
        terms=TermsBuilder(manifest.number, definition, earlier.terms),
        digest=MultisetDigest(manifest.digest, manifest.records),
    )
