"""Record + contract -> event or rejection.

The hot path is msgspec, which decodes and validates a record at once, and checks over all events of a batch for what
msgspec cannot express. Only a record that msgspec rejects, or that such a check suspects, is validated a second time
by the explainer, which names every violation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from sluice.contracts import ITEM, Contract, Identity, parse_path, path_text
from sluice.elements import LogKey, RecordBatch, Rejected, StepCounts, Violation, bound_names
from sluice.formats.delivery import with_delivery
from sluice.formats.joined_records import separate_records
from sluice.formats.normalize import Normalizer
from sluice.formats.source_member import with_source
from sluice.provenance import Origin
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoder import MAX_DEPTH, compile_decoder, too_deep
from sluice.validation.deduplication_keys import compile_deduplication_key, shard_of
from sluice.validation.event_times import times_and_partitions
from sluice.validation.explainer import Explanation, compile_explainer, violation_code
from sluice.validation.masking import compile_masking, without_limits

_MAY_BE_DEEP = 2 * MAX_DEPTH
"""Only a record longer than this can nest deeper than MAX_DEPTH."""

_UNDECODABLE = (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Decoded:
    """What became of one record batch: accepted lines by log key, and rejections; every record is in one."""

    events: dict[LogKey, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[Rejected] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)
    """Accepted events that were repaired, by event type."""
    first: float = float("inf")
    last: float = float("-inf")
    """Earliest and latest event time of accepted events, in epoch seconds."""
    unusual: set[str] = field(default_factory=set)
    """Event types of accepted events of which a value has an unusual spelling, such as the decimal `1e2`."""
    separated: int = 0
    """Records that the batch has more than its source counted, because some stood on one line."""


class _ContractFacts(NamedTuple):
    """What the hot path needs to know of a contract."""

    contract: Contract
    has_time: bool
    rewritten: bool
    """What is stored differs from the record: some values are masked, or its origin is added."""
    seconds: int
    """Of one partition of its log."""


class _Lines(NamedTuple):
    """The records of a batch as lines, and the results of checks that run on all of them at once."""

    batch: RecordBatch
    """Its records do not share lines."""
    lines: Sequence[bytes]
    events: Sequence[Any]
    """The struct of each line, or the Explanation of why it has none."""
    places: Mapping[type, Sequence[int]]
    """Struct of a contract, or Explanation -> the indexes of the events of this class, in order."""
    repaired: Mapping[int, bytes]
    """Index -> line of a record that was repaired."""
    suspects: set[int]
    """Indexes of events that the explainer must check."""
    has_breaks: bool
    """Some line has a line feed."""

    def line(self, index: int) -> bytes:
        """Return the line of an event: the repaired one, if its record was repaired."""
        return self.repaired.get(index, self.lines[index])


PARTITION_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
"""`logPartition` of a contract -> minutes in one folder of its log."""


class RecordDecoder:
    """Validates every record of a batch against its contract. Pure: no Beam, no clock, no I/O."""

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        route_by: str | None,
        ages: AgeLimits,
        shards: int,
        key: bytes | None = None,
        masked: frozenset[str] = frozenset(),
        *,
        safe_attributes: Collection[str] = (),
    ) -> None:
        """Compile the contracts; once in each worker.

        `key` is that of masked properties, if there are any; `safe_attributes` are the job's. Values at the paths in
        `masked` are masked already; the limits of their contracts do not apply to them, since the raw values have met
        them.
        """
        paths = frozenset(map(parse_path, masked))
        if paths:
            contracts = {name: without_limits(contract, paths) for name, contract in contracts.items()}
        self._masked = masked
        self._masking = compile_masking(contracts, route_by, key, paths, safe_attributes=safe_attributes)
        self._mask = {} if self._masking is None else self._masking.lines
        compiled = compile_decoder(contracts, route_by)
        self._decode = compiled.decode
        self._find_suspects = compiled.suspects
        self._facts = {
            struct: _ContractFacts(
                contract,
                has_time=contract.event_time is not None,
                rewritten=contract.identity in _ADD_ORIGIN or contract.event_type in self._mask,
                seconds=60 * PARTITION_MINUTES[contract.log_partition],
            )
            for struct, contract in compiled.contract_of.items()
        }
        self._explain = compile_explainer(contracts, route_by).explain
        self._normalizer = Normalizer(contracts, route_by)
        self._ages = ages
        self._shards = shards
        self._keys = {name: compile_deduplication_key(contract) for name, contract in contracts.items()}

    def decode(self, batch: RecordBatch) -> Decoded:
        """Return the events and the rejections of `batch`, each in the order of its records."""
        result, rejections = Decoded(separated=-len(batch.records)), dict[int, Explanation]()
        read = self._read(batch)
        result.separated += len(read.batch.records)
        references = list(islice(self._ages.references(read.batch), len(read.lines)))
        for struct, facts in self._facts.items():
            indexes = read.places.get(struct, ())
            if not indexes:
                continue
            times, numbers = _placed(read, facts, indexes)
            rejected = self._recheck(read, facts.contract, indexes, times, references)
            if rejected:
                rejections |= rejected
                kept = [place for place, index in enumerate(indexes) if index not in rejected]
                indexes = [indexes[place] for place in kept]
                times, numbers = [times[place] for place in kept], [numbers[place] for place in kept]
            if read.suspects and not read.suspects.isdisjoint(indexes):
                result.unusual.add(facts.contract.event_type)
            if indexes:
                result.first, result.last = min(result.first, *times), max(result.last, *times)
                self._accept(read, facts, indexes, numbers, result)
        rejections |= {index: read.events[index] for index in read.places.get(Explanation, ())}
        result.rejected = [
            self._rejected(read.batch, index, rejections[index]) for index in sorted(rejections)
        ]
        return result

    def _read(self, batch: RecordBatch, *, separate: bool = True) -> _Lines:
        lines, csv_violations = self._normalizer.lines(batch)
        whole = b"".join(lines)  # what is rare is searched in all lines at once, in a tenth of the time
        events = self._events(lines, is_ascii=whole.isascii())
        undecodable = [index for index, event in enumerate(events) if event is None]
        if undecodable and separate:
            separated = separate_records(batch, undecodable)
            if separated is not None:
                return self._read(separated, separate=False)
        repaired: dict[int, bytes] = {}
        for index in undecodable:
            event = self._repair(batch, index, csv_violations.get(index), lines[index])
            if not isinstance(event, Explanation):
                repaired[index], event = event
            events[index] = event
        places: dict[type, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            places[type(event)].append(index)
        return _Lines(batch, lines, events, places, repaired, self._suspects(events, places), b"\n" in whole)

    def _events(self, lines: Sequence[bytes], *, is_ascii: bool) -> list[Any]:
        """Return the event of each line; None if it cannot be decoded."""
        deep = {index for index, line in enumerate(lines) if len(line) > _MAY_BE_DEEP and too_deep(line)}
        rest = iter([b"" if index in deep else line for index, line in enumerate(lines)] if deep else lines)
        decode = self._decode if is_ascii else self._decode_text
        events: list[Any] = []
        while len(events) < len(lines):
            try:
                events.extend(map(decode, rest))  # keeps the events before a line that fails
            except _UNDECODABLE:
                events.append(None)
        return events

    def _suspects(self, events: Sequence[Any], places: Mapping[type, Sequence[int]]) -> set[int]:
        """Return the indexes of the events that the explainer must check."""
        return {
            indexes[place]
            for struct, find in self._find_suspects.items()
            if (indexes := places.get(struct, ()))
            for place in find([events[index] for index in indexes])
        }

    def _decode_text(self, record: bytes) -> Any:
        record.decode()  # msgspec skips unknown properties without checking that they are UTF-8
        return self._decode(record)

    def _rejected(self, batch: RecordBatch, index: int, explanation: Explanation) -> Rejected:
        rejected = _make_rejected(batch, index, explanation, self._masked)
        return rejected if self._masking is None else self._masking.rejected(rejected)

    def _stored(self, record: bytes, contract: Contract, batch: RecordBatch, index: int) -> bytes:
        """Return the line of the log: without line feeds, values masked, its origin added if its key has it."""
        line = record if b"\n" not in record else msgspec.json.format(record, indent=-1)
        if contract.event_type in self._mask:
            line = self._mask[contract.event_type](line)
        add_origin = _ADD_ORIGIN.get(contract.identity)
        return line if add_origin is None else add_origin(line, batch.origin(index))

    def _repair(
        self, batch: RecordBatch, index: int, csv_violation: Violation | None, line: bytes
    ) -> tuple[bytes, Any] | Explanation:
        """Return the repaired line of an undecodable record and its event; or else why it is rejected."""
        if csv_violation is not None:
            return Explanation(None, None, None, (csv_violation,))
        repaired = self._normalizer.repaired(batch, index)
        if repaired is None:
            return self._explain(line)
        try:
            return repaired, self._decode(repaired)
        except _UNDECODABLE:
            return self._explain_repaired(line, repaired)

    def _explain_repaired(self, record: bytes, line: bytes) -> Explanation:
        """Return the violations of `line`; if there are any, with those of the record before it was repaired."""
        explanation = self._explain(line)
        if line is record or not explanation.violations:
            return explanation
        return replace(explanation, violations=(*self._explain(record).violations, *explanation.violations))

    def _recheck(
        self,
        read: _Lines,
        contract: Contract,
        indexes: Sequence[int],
        times: Sequence[float],
        references: Sequence[float],
    ) -> dict[int, Explanation]:
        """Return why events of a contract are rejected that are suspect, or outside the age limits, by their indexes.

        `indexes` and `times` are those of all its events; `references` are of all records, see `AgeLimits`.
        """
        max_skew, lateness = self._ages.max_skew, self._ages.lateness(read.batch)
        # Most batches are within the limits as a whole.
        early, late = min(references) + max_skew, max(references) - lateness
        if late <= min(times) and max(times) <= early and read.suspects.isdisjoint(indexes):
            return {}
        rejected: dict[int, Explanation] = {}
        for index, time in zip(indexes, times, strict=True):
            reference = references[index]
            in_time = reference - lateness <= time <= reference + max_skew
            if not in_time or index in read.suspects:
                explanation = self._explain_repaired(read.lines[index], read.line(index))
                if not in_time and not explanation.violations:
                    instant = explanation.event_time or datetime.fromtimestamp(time, UTC)
                    age = self._ages.violation(instant, reference)
                    explanation = Explanation(contract.event_type, contract, explanation.event_time, (age,))
                if explanation.violations:
                    rejected[index] = explanation
        return rejected

    def _accept(
        self,
        read: _Lines,
        facts: _ContractFacts,
        indexes: Sequence[int],
        numbers: Sequence[float],
        result: Decoded,
    ) -> None:
        """Put the lines at `indexes`, events of one contract, under their log keys: `numbers` are their partitions."""
        contract, lines = facts.contract, [read.lines[index] for index in indexes]
        if read.repaired:
            lines = [read.line(index) for index in indexes]
            if repaired := sum(index in read.repaired for index in indexes):
                result.repaired[contract.event_type] += repaired
        if facts.rewritten or read.has_breaks:
            lines = [
                self._stored(line, contract, read.batch, index) if facts.rewritten or b"\n" in line else line
                for line, index in zip(lines, indexes, strict=True)
            ]
        for number, partition in _by_number(numbers, lines).items():
            minute = int(number) * facts.seconds
            if self._shards == 1:
                result.events[LogKey(contract.event_type, minute, 0)] = partition
                continue
            key_of = self._keys[contract.event_type]
            for line in partition:
                shard = shard_of(key_of(line), self._shards)
                result.events[LogKey(contract.event_type, minute, shard)].append(line)


def _placed(
    read: _Lines, facts: _ContractFacts, indexes: Sequence[int]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the times of events of one contract, in epoch seconds, and the numbers of their log partitions."""
    if facts.has_time:
        return times_and_partitions([read.events[index] for index in indexes], facts.seconds)
    times = [read.batch.origin(index).arrival for index in indexes]
    return times, [time // facts.seconds for time in times]


def _by_number(numbers: Sequence[float], lines: list[bytes]) -> Mapping[float, list[bytes]]:
    """Return the lines by their numbers, each in order."""
    if len(set(numbers)) == 1:  # as those of most batches, whose events are in the order of time
        return {numbers[0]: lines}
    by_number: dict[float, list[bytes]] = defaultdict(list)
    for number, line in zip(numbers, lines, strict=True):
        by_number[number].append(line)
    return by_number


def _make_rejected(
    batch: RecordBatch, index: int, explanation: Explanation, masked: frozenset[str]
) -> Rejected:
    contract = explanation.contract
    return Rejected(
        record=batch.records[index],
        origin=batch.origin(index),
        step="decode",
        violations=explanation.violations,
        event_type=explanation.event_type,
        contract=contract.label if contract is not None else None,
        partition_minutes=PARTITION_MINUTES[contract.log_partition] if contract is not None else 1,
        event_time=explanation.event_time,
        acks=batch.acks(1),
        dialect=batch.dialect,
        masked=masked,
    )


def _with_delivery(line: bytes, origin: Origin) -> bytes:
    """Return the line with where it was delivered, from which its deduplication key is computed."""
    if origin.message_id is not None:
        delivery = origin.message_id
    else:
        coordinates = (origin.uri, origin.partition, origin.offset)
        delivery = "/".join(str(part) for part in coordinates if part is not None)
    return with_delivery(line, delivery)


_ADD_ORIGIN: Mapping[Identity, Callable[[bytes, Origin], bytes]] = {
    "delivery": _with_delivery,
    "export": with_source,
}
"""Identity -> what adds the origin that the deduplication key is computed from to a line."""


def count_decoded(decoded: Decoded) -> StepCounts:
    """Return what decode did with one batch; see `DecodeRecords`."""
    counts: Counter[tuple[str, str]] = Counter()
    if decoded.separated:
        counts["read", ""] += decoded.separated
    for key, lines in decoded.events.items():
        counts["routed", key.event_type] += len(lines)
    for event_type, number in decoded.repaired.items():
        counts["repaired", event_type] += number
    for rejected in decoded.rejected:
        event_type = rejected.event_type or "unknown"
        counts["routed", event_type] += 1
        counts["rejected", event_type] += 1
        code = violation_code(rejected.violations)
        counts["code", code] += 1
        counts.update(("reason", reason) for reason in reasons_of(rejected))
        if code == "unknown_type":
            counts["unknown_type", rejected.violations[0].got] += 1
    bound_names(counts)
    if not decoded.events:
        return StepCounts(counts)
    return StepCounts(counts, decoded.first, decoded.last)


def reasons_of(rejected: Rejected) -> dict[str, Violation]:
    """Return each property with the code of its violation, such as `order.items[].price: range`, and the first one."""
    reasons: dict[str, Violation] = {}
    for violation in rejected.violations:
        parts = parse_path(violation.path) if violation.path else ()
        path = path_text(tuple(ITEM if isinstance(part, int) else part for part in parts))
        name = f"{rejected.event_type or 'unknown'}{path and '.'}{path}: {violation.code}"
        reasons.setdefault(name, violation)
    return reasons
