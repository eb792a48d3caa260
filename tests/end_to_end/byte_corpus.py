"""The same records in every layout, encoding and compression that files have."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

import zstandard

from devservers.sluice_command import sluice

TEXT = 'é "}{" [\u2028,'
"""In every event: what looks like the border of two objects, and the end of a line to those who follow Unicode."""

_RECORDS = 3


class Sample(NamedTuple):
    """A file, and the texts that are stored of its records."""

    name: str
    data: bytes
    records: list[str]


def _gzip_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "gz_members": _gzip_members,
    "gz_padded": lambda data: gzip.compress(data) + b"\0" * 600,
    "gz_gz": lambda data: gzip.compress(gzip.compress(data)),
    "zst": zstandard.compress,
    "bz2": bz2.compress,
}
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf8": lambda text: text.encode(),
    "utf8_bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf16_le": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf16_be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf16_no_bom": lambda text: text.encode("utf-16-le"),
    "utf32": lambda text: b"\xff\xfe\0\0" + text.encode("utf-32-le"),
}


def _ended(end: str) -> Callable[[list[str]], str]:
    return lambda records: "".join(record + end for record in records)


def _joined(separator: str) -> Callable[[list[str]], str]:
    return separator.join


def _pretty(records: list[str]) -> list[str]:
    return [json.dumps(json.loads(record), ensure_ascii=False, indent=2) for record in records]


JSON_LAYOUTS: dict[str, Callable[[list[str]], str]] = {
    "lines": _ended("\n"),
    "last_line_open": _joined("\n"),
    "crlf": _ended("\r\n"),
    "cr": _ended("\r"),
    "mixed_line_ends": lambda records: f"{records[0]}\r\n{records[1]}\r{records[2]}\n",
    "empty_lines": lambda records: "\n\n" + "\n\n\r\n".join(records) + "\n\n",
    "nothing_between": _joined(""),
    "blank_between": _joined(" "),
    "comma_between": _joined(","),
    "comma_at_line_ends": _joined(",\n"),
    "nul": _ended("\0"),
    "record_separators": lambda records: "".join(f"\x1e{record}\n" for record in records),
    "joined_files": _joined("\ufeff"),
    "joined_lines": lambda records: "\n\ufeff".join(records) + "\n",
    "pretty": lambda records: "\n".join(_pretty(records)),
    "pretty_nothing_between": lambda records: "".join(_pretty(records)),
    "pretty_cr": lambda records: "\r".join(_pretty(records)).replace("\n", "\r"),
    "pretty_record_separators": lambda records: "".join(f"\x1e{record}\n" for record in _pretty(records)),
    "array": lambda records: f"[{','.join(records)}]",
    "array_lines": lambda records: "[\n" + ",\n".join(records) + "\n]\n",
    "array_pretty": lambda records: "[\r\n" + ",\r\n".join(_pretty(records)) + "\r\n]\r\n",
    "array_trailing_comma": lambda records: f" [ {' , '.join(records)} , ] ",
    "arrays": lambda records: f"[{records[0]}]\n[{','.join(records[1:])}]\n",
    "arrays_nothing_between": lambda records: f"[{records[0]}][{','.join(records[1:])}]",
    "array_then_lines": lambda records: f"[{records[0]}]\n{records[1]}\n{records[2]}\n",
}


def json_samples() -> Iterator[Sample]:
    """Yield every layout of JSON in every encoding and compression."""
    for layout, encoding, compression in product(JSON_LAYOUTS, ENCODINGS, COMPRESSIONS):
        name = f"{layout}.{encoding}.{compression}"
        records = [_event(f"{name}.{number}") for number in range(_RECORDS)]
        text = JSON_LAYOUTS[layout](records)
        yield Sample(f"{name}.json", COMPRESSIONS[compression](ENCODINGS[encoding](text)), records)


def _event(user: str) -> str:
    event = {
        "user_id": user,
        "timestamp": "2025-01-10T10:00:00Z",
        "event_type": "view",
        "metadata": {"page": TEXT},
    }
    return json.dumps(event, ensure_ascii=False)


CSV_ENCODINGS: dict[str, Callable[[str], bytes]] = {
    **ENCODINGS,
    "windows_1252": lambda text: text.encode("cp1252"),
}
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}
HEADER = ["sale_id", "product_id", "user_id", "quantity", "unit_price", "sale_date"]


def csv_samples() -> Iterator[Sample]:
    """Yield CSV with every delimiter, line end, quoting, encoding, compression, with and without the line of Excel."""
    for delimiter, line_end, quoted, encoding, compression, excel in product(
        DELIMITERS, LINE_ENDS, (False, True), CSV_ENCODINGS, COMPRESSIONS, (False, True)
    ):
        name = ".".join((delimiter, line_end, "quoted" if quoted else "bare", encoding, compression))
        name += ".excel" if excel else ""
        rows = [_sale(f"{name}.{number}", quoted, number) for number in range(_RECORDS)]
        file = io.StringIO()
        if excel:
            file.write(f"sep={DELIMITERS[delimiter]}{LINE_ENDS[line_end]}")
        writer = csv.writer(
            file,
            delimiter=DELIMITERS[delimiter],
            lineterminator=LINE_ENDS[line_end],
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerows(chain([HEADER], rows))
        encoded = CSV_ENCODINGS[encoding](file.getvalue())
        data = COMPRESSIONS[compression](encoded)
        yield Sample(f"{name}.csv", data, [_stored(row) for row in rows])


def _sale(sale: str, quoted: bool, number: int) -> list[str]:
    product_id = 'é,;\t|"x"\n\r\n\r-' if quoted and number == 1 else "é"
    return [sale, product_id, "U1", "1", "2.50", "2025-01-10"]


def _stored(row: list[str]) -> str:
    price, day = f"{row[4]}", f'"{row[5]}T00:00:00Z"'
    values = [*(json.dumps(value, ensure_ascii=False) for value in row[:3]), row[3], price, day]
    return "{" + ",".join(f'"{name}":{value}' for name, value in zip(HEADER, values, strict=True)) + "}"


def assert_every_record_is_stored(
    job: str, source: str, samples: Sequence[Sample], folder: Path, environment: dict[str, str] | None = None
) -> None:
    """Run a job over `samples`, which are at `source`, and compare what it stored in `folder` with their records."""
    report = folder / "report.json"
    places = {
        "source": source,
        "files": folder / "files",
        "dead-letters": folder / "dead_letters",
        "warehouse": f"duckdb:///{folder}/w.duckdb",
        "report": report,
    }
    options = (f"--{name}={place}" for name, place in places.items())
    finished = sluice("run", f"jobs/{job}.yaml", *options, environment=environment)
    assert finished.code == 0, finished.err
    records = Counter(_plain(record) for sample in samples for record in sample.records)
    stored = Counter(
        _plain(line)
        for path in (folder / "files").rglob("*.json")
        if path.name != "_log.json"
        for line in path.read_bytes().decode().split("\n")[:-1]
    )
    assert stored == records
    figures = json.loads(report.read_bytes())
    names = ("read", "accepted", "duplicates", "rejected")
    assert [figures[name] for name in names] == [len(records), len(records), 0, 0]


def _plain(line: str) -> str:
    """Return a line without the blanks of pretty-printed JSON, and without the place that a sale came from."""
    event = json.loads(line)
    event.pop("_source", None)
    return json.dumps(event, ensure_ascii=False)
