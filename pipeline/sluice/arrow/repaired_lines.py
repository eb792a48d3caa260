"""Lines that were repaired, without the note that says so: only the note keeps them from being read like all others."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sluice.contracts import REPAIRED_KEY
from sluice.formats.json_syntax import NOT_JSON
from sluice.line_block import LineBlock

_NOTE = f',"{REPAIRED_KEY}":'.encode()
"""How the note begins. A string cannot contain it: within one, quotation marks are escaped."""
_ONLY_NOTE = f'{{"{REPAIRED_KEY}":'
_decode_note = msgspec.json.Decoder(
    msgspec.defstruct("_Note", [(REPAIRED_KEY, msgspec.Raw)], forbid_unknown_fields=True)
).decode


def may_have_notes(lines: Sequence[bytes]) -> bool:
    """Tell whether one of `lines` may have a note."""
    return not isinstance(lines, LineBlock) or _NOTE in lines.data


def split_notes(lines: Sequence[bytes]) -> tuple[list[bytes], list[str | None]] | None:
    """Return lines without their notes, and the notes as `_extra` has them, None for a line that has none.

    None if a note is not the last member of its line, or no JSON.
    """
    bare: list[bytes] = []
    notes: list[str | None] = []
    for line in lines:
        members, is_noted, note = line.rpartition(_NOTE)
        if not is_noted:
            bare.append(line)
            notes.append(None)
            continue
        text = b"{" + is_noted[1:] + note
        try:
            _decode_note(text)
            notes.append(msgspec.json.format(text, indent=-1).decode())
        except (msgspec.ValidationError, *NOT_JSON):
            return None
        bare.append(members + b"}")
    return bare, notes


def is_note(extra: str) -> bool:
    """Tell whether a value of `_extra` is a note, and nothing else."""
    if not extra.startswith(_ONLY_NOTE):
        return False
    try:
        _decode_note(extra)
    except (msgspec.ValidationError, *NOT_JSON):
        return False
    return True
