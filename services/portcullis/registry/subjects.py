"""The desk of subjects: who one is, what they may see, and how one who is mistaken for another is cleared.

1. A subject proves who they are to a verifier, and gets a session of an hour: ``pcs_`` and 32 random bytes. Its digest
   (SHA-256) is kept, and beside it the tokens of the identifier that was proved: they see what names its holder, no more.
2. A redress number clears a person of one entry. It is issued for the identifier by which they are mistaken, which must find
   the entry, and a document of their own, which must not, and it counts only where a check carries number and document.
   Where the entry gets another identifier later that they have too, they need another number.
3. Erasing destroys who the entries that have left their lists or ended are about, and the keys of the decisions and of what
   partners have reported about them. As long as one entry of the person still stands, the records of what it did stay, since
   the person has a right to see them; what was reported by an ended one's case or name goes with it.

Example: an entry names the phone number that its subject once had. Its holder of today is refused a loan, shows a passport,
and gets a number for (the phone, the passport). With it, and the passport in the check, the entry does not count for them.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from typing import Final, Protocol

from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import InvalidRequest, NotFound, Unauthenticated
from portcullis.domain.identifiers import Identifier
from portcullis.domain.redress_numbers import format_number, make_number
from portcullis.domain.roles import SESSION_PREFIX
from portcullis.domain.token_keys import TokenKeys
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import (
    Clock,
    Erasure,
    Journal,
    RedressNumber,
    RegistryStore,
    RightsStore,
    StoredEntry,
    SubjectErasure,
    SubjectRecord,
    SubjectSession,
    SubjectVerifier,
)
from portcullis.registry.case_texts import read_why
from portcullis.registry.disputes import SUBJECT
from portcullis.registry.given_identifiers import certain_tokens, probed, read_identifier
from portcullis.registry.imports import known_list
from portcullis.registry.reported_names import ReportedNames

SESSION_S: Final = 3600.0
"""How long a session lasts, in seconds."""

_SECRET_BYTES = 32
_OVER = "the session has ended, or is none; begin another one with a new code"
_NAME_BYTES = 10

RandomBytes = Callable[[int], bytes]
"""Gives so many unpredictable bytes."""


class SubjectRecords(Protocol):
    """Puts together all that is kept about somebody."""

    def record(self, tokens: Collection[bytes], *, locale: str, actor: str) -> SubjectRecord:
        """Give everything about the holder of these tokens; who looked is noted."""
        ...


class CodeIssuer(Protocol):
    """Makes codes that prove who somebody is."""

    def issue(self, identifier: Identifier, *, actor: str) -> tuple[str, float]:
        """Make a code for the holder of an identifier; gives it, and when it ends (Unix seconds)."""
        ...


class Subjects:
    """Implements `portcullis.ports.SubjectDesk`; every method blocks on the databases. Safe for threads if the stores are.

    Args:
        registry: the policy and the entries.
        rights: sessions and redress numbers.
        journal: the records of decisions.
        tokeniser: makes the tokens of identifiers; the keys that are here, or one.
        codes: what operators issue.
        verifier: what a session is begun with; the codes, where nothing else is set up.
        records: what a subject sees.
        names: by what partners report about an entry without a decision.
        clock: wall time ends a session.
        random_bytes: makes credentials and numbers.
    """

    def __init__(
        self,
        registry: RegistryStore,
        rights: RightsStore,
        journal: Journal,
        *,
        tokeniser: TokenKeys,
        codes: CodeIssuer,
        verifier: SubjectVerifier,
        records: SubjectRecords,
        names: ReportedNames,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._registry = registry
        self._rights = rights
        self._journal = journal
        self._tokeniser = tokeniser
        self._codes = codes
        self._verifier = verifier
        self._records = records
        self._names = names
        self._clock = clock
        self._random_bytes = random_bytes

    def issue_code(self, identifier: GivenIdentifier, *, actor: str) -> tuple[str, float]:
        """Make a code for the holder of an identifier; gives it and when it ends (Unix seconds).

        Raises:
            InvalidRequest: the identifier can't be what it says, or is not certain without its country.
            RegistryUnavailable: the database can't be used.
        """
        return self._codes.issue(read_identifier(identifier, "identifier"), actor=actor)

    def begin_session(self, identifier: GivenIdentifier, proof: str) -> tuple[str, float]:
        """Exchange a proof for a session; gives its credential and when it ends (Unix seconds).

        Raises:
            InvalidRequest: the identifier can't be what it says, or is not certain without its country.
            Unauthenticated: the proof does not hold.
            RegistryUnavailable: the database can't be used.
        """
        tokens = tuple(self._verifier.verify(read_identifier(identifier, "identifier"), proof))
        secret = base64.urlsafe_b64encode(self._random_bytes(_SECRET_BYTES)).decode().rstrip("=")
        credential = SESSION_PREFIX + secret
        session = SubjectSession(handle=self._name(), tokens=tokens, expires_at=self._clock.now() + SESSION_S)
        self._rights.keep_session(session_digest(credential), session)
        return credential, session.expires_at

    def session(self, credential: str) -> SubjectSession:
        """Give the session of a credential.

        Raises:
            Unauthenticated: there is none, or it has ended.
            RegistryUnavailable: the database can't be used.
        """
        if credential.startswith(SESSION_PREFIX):
            found = self._rights.session(session_digest(credential), now=self._clock.now())
            if found is not None:
                return found
        raise Unauthenticated(_OVER)

    def record(self, session: SubjectSession, *, locale: str) -> SubjectRecord:
        """Give everything about the subject of a session; that they looked is noted too.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used, or the look can't be noted.
        """
        return self._records.record(session.tokens, locale=locale, actor=SUBJECT)

    def issue_number(
        self,
        list_name: str,
        key: str,
        *,
        mistaken: GivenIdentifier,
        own: GivenIdentifier,
        case_id: str,
        why: str,
        actor: str,
    ) -> tuple[str, str]:
        """Clear a person who is mistaken for the subject of an entry; gives the redress number and its id.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: an identifier can't be what it says, ``mistaken`` does not find the entry, ``own`` does or is not
                certain without its country, the case is about another entry, or the reason is missing.
            StepNotAllowed: the entry is not listed.
            RegistryUnavailable: the database can't be used.
        """
        told = read_why(why)
        known_list(self._registry, list_name)
        taken_for, themselves = read_identifier(mistaken, "mistaken"), read_identifier(own, "own")
        entry = self._registry.entry(list_name, key)
        self._check_case(case_id, entry)
        places = self._finding(entry, taken_for)
        self._demand_not_found(entry, themselves)
        number = make_number(self._random_bytes)
        held = self._tokeniser.held()
        clearances = sorted(token for each in held for token in _clearances(each, number, taken_for, places, themselves))
        issued = RedressNumber(
            number_id=self._name(),
            list=list_name,
            key=key,
            issued_by=actor,
            issued_at=self._clock.now(),
            case_id=case_id,
            clearances=tuple(clearances),
            token_epoch=held[0].epoch,
        )
        self._rights.issue_number(issued, note=StepNote(actor=actor, why=told))
        return format_number(number), issued.number_id

    def revoke_number(self, number_id: str, *, why: str, actor: str) -> None:
        """End a redress number; again is no fault.

        Raises:
            NotFound: no such number.
            InvalidRequest: the reason is missing, too long or no plain text.
            RegistryUnavailable: the database can't be used.
        """
        self._rights.revoke_number(number_id, note=StepNote(actor=actor, why=read_why(why)))

    def list_of_number(self, number_id: str) -> str:
        """Name the list of the entry that a redress number is about.

        Raises:
            NotFound: no such number.
            RegistryUnavailable: the database can't be used.
        """
        return self._rights.number(number_id).list

    def erase(self, identifier: GivenIdentifier, *, why: str, actor: str) -> SubjectErasure:
        """Destroy what tells who somebody is.

        The keys of decisions stay while an entry is kept. Again is no fault, and goes on where a fault has broken it off.

        Raises:
            InvalidRequest: the identifier can't be what it says or is not certain, or the reason is missing.
            RegistryUnavailable, JournalUnavailable: a database can't be used.
        """
        told = read_why(why)
        tokens = certain_tokens(self._tokeniser, read_identifier(identifier, "identifier"), "identifier")
        ended, standing = self._rights.ended_of(tokens)
        reported = self._names.of(ended)
        # The registry last: once it has forgotten them, the names of these entries can't be found by the person any more.
        if standing:
            records = Erasure(keys=self._journal.erase_reports(reported, actor=actor, purpose=told), left=0)
        else:
            records = self._journal.erase(tokens, actor=actor, purpose=told, reported=reported)
        erased, kept = self._rights.erase_of(tokens, note=StepNote(actor=actor, why=told), only=ended)
        return SubjectErasure(erased, records.keys, kept, records.left)

    def _finding(self, entry: StoredEntry, mistaken: Identifier) -> set[int]:
        """Give the places in `_asked` by which a check may find the entry, under whichever key it stands."""
        known = set(self._rights.tokens_of(entry.list, entry.key))
        asked = [_asked(each, mistaken) for each in self._tokeniser.held()]
        found = {place for tokens in asked for place, token in enumerate(tokens) if token in known}
        if not found:
            raise InvalidRequest.at(
                "mistaken",
                "does not find this entry; give the identifier that the person is refused by, as the partner has it",
            )
        return found

    def _demand_not_found(self, entry: StoredEntry, own: Identifier) -> None:
        certain_tokens(self._tokeniser, own, "own")
        asked = {token for each in self._tokeniser.held() for token, _ in probed(each, own)}
        if asked.intersection(self._rights.tokens_of(entry.list, entry.key)):
            raise InvalidRequest.at(
                "own", "finds this entry too, so it does not tell the person apart; take another document"
            )

    def _check_case(self, case_id: str, entry: StoredEntry) -> None:
        if not case_id:
            return
        try:
            about = self._rights.case(case_id).entry_id
        except NotFound:
            about = 0
        if about != entry.entry_id:
            raise InvalidRequest.at("case_id", "no case of this entry has it; leave it out where there is none")

    def _name(self) -> str:
        return base64.b32encode(self._random_bytes(_NAME_BYTES)).decode().lower()


def _asked(tokeniser: Tokeniser, mistaken: Identifier) -> list[bytes]:
    """Give every token by which a check may find an entry through an identifier: with its country and without.

    Under any key they stand in the same order.
    """
    return [token for token, _ in probed(tokeniser, mistaken)] + [*tokeniser.index_tokens(mistaken)]


def _clearances(
    tokeniser: Tokeniser, number: str, mistaken: Identifier, places: Collection[int], own: Identifier
) -> Iterator[bytes]:
    """Give the tokens that a number counts under with one key; ``places`` are those in `_asked` that find the entry."""
    certain = [token for token, weak in probed(tokeniser, own) if not weak]
    asked = _asked(tokeniser, mistaken)
    found_by = {asked[place] for place in places}
    yield from (tokeniser.clearance(number, each, by) for each in certain for by in found_by)


def session_digest(credential: str) -> str:
    """Give the digest under which a session is known: SHA-256 of its credential, in hexadecimal."""
    return sha256(credential.encode(errors="replace")).hexdigest()
