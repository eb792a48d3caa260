"""usage: generate_audit.py [FOLDER]: write eight days of sample files for the file audit.

Everything is made from one seed, so each call writes the same: events about three files and the transactions that they
belong to, with what such files have: a day without a file, an empty file, columns in another order, rows with a field
too many, faulty amounts, and a transaction that comes days later.
"""

from __future__ import annotations

import csv
import io
import random
import sys
from datetime import date, timedelta
from pathlib import Path

START = date(2025, 10, 24)
DAYS = 8
SEED = 20251024
FILES = {"orders.csv": 0.05, "payments.csv": 0.15, "refunds.csv": 0.3}
"""File that events are about -> how many of its events are faulty."""

EVENT_COLUMNS = ["event_id", "transaction_id", "file_name", "status", "event_time"]
TRANSACTION_COLUMNS = ["transaction_id", "amount", "customer_id", "load_time"]
FAULTY_AMOUNTS = ("null", "", "-10.0", "abc", "NaN")

Row = list[str]


class Samples:
    """Makes the rows of one day after the other."""

    def __init__(self) -> None:
        """Start from the seed."""
        self._random = random.Random(SEED)
        self._number = 0
        self.late: list[Row] = []
        """Transactions that come on the last day."""

    def day(self, day: date) -> tuple[list[Row], list[Row]]:
        """Return the events and the transactions of a day."""
        events: list[Row] = []
        transactions: list[Row] = []
        for name, faulty in FILES.items():
            for _ in range(self._random.randint(20, 40)):
                self._number += 1
                transaction, time = (
                    f"t{self._number}",
                    f"{day} {self._number % 24:02}:{self._number % 60:02}:00",
                )
                fault = self._random.choice("sat") if self._random.random() < faulty else ""
                amount = self._random.choice(FAULTY_AMOUNTS) if fault == "a" else f"{self._number % 200}.50"
                status = self._random.choice(["NOK", "", "null"]) if fault == "s" else "OK"
                events.append([f"e{self._number}", transaction, name, status, time])
                state = [transaction, amount, f"c{self._number % 17}", time]
                (self.late if fault == "t" else transactions).append(state)
        return events, transactions


def write(folder: Path) -> None:
    """Write the files of all days into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = Samples()
    for number in range(DAYS):
        day = START + timedelta(days=number)
        events, transactions = samples.day(day)
        compact = day.strftime("%Y%m%d")
        match number:
            case 1:  # columns in another order, and one that nobody knows
                shuffled = [[row[3], row[0], "x", *row[1:3], row[4]] for row in [EVENT_COLUMNS, *events]]
                _put(folder / f"events_{compact}.csv", shuffled)
            case 2:  # a file a part, and one without a record
                for name in ("orders.csv", "payments.csv"):
                    part = [row for row in events if row[2] == name]
                    _put(folder / f"events_{day}_{name}", [EVENT_COLUMNS, *part])
                _put(folder / f"events_{day}_refunds.csv", [EVENT_COLUMNS])
            case 3:  # rows that are no records
                _put(
                    folder / f"events_{day}.csv", [EVENT_COLUMNS, *events, ["e0", "t0"], [*events[0], "more"]]
                )
            case 4:  # a day without events
                pass
            case 5:  # as Windows writes files
                _put(folder / f"events_{day}.csv", [EVENT_COLUMNS, *events], "\r\n", "utf-8-sig")
            case _:
                _put(folder / f"events_{day}.csv", [EVENT_COLUMNS, *events])
        _put(
            folder / f"transactions_{compact if number % 2 else day}.csv",
            [TRANSACTION_COLUMNS, *transactions],
        )
    last = START + timedelta(days=DAYS - 1)
    _put(
        folder / f"transactions_{last}_late.csv",
        [TRANSACTION_COLUMNS, *samples.late[: len(samples.late) // 2]],
    )


def _put(path: Path, rows: list[Row], line_end: str = "\n", encoding: str = "utf-8") -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "audit/data")
