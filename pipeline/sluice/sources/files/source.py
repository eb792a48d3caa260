"""Files as a source: a path, a folder or a glob, local, in GCS or in S3.

Compression and encoding are detected (`sluice.formats.content`), and so is whether the content is JSON lines, a JSON
document (`sluice.formats`), Avro or Parquet (`typed_files`). CSV is detected by the name: `.csv` or `.tsv`.

Which files a path, a folder or a pattern names is described in `listing.find_files` and `patterns`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import apache_beam as beam

from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.formats import FORMATS, HEAD_BYTES, Records, detect_format
from sluice.formats.content import TYPED_FORMATS, Content, open_content, peek
from sluice.formats.csv_dialect import CsvLayout, detect_layout, stray_return
from sluice.formats.csv_rows import FILE_START, MAX_ROW_BYTES, RowStart, find_row_starts, read_rows
from sluice.provenance import CsvProvenance
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import check_unchanged, find_files, open_file
from sluice.sources.files.patterns import scheme_of
from sluice.sources.files.pieces import COMPRESSED_SUFFIXES, PACKED_SUFFIXES, Piece, batches_of, read_chunks
from sluice.sources.files.typed_files import read_typed, read_typed_part, typed_parts
from sluice.sources.limited import first_records

_MAX_SPLIT_BYTES = 64 << 20
_MIN_SPLIT_BYTES = {"file": 4 << 20, "gs": 32 << 20, "s3": 32 << 20}
"""Smaller splits of an object would cost more in requests than they gain in balance."""

_SPLITS = 64
"""Least number of work items, so that workers get equal shares even if the runner assigns them once."""

_SAMPLED_FILES = 100
"""Opening more of them in a bucket would take longer than a person waits."""

_CSV_SUFFIXES = (".csv", ".tsv")
_json = re.compile(rb'(?:\xef\xbb\xbf)?\s*+(?:\{\s*+["}]|\[\s*+[\[{])')
"""How JSON begins, and the header of no CSV file."""


WorkItem = tuple[Piece, ...]


class FileSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of all files that match, in batches of about half a MiB of one file.

    Offsets are those of the unpacked file; the arrival of a record is its file's modification time. Large
    files of JSON lines are read in splits, a line belongs to the split in which it begins. Packed files and
    documents are read in one piece each. Memory holds some blocks, whatever the size of the files.

    Why not Beam's own ReadAllFromText: its element is a line, and Beam costs microseconds for each element; it
    cannot distinguish documents from lines; and it cuts 100 MB into 64 and 36, while runners on one machine assign
    work items once, in their order, so that shares are equal only if the items are.
    """

    bounded = True

    def __init__(self, url: str) -> None:
        """Take a path, a folder or a glob."""
        super().__init__()
        self.url = url

    def check(self) -> None:
        """Raise SourceError if no file matches, or the folder cannot be listed."""
        find_files(self.url)

    def size(self) -> int | None:
        """Return the bytes of all files; None if any is packed, because records are counted unpacked."""
        files = find_files(self.url)
        packed = any(file.uri.endswith(PACKED_SUFFIXES) for file in files)
        return None if packed else sum(file.size for file in files)

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` records, about as many of each file; of thousands of files those of some."""
        files = find_files(self.url)
        return sample_files(files[:: -(-len(files) // _SAMPLED_FILES)], number)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Find the files on a worker, and distribute their splits over all workers."""
        return (
            begin
            | "Name files" >> beam.Create([self.url])
            | "List files" >> beam.Map(find_files)
            | read_plan()
        )


def sample_files(files: Sequence[FoundFile], number: int) -> Iterator[RecordBatch]:
    """Yield at most `number` records, about as many of each file."""
    for index, file in enumerate(files):
        share = -(-number // (len(files) - index))
        for batch in first_records(read_item((Piece(file, 0, file.size),)), share):
            number -= len(batch.records)
            yield batch


def read_plan() -> beam.PTransform:
    """list[FoundFile] -> RecordBatch: their records, read in splits that are spread over all workers."""
    return (
        "Split files" >> beam.FlatMap(plan_reading)
        | "Spread splits" >> beam.Reshuffle()
        | "Read splits" >> beam.FlatMap(read_item).with_output_types(RecordBatch)
    )


def plan_reading(files: Sequence[FoundFile]) -> list[WorkItem]:
    """Cut large files of plain lines, put small files together, and return work items of about equal cost."""
    whole = [Piece(file, 0, file.size) for file in files]
    least = max((_MIN_SPLIT_BYTES[scheme_of(piece.file.uri)] for piece in whole), default=1)
    target = min(max(sum(piece.weight for piece in whole) // _SPLITS, least), _MAX_SPLIT_BYTES)
    large = [piece for piece in whole if piece.stop > target]
    with ThreadPoolExecutor(16) as pool:  # each object takes a request, and there may be thousands
        cuts = dict(zip(large, pool.map(lambda piece: _parts(piece, target), large), strict=True))
    items: list[WorkItem] = []
    small: list[Piece] = []
    weight = 0
    for piece in whole:
        if piece in cuts:
            items += [(part,) for part in cuts[piece]]
            continue
        if small and weight + piece.weight > target:
            items.append(tuple(small))
            small, weight = [], 0
        small.append(piece)
        weight += piece.weight
    if small:
        items.append(tuple(small))
    return sorted(items, key=lambda item: -sum(piece.weight for piece in item))


def read_item(item: WorkItem) -> Generator[RecordBatch]:
    """Yield the records of each piece, in order; one batch without records of a file that has none.

    Raises:
        SourceError: a file cannot be read to its end, or was replaced since it was found; names it and the reason.

    """
    for piece in item:
        with open_file(piece.file.path) as reader:
            batches, has_records = _read_piece(reader, piece), False
            for batch in batches:
                has_records = True
                yield batch
            check_unchanged(piece.file, reader)
        if not has_records:
            yield from batches_of(piece, [Records([], [])])


def _read_piece(reader: BinaryIO, piece: Piece) -> Iterator[RecordBatch]:
    file = piece.file
    if piece.typed:
        yield from read_typed_part(reader, piece)
        return
    is_csv = _is_csv(file.uri)
    if not is_csv and piece.stop - piece.start < file.size:
        lines = FORMATS["json_lines"].read(read_chunks(reader, piece), piece.start, piece.stop)
        yield from batches_of(piece, lines)
        return
    content = open_content(read_chunks(reader, Piece(file, 0, file.size)), file.uri, TYPED_FORMATS)
    if content.typed:
        yield from read_typed(reader, piece, content)
    elif is_csv:
        yield from _read_csv(reader, piece, content)
    else:
        yield from batches_of(piece, _json_records(content, piece))


def _json_records(content: Content, piece: Piece) -> Iterator[Records]:
    head, chunks = peek(content.chunks, HEAD_BYTES + 1)
    return detect_format(head[:HEAD_BYTES], len(head) <= HEAD_BYTES).read(chunks, 0, _stop(content, piece))


def _stop(content: Content, piece: Piece) -> int | None:
    return piece.stop if content.is_plain else None


def _read_csv(reader: BinaryIO, piece: Piece, content: Content) -> Iterator[RecordBatch]:
    file = piece.file
    layout, chunks = _read_layout(content.chunks, file.uri)
    if layout is None:
        return
    if piece.start:
        chunks = read_chunks(reader, piece)
    start = RowStart(piece.start, piece.line)
    for rows in read_rows(chunks, layout.syntax, start, _stop(content, piece)):
        provenance = CsvProvenance(
            file.uri,
            file.modified,
            rows.offsets,
            rows.lines,
            layout.dialect,
            size=file.stored_size,
            etag=file.etag,
        )
        yield RecordBatch(rows.records, provenance)


def _read_layout(chunks: Iterator[bytes], uri: str) -> tuple[CsvLayout | None, Iterator[bytes]]:
    """Return the layout of a CSV file, None if it has no header, and its chunks from the first on.

    Raises:
        SourceError: the header is longer than a row may be, or the file is JSON.

    """
    head, chunks = peek(chunks, HEAD_BYTES + 1)
    if _json.match(head):
        message = f"{uri}: expected CSV, as its name says, got JSON; rename it"
        raise SourceError(message)
    for size in (HEAD_BYTES, MAX_ROW_BYTES):  # the second is for a header of tens of thousands of columns
        head, chunks = peek(chunks, size + 1)
        layout = detect_layout(head[:size], len(head) <= size)
        if layout is not None and stray_return(layout.syntax.header):
            message = (
                f"{uri}: expected a header that ends as the rows do, got a carriage return outside quotes in it; "
                "write all line ends alike"
            )
            raise SourceError(message)
        if layout is not None or len(head) <= size:
            return layout, chunks
    message = f"{uri}: expected a header of at most {MAX_ROW_BYTES} bytes; is a quote in it not closed?"
    raise SourceError(message)


def _parts(piece: Piece, target: int) -> list[Piece]:
    """Return the piece, or its parts; the format is detected once, for all of them."""
    file = piece.file
    with open_file(file.path) as reader:
        content = open_content(read_chunks(reader, piece), file.uri, TYPED_FORMATS)
        if not content.is_plain:
            return [piece]
        if content.typed:
            return typed_parts(reader, piece, content.typed, target)
        head, chunks = peek(content.chunks, HEAD_BYTES)
        if _is_csv(file.uri):
            # A line break may be in quotes, so that all of it must be read; the cache of a local disk makes that cheap.
            layout = detect_layout(head[:HEAD_BYTES], False) if scheme_of(file.uri) == "file" else None
            cuts = [FILE_START] if layout is None else find_row_starts(chunks, layout.syntax, target)
            stops = [*(cut.offset for cut in cuts[1:]), piece.stop]
            return [Piece(file, cut.offset, stop, cut.line) for cut, stop in zip(cuts, stops, strict=True)]
    return _cut(piece, target) if detect_format(head[:HEAD_BYTES], False).splittable else [piece]


def _cut(piece: Piece, target: int) -> list[Piece]:
    size = piece.file.size
    count = -(-size // target // 4) * 4  # equal shares for two and for four workers
    bounds = [index * size // count for index in range(count + 1)]
    return [Piece(piece.file, start, stop) for start, stop in zip(bounds, bounds[1:], strict=False)]


def _is_csv(uri: str) -> bool:
    name = uri.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(_CSV_SUFFIXES)
