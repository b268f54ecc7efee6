"""What the SDK takes and gives: plain frozen values, no protobuf messages.

Nothing here shows the value of an identifier in its ``repr``, so that a logged question or a traceback with locals
names no one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from portcullis.client.errors import ClientError

AttributeValue = str | int | float | bool


class Outcome(StrEnum):
    """What to do with the customer's wish."""

    ALLOW = "ALLOW"
    RESTRICT = "RESTRICT"
    REVIEW = "REVIEW"


class Effect(StrEnum):
    """What one measure did. UNKNOWN is an effect that this release of the SDK does not know."""

    RESTRICT = "RESTRICT"
    REVIEW = "REVIEW"
    NOTICE = "NOTICE"
    GRANT = "GRANT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One document or contact number of a customer, as the customer gave it.

    ``country`` is the issuing country, ISO 3166-1 alpha-2, for passports, national, tax and registration numbers; without
    it a match can only lead to a review.
    """

    kind: str
    value: str
    country: str = ""

    @classmethod
    def parse(cls, text: str) -> Identifier:
        """Read ``kind:value`` or ``kind:COUNTRY:value``, such as ``phone:+447700900123`` or ``passport:XA:A1234567``.

        Raises:
            ValueError: the text has neither form; the message does not repeat it.
        """
        parts = [part.strip() for part in text.split(":", 2)]
        if len(parts) < 2 or not all(parts):
            raise ValueError("an identifier is written kind:value or kind:COUNTRY:value")
        if len(parts) == 2:
            return cls(parts[0], parts[1])
        kind, country, value = parts
        if not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise ValueError("the country of an identifier is two letters, as in kind:COUNTRY:value")
        return cls(kind, value, country.upper())

    def __repr__(self) -> str:
        return f"Identifier(kind={self.kind!r}, value=<hidden>, country={self.country!r})"


@dataclass(frozen=True, slots=True)
class Question:
    """One check: may this customer do this?

    ``identifiers`` are all that you hold of this one customer, 1 to 8. ``attributes`` are facts about the action, such as
    a train's number. ``at_least_snapshot`` is the lowest snapshot version that may answer. With ``dry_run`` the answer is
    what would be; don't act on it. ``redress_number`` is what the customer was given because they are mistaken for a listed
    subject, and ``locale`` the language of the notice that comes with a refusal, such as zh-CN; "" for the list's first.
    """

    identifiers: tuple[Identifier, ...]
    action: str
    purpose: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    partner_reference: str = ""
    at_least_snapshot: str = ""
    dry_run: bool = False
    redress_number: str = field(default="", repr=False)
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the customer must be told of a refusal, in one language (``locale``, as BCP 47 writes it).

    ``text`` is plain, its paragraphs parted by empty lines; ``html`` says the same as paragraphs of HTML, safe to show.
    """

    locale: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an outcome is as it is, in the words that the customer must be told.

    ``case_reference`` is "" and ``until`` None when a list was out of date and its declared fail mode applied. ``subject``
    names the entry for you alone, as a change on its list does; "" likewise. ``notice`` is there for a RESTRICT: give it to
    the customer.
    """

    list: str
    measure: str
    effect: Effect
    authority: str
    legal_basis: str
    case_reference: str
    until: datetime | None
    redress_url: str
    message: str
    subject: str = field(default="", repr=False)
    notice: Notice | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The edition of the lists that answered; ``age_s`` is how long ago, in seconds, it was vouched for as the newest."""

    version: str
    published_at: datetime | None
    age_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question.

    ``degraded`` means that a list was past its greatest age and a declared fail mode applied. ``cache_ttl_s`` is for how
    many seconds the answer may be reused for the same question; 0 means not at all. ``shadow_outcome`` is what the
    outcome would have been with the measures in shadow; None when there were none.
    """

    decision_id: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    snapshot: Snapshot
    degraded: bool
    cache_ttl_s: float
    shadow_outcome: Outcome | None

    @property
    def allowed(self) -> bool:
        """Whether the customer may go on. A REVIEW is not an ALLOW: a person decides."""
        return self.outcome is Outcome.ALLOW


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one question of a batch or a stream: a decision or the question's own error, never both.

    ``request_id`` is the question's own on a stream, "" in a batch.
    """

    decision: Decision | None = None
    error: ClientError | None = None
    request_id: str = ""

    def get(self) -> Decision:
        """Give the decision.

        Raises:
            ClientError: the question's own error.
        """
        if self.decision is None:
            raise self.error or ClientError("the answer holds neither a decision nor an error")
        return self.decision


@dataclass(frozen=True, slots=True)
class CallerAnswer:
    """What may be shown of a caller: ``label`` is "" and ``decision_id`` too when there is nothing.

    ``degraded`` says that a list that may show labels was out of date: then one may be missing.
    """

    label: str
    reasons: tuple[Reason, ...]
    snapshot: Snapshot
    decision_id: str
    degraded: bool

    @property
    def found(self) -> bool:
        """Whether there is a label to show."""
        return bool(self.label)
