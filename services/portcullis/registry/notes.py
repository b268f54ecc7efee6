"""What somebody says with a step: why they take it, and the reference of the document that it rests on."""

from __future__ import annotations

import msgspec

from portcullis.domain.entry_life import MAX_WHY, StepNote
from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest
from portcullis.registry.case_texts import read_document


def read_note(note: StepNote, *, required: bool, field: str = "why") -> StepNote:
    """Read what is said with a step, without blanks around it; ``field`` is what the request calls the reason.

    Raises:
        InvalidRequest: the reason is missing where it is ``required``, or it or the reference is too long or no plain text.
    """
    why = note.why.strip()
    if not int(required) <= len(why) <= MAX_WHY or not is_plain_text(why):
        characters = f"1 to {MAX_WHY}" if required else f"at most {MAX_WHY}"
        raise InvalidRequest.at(field, f"must be plain text of {characters} characters, without personal data")
    return msgspec.structs.replace(note, why=why, document=read_document(note.document))
