"""CPU time grows with the size of an input, not with its square: each test doubles one thing that others decide."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from sluice.arrow.from_json import to_table
from sluice.contracts import Contract, Property, load_contract, load_contracts
from sluice.elements import RecordBatch, Segment
from sluice.eventlog.log import EventLog
from sluice.eventlog.paths import segment_path
from sluice.eventlog.type_log import TypeLog
from sluice.formats.compression import decompress, detect_codec
from sluice.formats.csv_conversion import RowConverter
from sluice.formats.csv_dialect import detect_layout
from sluice.formats.joined_records import separate
from sluice.provenance import FileProvenance, PartitionProvenance
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import plan_reading, read_item
from sluice.storage import open_store
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import Decoded, RecordDecoder

from tests.growth import LINEAR, growth_of_cpu_time

ROOT = Path(__file__).parents[2]
SALE = load_contract(str(ROOT / "schemas/commerce/sale.odcs.yaml"))
LOG = load_contract(str(ROOT / "schemas/commerce/customer_log.odcs.yaml"))
EVENT = {"user_id": "U1", "timestamp": "2025-01-10T10:00:00Z", "event_type": "view"}
START = json.dumps(EVENT)[:-1]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def decoder_of(contracts: Mapping[str, Contract], route_by: str | None = None) -> RecordDecoder:
    return RecordDecoder(contracts, route_by, AgeLimits(600, 86400, NOW.timestamp()), shards=1)


def decode(decoder: RecordDecoder, records: Sequence[bytes]) -> Decoded:
    provenance = FileProvenance("history.json", NOW.timestamp(), range(len(records)))
    return decoder.decode(RecordBatch(records, provenance))


def contract_of(name: str, *properties: Property) -> Contract:
    return Contract(name, name, name, "1.0.0", "test", "", properties, None)


def events(number: int) -> dict[str, object]:
    return {f"key_{index}": index for index in range(number)}


RECORDS: dict[str, tuple[Callable[[int], str], int]] = {
    "unknown members": (lambda size: json.dumps(EVENT | events(size)), 40_000),
    "unknown members of a rejected record": (
        lambda size: json.dumps(EVENT | events(size) | {"user_id": 1}),
        40_000,
    ),
    "members of an object of any shape": (
        lambda size: json.dumps(EVENT | {"metadata": events(size)}),
        40_000,
    ),
    "items": (lambda size: json.dumps(EVENT | {"items": [{"a": 1}] * size}), 40_000),
    "repeated keys": (lambda size: "{" + '"user_id":"U1",' * size + START[1:] + "}", 100_000),
    "repeated keys of a rejected record": (
        lambda size: "{" + '"user_id":1,' * size + START[1:] + "}",
        20_000,
    ),
    "escapes": (lambda size: START + ',"text":"' + r"\"\\\u00e9" * size + '"}', 400_000),
    "escapes of a text that is cut off": (lambda size: START + ',"text":"' + r"\"\\" * size, 20_000),
    "digits of an unknown number": (lambda size: START + ',"count":' + "1" * size + "}", 4_000_000),
    "digits of a text": (lambda size: START[:-1] + "," + '"user_id":' + "1" * size + "}", 400_000),
    "a key": (lambda size: json.dumps(EVENT | {"k" * size: 1}), 4_000_000),
    "nesting": (lambda size: START + ',"nested":' + "[" * size + "]" * size + "}", 100_000),
    "nesting that is not closed": (lambda size: START + ',"nested":' + '{"a":' * size, 40_000),
    "only brackets": (lambda size: "[" * size, 100_000),
}


@pytest.mark.parametrize("name", RECORDS)
def test_time_of_a_record_is_linear_in_what_it_repeats(name: str) -> None:
    make, size = RECORDS[name]
    decoder = decoder_of({"customer_log": LOG})

    def run(times: int) -> None:
        decoded = decode(decoder, [make(times).encode()])
        for lines in decoded.events.values():
            to_table(LOG, Segment("id", "customer_log", "path", 0, lines), ["key"], NOW)

    assert growth_of_cpu_time(run, size) < LINEAR


@pytest.mark.parametrize("value_type", ["integer", "float", "decimal", "json"])
@pytest.mark.parametrize("number", ["{}", "0.{}", "-{}.5e-{}", "1e{}"])
def test_time_of_a_number_is_linear_in_its_digits(value_type: str, number: str) -> None:
    contract = contract_of("number", Property("value", value_type))  # type: ignore[arg-type]  # mypy infers str
    decoder = decoder_of({"number": contract})
    value = '{{"a":%s}}' % number if value_type == "json" else number

    def run(digits: int) -> None:
        decoded = decode(decoder, [f'{{"value":{value.replace("{}", "9" * digits)}}}'.encode()])
        for lines in decoded.events.values():
            to_table(contract, Segment("id", "number", "path", 0, lines), ["key"], NOW)

    assert growth_of_cpu_time(run, 400_000) < LINEAR


@pytest.mark.parametrize("text", ["aaa", "aab"])
def test_time_of_a_batch_is_linear_in_its_lines_whether_their_patterns_match(text: str) -> None:
    contract = contract_of("text", Property("value", "string", pattern="^(a+)+$"))
    decoder = decoder_of({"text": contract})
    line = b'{"value":"%b"}' % text.encode()
    assert (
        growth_of_cpu_time(
            lambda lines: decode(decoder, [line] * lines), 1_000 if text[-1] == "b" else 20_000
        )
        < LINEAR
    )


def test_time_of_a_contract_is_linear_in_its_properties() -> None:
    def run(properties: int) -> None:
        names = [f"p{index}" for index in range(properties)]
        contract = contract_of("wide", *[Property(name, "string", pattern=f"^{name}") for name in names])
        decoder = decoder_of({"wide": contract})
        line = json.dumps({name: name for name in names}).encode()
        assert len(decode(decoder, [line]).events) == 1
        to_table(contract, Segment("id", "wide", "path", 0, [line]), ["key"], NOW)
        assert len(decode(decoder, [line.replace(b":", b":1")]).rejected) == 1

    assert growth_of_cpu_time(run, 200) < LINEAR


def test_time_of_a_folder_of_contracts_is_linear_in_their_number(tmp_path: Path) -> None:
    text = (ROOT / "schemas/commerce/sale.odcs.yaml").read_text()

    def run(number: int) -> None:
        folder = tmp_path / str(number)
        if not folder.exists():
            folder.mkdir()
            for index in range(number):
                contract = text.replace("name: sale\n", f"name: sale_{index}\n", 1)
                contract = contract.replace(
                    "physicalName: raw_sales_data\n", f"physicalName: sales_{index}\n", 1
                )
                (folder / f"{index}.odcs.yaml").write_text(contract)
        assert len(load_contracts(str(folder))) == number

    assert growth_of_cpu_time(run, 8) < LINEAR


def test_time_of_records_is_linear_in_the_number_of_contracts_and_of_unknown_types() -> None:
    def run(number: int) -> None:
        names = [f"type_{index}" for index in range(number)]
        contracts = {
            name: contract_of(name, Property("type", "string", required=True, enum=(name,))) for name in names
        }
        decoder = decoder_of(contracts, "type")
        known = decode(decoder, [b'{"type":"%b"}' % name.encode() for name in names])
        assert len(known.events) == number
        unknown = decode(decoder, [b'{"type":"x"}'] * number)
        assert len(unknown.rejected) == number

    assert growth_of_cpu_time(run, 200) < LINEAR


def test_time_of_a_rejected_record_is_linear_in_its_masked_values_and_violations() -> None:
    email = Property("email", "string", classification="restricted", mask="hash")
    item = Property("item", "object", required=True, properties=(email, Property("count", "integer")))
    contracts = {"list": contract_of("list", Property("items", "array", items=item))}
    decoder = RecordDecoder(contracts, None, AgeLimits(600, 86400, NOW.timestamp()), 1, b"k" * 32)

    def run(items: int) -> None:
        value = [{"email": f"user-{index}@example.com", "count": "x"} for index in range(items)]
        assert len(decode(decoder, [json.dumps({"items": value}).encode()]).rejected[0].violations) == items

    assert growth_of_cpu_time(run, 1_000) < LINEAR


def test_time_of_a_rejected_record_is_linear_in_the_masked_properties_of_its_contract() -> None:
    def run(properties: int) -> None:
        names = [f"p{index}" for index in range(properties)]
        masked = [Property(name, "string", classification="restricted", mask="hash") for name in names]
        contracts = {"list": contract_of("list", *masked)}
        decoder = RecordDecoder(contracts, None, AgeLimits(600, 86400, NOW.timestamp()), 1, b"k" * 32)
        decoded = decode(decoder, [json.dumps(dict.fromkeys(names, 1)).encode()])
        assert {violation.got for violation in decoded.rejected[0].violations} == {"a protected value"}

    assert growth_of_cpu_time(run, 1_000) < LINEAR


@pytest.mark.parametrize(
    ("first", "repeated"), [("%", "25"), ("", "QUJD"), ("", "4142"), ("", "%2541"), ("", "/")]
)
def test_time_of_a_rejected_record_is_linear_in_its_attributes(first: str, repeated: str) -> None:
    email = Property("email", "string", classification="restricted", mask="hash")
    contracts = {"list": contract_of("list", email, Property("count", "integer"))}
    ages = AgeLimits(600, 86400, NOW.timestamp())
    decoder = RecordDecoder(contracts, None, ages, 1, b"k" * 32, safe_attributes=("link",))

    def run(number: int) -> None:
        attributes = {"link": first + repeated * number}
        provenance = PartitionProvenance("topic", 0.0, 0, [7], [0.0], attributes=[attributes])
        rejected = decoder.decode(
            RecordBatch([b'{"email":"ann@example.com","count":"x"}'], provenance)
        ).rejected
        assert rejected[0].origin.attributes == attributes

    assert growth_of_cpu_time(run, 2_000) < LINEAR


DOCUMENTS = {
    "lines": (b"", b'{"a":1}\n', 400_000),
    "lines that end in CR": (b"", b'{"a":1}\r', 40_000),
    "pretty-printed objects": (b"", b'{\n"a": 1\n}\n', 40_000),
    "objects with nothing between them": (b"", b'{"a":1}', 40_000),
    "elements": (b"[", b'{"a":1},', 80_000),
    "elements without commas": (b"[", b'{"a":1} ', 40_000),
    "elements that are no JSON": (b"[", b'{"a":1},x,', 40_000),
    "objects that are not closed": (b"[", b'{"a":1}{"b":', 20_000),
    "nesting": (b"", b'[{"a":', 40_000),
    "closing brackets": (b'[{"a":1', b"]", 400_000),
    "byte order marks": (b"", b"\xef\xbb\xbf", 40_000),
    "NUL": (b"{", b"\0", 400_000),
    "blanks": (b"[", b" ", 400_000),
    "record separators": (b"", b'\x1e{"a":1}\n', 40_000),
}
"""Name -> the start of a file, what is repeated behind it, and how often."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_time_of_a_file_is_linear_in_what_it_repeats(name: str, tmp_path: Path) -> None:
    start, repeated, number = DOCUMENTS[name]

    def run(times: int) -> None:
        path = tmp_path / f"{times}.json"
        if not path.exists():
            path.write_bytes(start + repeated * times)
        for item in plan_reading(find_files(str(path))):
            assert list(read_item(item))

    assert growth_of_cpu_time(run, number) < LINEAR


@pytest.mark.parametrize("name", DOCUMENTS)
def test_time_of_joined_records_is_linear_in_what_they_repeat(name: str) -> None:
    start, repeated, number = DOCUMENTS[name]
    assert growth_of_cpu_time(lambda times: separate(start + repeated * times), number // 4) < LINEAR


@pytest.mark.parametrize("column", ["quantity", "unit_price", "sale_date", "sale_id"])
@pytest.mark.parametrize("field", ["0", "9", "1.000", "1,000", "1 ", "0.", "1e0", "2025-01-10T10:00:00.0"])
def test_time_of_a_csv_field_is_linear_in_its_length(column: str, field: str) -> None:
    dialect = detect_layout(f"{column}\tother\n1\t2\n".encode(), whole=True)
    assert dialect is not None
    converter = RowConverter(dialect.dialect, {"sale": SALE}, None)

    def convert(length: int) -> None:
        lines, violations = converter.convert([f"{field + field[-1] * length}x\t2".encode()])
        assert len(lines[0]) > length
        assert not violations

    assert growth_of_cpu_time(convert, 200_000) < LINEAR


@pytest.mark.parametrize("group", ["1", "1.000", ".000", ",000", "1,000.0", " "])
def test_time_to_find_decimal_commas_is_linear_in_the_length_of_a_field(group: str) -> None:
    def detect(times: int) -> None:
        row = f"1,5\t{group * times}x\n"
        layout = detect_layout(f"a\tb\n{row}".encode(), whole=True)
        assert layout is not None
        assert layout.dialect.decimal_commas == ("a",)

    assert growth_of_cpu_time(detect, 20_000) < LINEAR


def test_time_of_csv_is_linear_in_the_columns() -> None:
    def convert(columns: int) -> None:
        row = b",".join([b"1"] * columns)
        header = b",".join(b"c%d" % index for index in range(columns))
        layout = detect_layout(header + b"\n" + row, whole=True)
        assert layout is not None
        lines, violations = RowConverter(layout.dialect, {"sale": SALE}, None).convert([row])
        assert len(lines[0]) > columns
        assert not violations

    assert growth_of_cpu_time(convert, 20_000) < LINEAR


def test_time_of_an_append_is_linear_in_the_segments_of_its_folder(tmp_path: Path) -> None:
    def run(segments: int) -> None:
        root = tmp_path / str(segments)
        if not root.exists():
            for number in range(1, segments + 1):
                path = root / segment_path("sale", 0, number, "sale")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b'{"sale_id":"S%d"}\n' % number)
        log = EventLog(open_store(str(root)), {"sale": TypeLog.of(replace(SALE, identity="content"))})
        result = log.append("sale", 0, 0, [b'{"sale_id":"S1"}'])
        assert (result.appended, result.duplicates) == (0, 1)

    assert growth_of_cpu_time(run, 500) < LINEAR


def test_time_of_a_folder_is_linear_in_its_files(tmp_path: Path) -> None:
    def run(files: int) -> None:
        folder = tmp_path / str(files)
        if not folder.exists():
            folder.mkdir()
            for index in range(files):
                (folder / f"{index}.json").write_bytes(b"{}\n")
        batches = [batch for item in plan_reading(find_files(str(folder))) for batch in read_item(item)]
        assert len(batches) == files

    assert growth_of_cpu_time(run, 200) < LINEAR


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_time_of_compressed_content_is_linear_in_the_unpacked_bytes(pack: Callable[[bytes], bytes]) -> None:
    # From 32 MiB on, the allocator asks the kernel for each block, which takes longer than to unpack zeros.
    packed = {size: pack(bytes(size << 20)) for size in (64, 128)}

    def run(size: int) -> None:
        codec = detect_codec(packed[size])
        assert codec is not None
        assert sum(map(len, decompress([packed[size]], codec, "x"))) == size << 20

    assert growth_of_cpu_time(run, 64) < LINEAR
