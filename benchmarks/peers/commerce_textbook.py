"""usage: commerce_textbook SOURCE OUT: sales from a CSV file, checked in a loop with Python's csv and json."""

import csv
import json
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path


def main(source: Path, out: Path) -> None:
    """Write the valid rows, each once, and the invalid ones with the reason."""
    seen: set[str] = set()
    with (
        source.open(newline="") as rows,
        (out / "sales.json").open("w") as valid,
        (out / "bad.json").open("w") as invalid,
    ):
        for row in csv.DictReader(rows):
            try:
                line = json.dumps(check(row))
            except (ArithmeticError, ValueError, TypeError) as error:
                invalid.write(json.dumps([row, str(error)]) + "\n")
                continue
            if line not in seen:
                seen.add(line)
                valid.write(line + "\n")


def check(row: dict[str, str]) -> dict[str, object]:
    """Return a row with its numbers converted; raise if one of its values is invalid."""
    prices = {name: str(Decimal(row[name])) for name in ("unit_price", "amount")}
    datetime.fromisoformat(row["sale_date"])
    if not row["product_id"]:
        message = "product_id"
        raise ValueError(message)
    return {**row, "quantity": int(row["quantity"]), **prices}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
