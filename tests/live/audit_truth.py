"""The tables of the audit in plain Python, from the files alone; nothing of the product is used."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

_NAME = re.compile(
    r"(events|transactions)_([0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})(_.*)?[.]csv([.]gz)?", re.DOTALL
)

Table = list[tuple[object, ...]]
Daily = dict[tuple[date, str], tuple[int, int]]
Key = tuple[date, str]


@dataclass
class Truth:
    """The audit of one folder, run after run; `central` goes on from the run before."""

    central: Table = field(default_factory=list)
    _last: dict[date, Daily] = field(default_factory=dict)

    def audit(self, folder: Path) -> dict[str, Table]:
        """Return the four tables after one more run."""
        self.read = self.rejected = 0
        daily = self._daily(folder)
        top3 = _top3(daily)
        self._append(daily, top3)
        return {
            "mart_audit_daily": [(*key, *figures, _rate(*figures)) for key, figures in daily.items()],
            "mart_audit_rolling": _rolling(daily),
            "mart_audit_top3": top3,
            "central_audit": list(self.central),
        }

    def _rows(self, path: Path) -> list[dict[str, str | None]]:
        """Return the records of a file by the names in its header, and count its rows."""
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
        if not rows:
            return []
        header, *body = rows
        records = [dict(zip(header, map(_text, row), strict=True)) for row in body if len(row) == len(header)]
        self.read += len(body)
        self.rejected += len(body) - len(records)
        return records

    def _daily(self, folder: Path) -> Daily:
        events: dict[Key, dict[str, dict[str, str | None]]] = defaultdict(dict)
        states: dict[str, tuple[datetime, str | None]] = {}
        empty: set[Key] = set()
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            day = date.fromisoformat(match[2])
            records = self._rows(path)
            if match[1] == "transactions":
                for record in records:
                    time = _time(record.get("load_time"))
                    name = record.get("transaction_id")
                    if name is not None and (name not in states or states[name][0] < time):
                        states[name] = time, record.get("amount")
                continue
            own = path.name[match.end(2) + 1 :] if match[3] is not None else path.name
            own = own.removesuffix(".gz")
            if not records:
                empty.add((day, own))
            for record in records:
                key = day, record.get("file_name") or own
                identity = record.get("event_id")
                assert identity is not None
                events[key].setdefault(identity, record)
        daily = {
            key: (len(records), sum(_is_invalid(record, states) for record in records.values()))
            for key, records in events.items()
        }
        return dict.fromkeys(empty - daily.keys(), (0, 0)) | daily

    def _append(self, daily: Daily, top3: Table) -> None:
        worst = {row[0]: row[2] for row in top3 if row[1] == 1}
        for day in sorted({day for day, _ in daily}):
            of_day = {key: figures for key, figures in daily.items() if key[0] == day}
            if self._last.get(day) == of_day:
                continue
            self._last[day] = of_day
            revision = 1 + sum(row[0] == day for row in self.central)
            total, invalid = (sum(figures[index] for figures in of_day.values()) for index in (0, 1))
            row = (day, revision, len(of_day), total, invalid, _rate(total, invalid), worst.get(day))
            self.central.append(row)


def _text(value: str) -> str | None:
    text = value.strip()
    return None if text.lower() in ("", "null") else text


def _time(text: str | None) -> datetime:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _is_invalid(record: dict[str, str | None], states: dict[str, tuple[datetime, str | None]]) -> bool:
    if (record.get("status") or "").upper() != "OK":
        return True
    _, amount = states.get(record.get("transaction_id") or "", (None, None))
    try:
        number = Decimal(amount or "")
    except InvalidOperation:
        return True
    return not number.is_finite() or number < 0


def _rate(total: int, invalid: int) -> float | None:
    return invalid / total if total else None


def _rolling(daily: Daily) -> Table:
    rows: Table = []
    for name in {name for _, name in daily}:
        days = sorted(day for day, other in daily if other == name)
        rates = [_rate(*daily[day, name]) for day in days]
        for index, day in enumerate(days):
            window = [rate for rate in rates[max(index - 6, 0) : index + 1] if rate is not None]
            rows.append((day, name, rates[index], sum(window) / len(window) if window else None))
    return rows


def _top3(daily: Daily) -> Table:
    rows: Table = []
    for day in {day for day, _ in daily}:
        ranked = sorted(
            (-(rate), -figures[1], name)
            for (other, name), figures in daily.items()
            if other == day and (rate := _rate(*figures)) is not None
        )
        rows += [
            (day, rank, name, -rate, -invalid) for rank, (rate, invalid, name) in enumerate(ranked[:3], 1)
        ]
    return rows
