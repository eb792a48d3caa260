"""CPU time grows with the size of an input, not with its square: each test doubles one thing that others decide."""

from __future__ import annotations

from pathlib import Path

from sluice.contracts import load_contract
from sluice.formats.csv_conversion import RowConverter
from sluice.formats.csv_dialect import detect_layout

from tests.growth import LINEAR, growth_of_cpu_time

ROOT = Path(__file__).parents[2]
SALE = load_contract(str(ROOT / "schemas/commerce/sale.odcs.yaml"))


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
