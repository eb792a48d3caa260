"""A byte offset in a file of lines -> the number of its line, as an editor shows it.

Splits of a file are read by themselves, so that nobody knows the number of a line while it is read.
"""

from __future__ import annotations

from sluice.errors import SourceError
from sluice.formats.content import open_content
from sluice.sources.files.listing import find_files, open_file
from sluice.sources.files.pieces import Piece, read_chunks


def line_at(uri: str, offset: int) -> int | None:
    """Return the number, from 1, of the line at `offset` of the unpacked file; None if the file is no longer there.

    The file may be another one by now; then so is the line.
    """
    try:
        (file,) = find_files(uri)
        with open_file(file.path) as reader:
            line, at = 1, 0
            for chunk in open_content(read_chunks(reader, Piece(file, 0, file.size)), uri).chunks:
                line += chunk.count(b"\n", 0, offset - at)
                at += len(chunk)
                if at > offset:
                    return line
    except (SourceError, ValueError):
        return None
    return None
