from __future__ import annotations

from collections.abc import Sequence

import pytest
from sluice.contracts import ValueType
from sluice.elements import RecordBatch
from sluice.formats.csv_dialect import detect_layout
from sluice.provenance import CsvProvenance
from sluice.tooling.inference.csv_columns import column_names, infer_columns


def batch(header: str, *rows: str) -> RecordBatch:
    layout = detect_layout("\n".join([header, *rows]).encode(), True)
    assert layout is not None
    numbers = range(len(rows))
    return RecordBatch(
        [row.encode() for row in rows], CsvProvenance("x.csv", 0.0, numbers, numbers, layout.dialect)
    )


@pytest.mark.parametrize(
    ("texts", "expected", "day_first"),
    [
        (["1", "-2", "+0"], "string", False),  # the plus of a telephone number
        (["1", "", "-2"], "integer", False),
        (["1", "02"], "string", False),  # the zero of a postal code
        (["1.5", "2"], "decimal", False),
        (["1,5", "1.234,50"], "decimal", False),
        (["1,5", "1.234"], "string", False),  # may be either of two numbers
        (["1,234.50"], "decimal", False),
        (["1,234"], "string", False),
        (["12E4", "13E4"], "string", False),
        (["1.5e3"], "decimal", False),
        (["yes", "No"], "boolean", False),
        (["1", "0"], "integer", False),
        (["2025-01-31"], "date", False),
        (["31.01.2025", "1.2.2025"], "date", True),
        (["31.02.2025"], "string", False),
        (["2025-01-31", "31.01.2025"], "date", True),
        (["2025-01-31 10:00"], "timestamp", False),
        (["2025-01-31T10:00:00Z", "2025-01-31"], "timestamp", False),
        (["31.01.2025 10:00", "1.2.2025 9:05:59"], "timestamp", True),
        (["01/31/2025"], "string", False),
        (["a", "1"], "string", False),
        (["", " "], "string", False),
    ],
)
def test_type_suits_every_text(texts: Sequence[str], expected: ValueType, day_first: bool) -> None:
    columns = infer_columns([batch("a;b", *(f"{text};x" for text in texts))])
    assert columns is not None
    assert (columns.properties[0].type, columns.properties[0].day_first) == (expected, day_first)


def test_a_type_suits_the_texts_of_all_files() -> None:
    columns = infer_columns([batch("a;b", "1;x"), batch("b;a", "y;2,5")])
    assert columns is not None
    assert [(prop.name, prop.type) for prop in columns.properties] == [("a", "decimal"), ("b", "string")]


def test_points_between_digits_may_be_between_thousands_in_a_file_with_decimal_commas() -> None:
    for row, expected in (("12,50;1.234", "string"), ("12,50;1.2", "decimal"), ("12.50;1.234", "decimal")):
        columns = infer_columns([batch("price;stock", row)])
        assert columns is not None
        assert [prop.type for prop in columns.properties] == ["decimal", expected]


def test_records_that_are_no_rows_have_no_columns() -> None:
    assert infer_columns([]) is None


def test_names_are_those_that_every_warehouse_takes() -> None:
    given = ["Order ID", "unitPrice", "Größe", "größe (cm)", "1st", "a.b", "€", "PLZ", "a-b", "$"]
    assert list(column_names(given).values()) == [
        "order_id",
        "unitPrice",
        "groesse",
        "groesse_cm",
        "column_1st",
        "a_b",
        "column",
        "plz",
        "a_b_2",
        "column_2",
    ]
