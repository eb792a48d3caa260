"""Record + contract -> event or rejection: a pure core, and the thin step around it.

The hot path asks msgspec, and looks at the values of all of a batch's events that msgspec cannot tell. Only a record
that msgspec refuses, or that holds an odd value, is looked at a second time, by the explainer, which names every
violation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from sluice.contracts import Contract
from sluice.elements import LogKey, RecordBatch, Rejected, StepCounts, Violation
from sluice.formats.normalize import Normalizer
from sluice.provenance import Origin
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoder import MAX_DEPTH, compile_decoder, too_deep
from sluice.validation.deduplication_keys import compile_deduplication_key, shard_of
from sluice.validation.explainer import Explanation, compile_explainer, violation_code
from sluice.validation.masking import compile_masking, without_limits

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 2.0**53 / 1e6
"""Epoch seconds up to which a float tells every microsecond: the years 1684 to 2255."""

_MAY_BE_DEEP = 2 * MAX_DEPTH
"""Only a record longer than this can nest deeper than MAX_DEPTH."""

_UNDECODABLE = (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Decoded:
    """What became of one record batch: accepted lines by log key, and rejections; every record is in one."""

    events: dict[LogKey, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[Rejected] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)
    """Accepted events that were mended, by event type."""
    first: float = float("inf")
    last: float = float("-inf")


class _Kind(NamedTuple):
    """What the hot path needs to know of a contract."""

    contract: Contract
    event_type: str
    timed: bool
    rewritten: bool
    """What is stored differs from the record: protected, or with its delivery."""
    seconds: int
    """Of a folder of its log."""


_SPANS = {"minute": 1, "hour": 60, "day": 1440}
"""Minutes of a folder."""


class RecordDecoder:
    """Holds every record of a batch against its contract. Pure: no Beam, no clock, no I/O."""

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        route_by: str | None,
        ages: AgeLimits,
        shards: int,
        key: bytes | None = None,
        done: frozenset[str] = frozenset(),
    ) -> None:
        """Compile the contracts; done once a worker.

        `key` is that of protected properties, if there are any. Values at the paths in `done` are protected already,
        and are not held against limits that the raw ones have kept.
        """
        contracts = (
            {name: without_limits(contract, done) for name, contract in contracts.items()}
            if done
            else contracts
        )
        self._done = done
        self._masking = compile_masking(contracts, route_by, key, done)
        self._mask = {} if self._masking is None else self._masking.lines
        compiled = compile_decoder(contracts, route_by)
        self._decode = compiled.decode
        self._find_odd = compiled.suspects
        self._kinds = {
            struct: _Kind(
                contract,
                contract.event_type,
                contract.event_time is not None,
                contract.identity == "delivery" or contract.event_type in self._mask,
                60 * _SPANS[contract.log_partition],
            )
            for struct, contract in compiled.contract_of.items()
        }
        self._explain = compile_explainer(contracts, route_by).explain
        self._prepare = Normalizer(contracts, route_by)
        self._ages = ages
        self._shards = shards
        self._identities = {name: compile_deduplication_key(contract) for name, contract in contracts.items()}

    def decode(self, batch: RecordBatch) -> Decoded:
        """Return the events and the rejections of `batch`, each in the order of its records."""
        result = Decoded()
        kinds = {
            struct: (kind, defaultdict[float, list[bytes]](list)) for struct, kind in self._kinds.items()
        }
        times: list[float] = []
        max_skew, lateness = self._ages.max_skew, self._ages.lateness(batch)
        references = self._ages.references(batch)
        lines, broken = self._prepare.lines(batch)
        whole = b"".join(lines)  # what is rare is looked for in all lines at once, at a tenth of the time
        events, mended = self._events(batch, lines, broken, is_ascii=whole.isascii())
        suspects = self._suspects(events)
        has_breaks = b"\n" in whole
        for index, (record, event, reference) in enumerate(zip(lines, events, references, strict=False)):
            if type(event) is Explanation:
                result.rejected.append(self._rejected(batch, index, event))
                continue
            (contract, event_type, timed, rewritten, seconds), folders = kinds[type(event)]
            if timed:
                stamp = event.event_time_
                if stamp.tzinfo is None:
                    stamp = stamp.replace(tzinfo=UTC)
                time = stamp.timestamp()
                exact = -_EXACT < time < _EXACT
                folder = time // seconds if exact else (stamp - _EPOCH) // timedelta(seconds=seconds)
            else:
                time = batch.origin(index).arrival
                folder = time // seconds
            in_time = reference - lateness <= time <= reference + max_skew
            line = mended.get(index, record)
            if not in_time or index in suspects:
                explanation = self._recheck(record, line, contract, None if in_time else reference, time)
                if explanation.violations:
                    result.rejected.append(self._rejected(batch, index, explanation))
                    continue
            if rewritten or (has_breaks and b"\n" in line):
                line = self._stored(line, contract, batch, index)
            folders[folder].append(line)
            times.append(time)
            if index in mended:
                result.repaired[event_type] += 1
        if times:
            result.first, result.last = min(times), max(times)
        self._shard(kinds.values(), result)
        return result

    def _events(
        self, batch: RecordBatch, lines: Sequence[bytes], broken: Mapping[int, Violation], *, is_ascii: bool
    ) -> tuple[list[Any], dict[int, bytes]]:
        """Return the event of each line, or why it has none, and by index the lines that were mended."""
        events: list[Any] = []
        mended: dict[int, bytes] = {}
        decode = self._decode if is_ascii else self._decode_text
        for line in lines:
            try:
                if len(line) > _MAY_BE_DEEP and too_deep(line):
                    raise RecursionError
                events.append(decode(line))
            except _UNDECODABLE:
                index = len(events)
                rescued = self._rescue(batch, index, broken.get(index), line)
                if not isinstance(rescued, Explanation):
                    mended[index], rescued = rescued
                events.append(rescued)
        return events, mended

    def _suspects(self, events: Sequence[Any]) -> set[int]:
        """Return the indexes of the events that the explainer must be asked about."""
        indexes: dict[type, list[int]] = {struct: [] for struct in self._find_odd}
        for index, event in enumerate(events):
            if type(event) in indexes:
                indexes[type(event)].append(index)
        return {
            places[place]
            for struct, places in indexes.items()
            for place in self._find_odd[struct]([events[index] for index in places])
        }

    def _decode_text(self, record: bytes) -> Any:
        record.decode()  # msgspec skips unknown properties without looking at their encoding
        return self._decode(record)

    def _rejected(self, batch: RecordBatch, index: int, explanation: Explanation) -> Rejected:
        rejected = _rejected(batch, index, explanation, self._done)
        return rejected if self._masking is None else self._masking.rejected(rejected)

    def _stored(self, record: bytes, contract: Contract, batch: RecordBatch, index: int) -> bytes:
        """Return the line of the log: no line feeds, values protected, with its origin if that is its identity."""
        line = record if b"\n" not in record else msgspec.json.format(record, indent=-1)
        if contract.event_type in self._mask:
            line = self._mask[contract.event_type](line)
        return _with_delivery(line, batch.origin(index)) if contract.identity == "delivery" else line

    def _rescue(
        self, batch: RecordBatch, index: int, broken: Violation | None, line: bytes
    ) -> tuple[bytes, Any] | Explanation:
        """Return the mended line of a refused record and its event; or else why it is refused."""
        if broken is not None:
            return Explanation(None, None, None, (broken,))
        mended = self._prepare.repaired(batch, index)
        if mended is None:
            return self._explain(line)
        try:
            return mended, self._decode(mended)
        except _UNDECODABLE:
            return self._explain_mended(line, mended)

    def _explain_mended(self, record: bytes, line: bytes) -> Explanation:
        """Return what is wrong with `line`, and if anything is, with the record that it was before it was mended."""
        found = self._explain(line)
        if line is record or not found.violations:
            return found
        return replace(found, violations=(*self._explain(record).violations, *found.violations))

    def _recheck(
        self, record: bytes, line: bytes, contract: Contract, late_for: float | None, time: float
    ) -> Explanation:
        """Return what is wrong with an event that has odd values, or whose age, for `late_for`, is not right."""
        explanation = self._explain_mended(record, line)
        if late_for is None or explanation.violations:
            return explanation
        stamp = explanation.event_time or datetime.fromtimestamp(time, UTC)
        age = self._ages.violation(stamp, late_for)
        return Explanation(contract.event_type, contract, explanation.event_time, (age,))

    def _shard(self, kinds: Iterable[tuple[_Kind, Mapping[float, list[bytes]]]], result: Decoded) -> None:
        for kind, folder, lines in [(kind, *each) for kind, folders in kinds for each in folders.items()]:
            minute = int(folder) * kind.seconds
            if self._shards == 1:
                result.events[LogKey(kind.event_type, minute, 0)] = lines
                continue
            identity = self._identities[kind.event_type]
            for line in lines:
                key = LogKey(kind.event_type, minute, shard_of(identity(line), self._shards))
                result.events[key].append(line)


def _rejected(batch: RecordBatch, index: int, explanation: Explanation, masked: frozenset[str]) -> Rejected:
    return Rejected(
        record=batch.records[index],
        origin=batch.origin(index),
        step="decode",
        violations=explanation.violations,
        event_type=explanation.event_type,
        contract=explanation.contract.label if explanation.contract is not None else None,
        partition_minutes=_SPANS[explanation.contract.log_partition]
        if explanation.contract is not None
        else 1,
        event_time=explanation.event_time,
        acks=batch.acks(1),
        dialect=batch.dialect,
        masked=masked,
    )


def _with_delivery(line: bytes, origin: Origin) -> bytes:
    """Splice where the record was delivered into the line, so that its identity can be read back from it."""
    if origin.message_id is not None:
        delivery = origin.message_id
    else:
        delivery = "/".join(
            str(part) for part in (origin.uri, origin.partition, origin.offset) if part is not None
        )
    body = line.rstrip()[:-1].rstrip()
    comma = b"" if body.endswith(b"{") else b","
    return body + comma + b'"_id":' + msgspec.json.encode(delivery) + b"}"


def count_decoded(decoded: Decoded) -> StepCounts:
    """Return what decode did with one batch; see `DecodeRecords`."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, lines in decoded.events.items():
        counts["routed", key.event_type] += len(lines)
    for event_type, number in decoded.repaired.items():
        counts["repaired", event_type] += number
    for rejected in decoded.rejected:
        event_type = rejected.event_type or "unknown"
        counts["routed", event_type] += 1
        counts["rejected", event_type] += 1
        counts["code", violation_code(rejected.violations)] += 1
    if not decoded.events:
        return StepCounts(counts)
    return StepCounts(counts, decoded.first, decoded.last)
