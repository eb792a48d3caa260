"""Daily files of the audit with everything that such files may have, from one seed; `write` says what is in which."""

from __future__ import annotations

import csv
import gzip
import io
import random
from datetime import date, timedelta
from pathlib import Path

START = date(2025, 10, 24)
NAMES = (
    "orders.csv",
    "Orders.csv",
    "Zahlungen, ü.csv",
    "z.csv",
    "ä.csv",
    "a\nb.csv",
    "\U0001f4e6.csv",
    "\uff5e.csv",
)
STATUSES = (
    "OK",
    "OK",
    "OK",
    " ok\t",
    "Ok",
    "NOK",
    "",
    "null",
    " NULL ",
    "O K",
    "\u00a0OK",
    "0K",
    "OK,",
    'O"K',
)
AMOUNTS = (
    *("1", "100.0", "0", "-0.0", "-0", "1e2", "+5", ".5", "5.", "1E-400", "9" * 50, "1e400", " 7 ", "-1e-12"),
    *(
        "-10.0",
        "-.5",
        "-1e400",
        "",
        "null",
        "NaN",
        "inf",
        "-Infinity",
        "abc",
        "1,5",
        "1 000",
        "0x1",
        "1e",
        "--1",
    ),
    *(".", "e5", "1.2.3", "$5", "-", "0e9", "-0e-9", "00012"),
)
TIMES = (
    *(
        "2025-10-24 00:59:00",
        "2025-10-24T01:59:00Z",
        "2025-10-24 02:30:00+02:00",
        "2025-10-24 00:59:00.000001",
    ),
    *(
        "2025-10-23 23:59:59-05:00",
        "2025-10-25",
        "2025-10-24T00:59:00.5+00:00",
        "2025-02-30 00:00:00",
        "soon",
    ),
)
EVENT_HEADER = ["event_id", "transaction_id", "file_name", "status", "event_time"]
TRANSACTION_HEADER = ["transaction_id", "amount", "customer_id", "load_time"]
EXTRAS = ("note", "load_date", "amount", "_source", "", "x;y", "rank", "note")


class Writer:
    """Writes daily files of all kinds into a folder."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._events = self._files = 0
        self._states: dict[str, int] = {}

    def write(self, folder: Path, days: range, *, late: bool = False) -> None:
        """Write files of some days after START; the others are missing. `late` files are parts of their own."""
        pick = self._random
        for number in days:
            day = START + timedelta(days=number)
            if not late and number % 5 == 3:
                continue
            spelling = day.isoformat() if pick.random() < 0.5 else day.strftime("%Y%m%d")
            for part in pick.sample(["", "_orders", "_b, c%20+", "_\U0001f4e6", "_x_y"], pick.randint(1, 3)):
                suffix = f"{part}_late{number}" if late else part
                kind = pick.choice(["rows"] * 5 + ["empty", "header", "ragged"])
                self._put(folder / f"events_{spelling}{suffix}.csv", self._event_file(kind))
                if pick.random() < 0.8:
                    self._put(folder / f"transactions_{spelling}{suffix}.csv", self._transaction_file(kind))

    def _event_file(self, kind: str) -> list[list[str]]:
        pick, rows = self._random, []
        for _ in range(pick.randint(1, 25)):
            self._events += 1
            transaction = pick.choice(
                [*(f"t{pick.randint(1, 60)}" for _ in range(8)), "", "null", "T1", " t2 "]
            )
            name = pick.choice([*NAMES, "", "NULL"])
            rows.append([f"e{self._events}", transaction, name, pick.choice(STATUSES), pick.choice(TIMES)])
            if pick.random() < 0.2:
                rows.append(pick.choice(rows))
        return self._shape(EVENT_HEADER, rows, kind)

    def _transaction_file(self, kind: str) -> list[list[str]]:
        pick, rows = self._random, []
        for _ in range(pick.randint(1, 25)):
            name = f"t{pick.randint(1, 60)}"
            self._states[name] = self._states.get(name, 0) + 1
            time = (
                f"2025-10-{pick.randint(1, 28):02} 10:00:{self._states[name] % 60:02}.{self._states[name]:06}"
            )
            name = pick.choice([name] * 9 + ["null"])
            rows.append([name, pick.choice(AMOUNTS), f"c{pick.randint(1, 9)}", time])
            if pick.random() < 0.1:
                rows.append(rows[-1])
        return self._shape(TRANSACTION_HEADER, rows, kind)

    def _shape(self, header: list[str], rows: list[list[str]], kind: str) -> list[list[str]]:
        """Return header and rows with columns in another order, further columns, and rows that are no records."""
        pick = self._random
        if kind == "empty":
            return []
        extras = pick.sample([extra for extra in EXTRAS if extra not in header], pick.choice([0, 0, 2, 4]))
        order = pick.sample(range(len(header) + len(extras)), len(header) + len(extras))
        wide = [[*header, *extras], *([*row, *("x,\n" for _ in extras)] for row in rows if kind == "rows")]
        shaped = [[row[index] for index in order] for row in wide]
        for _ in range(pick.randint(0, 3) if kind == "rows" else 2 if kind == "ragged" else 0):
            ragged = pick.choice(
                [["e1"], [*shaped[0], "more"], shaped[0][:-1], [" "], [""] * (len(order) + 1)]
            )
            shaped.insert(pick.randint(1, len(shaped)), ragged)
        return shaped

    def _put(self, path: Path, rows: list[list[str]]) -> None:
        pick, text = self._random, io.StringIO(newline="")
        end = pick.choice(["\n", "\r\n"])
        writer = csv.writer(text, pick.choice(["excel", "unix"]), lineterminator=end)
        text.write(end * pick.choice([0] * 9 + [1]))
        for index, row in enumerate(rows):
            writer.writerow(row)
            if index and pick.random() < 0.05:
                text.write(end)
        content = text.getvalue()
        if pick.random() < 0.3:
            content = content.removesuffix(end)
        data = content.encode("utf-8-sig" if pick.random() < 0.3 else "utf-8")
        if pick.random() < 0.3:
            path, data = (
                path.with_name(f"{path.name}.gz"),
                gzip.compress(data) if data or pick.random() < 0.5 else b"",
            )
        path.write_bytes(data)
