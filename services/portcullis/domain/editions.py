"""An edition: the head of one snapshot, with everything that deciding needs besides the index records.

A follower assembles it from signed files (`portcullis.domain.manifests`), the replica keeps it beside the records of the
same snapshot, in the same transaction, and a gateway compiles its policy once. It holds digests of API keys, never keys, and
nothing about a listed subject.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from portcullis.domain.policies import Policy
from portcullis.domain.token_keys import TokenKey

FORMAT = 2
"""The format of editions, records and files; a replica of another format is rebuilt, not read."""


class Legal(msgspec.Struct, frozen=True):
    """What an entry rests on and where its subject objects; shared by many entries of a list."""

    legal_basis: str
    redress: str


class Credential(msgspec.Struct, frozen=True):
    """One API key in force: who holds it, and the SHA-256 digest of the whole key in hexadecimal.

    ``role`` is one of `portcullis.domain.roles.KEY_ROLES`; the ``holder`` of another role than partner is a person's name.
    ``expires_at`` (Unix seconds) is when it ends by itself; None where it does not.
    """

    key_id: str
    holder: str
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    role: str = "partner"
    expires_at: float | None = None


class ListEdition(msgspec.Struct, frozen=True, kw_only=True):
    """One list in one snapshot.

    Attributes:
        name: the list's name; its definition is the policy's.
        number: stands for the list in records and segments; a number is never given to another list.
        legal: the rows that its records refer to by place. Rows are added at the end alone.
        measures: the names that the bits of its records stand for, the lowest bit first. Likewise.
        version: the snapshot version in which its records last changed.
        records: how many tokens have a body of this list.
        digest: the multiset digest of (token, body) (`portcullis.domain.multisets`).
        stalled_at: Unix seconds since when the publisher can't bring this list up to date; None while it can.
    """

    name: str
    number: int
    legal: tuple[Legal, ...]
    measures: tuple[str, ...]
    version: int
    records: int
    digest: str
    stalled_at: float | None = None

    def age_s(self, now: float, vouched_age_s: float) -> float:
        """Give how far behind its authority it may be, in seconds.

        That is how long ago the publisher vouched for the snapshot, or, where that is longer, since when it can't bring the
        list up to date; ``now`` is Unix seconds.
        """
        return vouched_age_s if self.stalled_at is None else max(vouched_age_s, now - self.stalled_at)


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """The head of one snapshot.

    ``version`` grows with every publish; ``published_at`` is Unix seconds; ``registry_seq`` is the registry's change that
    it includes up to. ``lists`` stand in the order of ``policy.lists``. ``revoked`` are the certificates that are
    refused, as `portcullis.domain.caller_certificates.read_mark` writes them, in their order. ``token_keys`` are those that
    the records were made with (`portcullis.domain.token_keys`), the newest first; none in what was made with the first.
    """

    format: int
    version: int
    published_at: float
    registry_seq: int
    policy: Policy
    lists: tuple[ListEdition, ...]
    credentials: tuple[Credential, ...]
    revoked: tuple[str, ...] = ()
    token_keys: tuple[TokenKey, ...] = ()

    @property
    def records(self) -> int:
        """How many bodies there are: a token on two lists counts twice."""
        return sum(each.records for each in self.lists)

    def list_numbered(self, number: int) -> ListEdition | None:
        """Find a list by its number."""
        return next((each for each in self.lists if each.number == number), None)
