"""Record + contract -> event or rejection.

The native core, if it is installed, takes the lines that are plain. All others msgspec decodes and validates at once,
and checks over all events of a batch find what msgspec cannot express. Only a record that msgspec rejects, or that such
a check suspects, is validated a second time by the explainer, which names every violation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from sluice.contracts import Contract, Identity, parse_path
from sluice.elements import LogKey, RecordBatch, Rejected, Violation
from sluice.formats.delivery import with_deliveries
from sluice.formats.joined_records import separate_records
from sluice.formats.normalize import Normalizer
from sluice.formats.source_member import with_sources
from sluice.provenance import Provenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.decoder import MAX_DEPTH, compile_decoder, too_deep
from sluice.validation.deduplication_keys import compile_deduplication_key, shards_of
from sluice.validation.event_times import lines_by_number, times_and_partitions
from sluice.validation.explainer import Explanation, compile_explainer
from sluice.validation.masking import compile_masking, without_limits
from sluice.validation.plain_events import Plain, PlainFinder, in_order

_MAY_BE_DEEP = 2 * MAX_DEPTH
"""Only a record longer than this can nest deeper than MAX_DEPTH."""

_UNDECODABLE = (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Decoded:
    """What became of one record batch: accepted lines by log key, and rejections; every record is in one."""

    events: dict[LogKey, Sequence[bytes]] = field(default_factory=dict)
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
    plain: Plain | None
    """What the native core has taken of the lines; all that follows is of the others."""
    lines: Mapping[int, bytes] | Sequence[bytes]
    """By their indexes."""
    events: Sequence[Any]
    """The struct of each line, or the Explanation of why it has none; None for one that the core has taken."""
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


_LINE_FEED = ord("\n")
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
        self._facts = {struct: self._facts_of(contract) for struct, contract in compiled.contract_of.items()}
        self._plain = self._find_plain(route_by)
        self._explain = compile_explainer(contracts, route_by).explain
        self._normalizer = Normalizer(contracts, route_by)
        self._ages = ages
        self._shards = shards
        self._keys = {name: compile_deduplication_key(contract) for name, contract in contracts.items()}

    def _facts_of(self, contract: Contract) -> _ContractFacts:
        return _ContractFacts(
            contract,
            has_time=contract.event_time is not None,
            rewritten=contract.identity in _ADD_ORIGINS or contract.event_type in self._mask,
            seconds=60 * PARTITION_MINUTES[contract.log_partition],
        )

    def _find_plain(self, route_by: str | None) -> PlainFinder:
        """Return what finds the plain events of contracts whose lines do not depend on single messages or values."""
        plain = {
            facts.contract.event_type: facts
            for facts in self._facts.values()
            if facts.contract.event_type not in self._mask and facts.contract.identity != "delivery"
        }
        contracts = {name: facts.contract for name, facts in plain.items()}
        return PlainFinder(contracts, route_by, {name: facts.seconds for name, facts in plain.items()})

    def decode(self, batch: RecordBatch) -> Decoded:
        """Return the events and the rejections of `batch`, each in the order of its records."""
        result, rejections = Decoded(separated=-len(batch.records)), dict[int, Explanation]()
        read = self._read(batch)
        references = list(islice(self._ages.references(read.batch), len(read.events)))
        if read.plain is not None and not self._in_time(read, references, read.plain.first, read.plain.last):
            read = self._read(batch, find_plain=False)  # some may be too old, or too new
        result.separated += len(read.batch.records)
        for struct, facts in self._facts.items():
            indexes: Sequence[int] = read.places.get(struct, ())
            numbers: Sequence[float] = ()
            if indexes:
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
        if read.plain is not None:
            result.first, result.last = min(result.first, read.plain.first), max(result.last, read.plain.last)
        rejections |= {index: read.events[index] for index in read.places.get(Explanation, ())}
        result.rejected = [
            self._rejected(read.batch, index, rejections[index]) for index in sorted(rejections)
        ]
        return result

    def _read(self, batch: RecordBatch, *, separate: bool = True, find_plain: bool = True) -> _Lines:
        lines, csv_violations = self._normalizer.lines(batch)
        plain = self._plain.find(lines) if find_plain else None
        others = range(len(lines)) if plain is None else plain.others
        rest = lines if plain is None else [lines[index] for index in others]
        by_index = lines if plain is None else dict(zip(others, rest, strict=True))
        whole = b"".join(rest)  # what is rare is searched in all lines at once, in a tenth of the time
        events: list[Any] = [None] * len(lines)
        undecodable = []
        for index, event in zip(others, self._events(rest, is_ascii=whole.isascii()), strict=True):
            events[index] = event
            if event is None:
                undecodable.append(index)
        if undecodable and separate:
            separated = separate_records(batch, undecodable)
            if separated is not None:
                return self._read(separated, separate=False, find_plain=find_plain)
        repaired: dict[int, bytes] = {}
        for index in undecodable:
            event = self._repair(batch, index, csv_violations.get(index), by_index[index])
            if not isinstance(event, Explanation):
                repaired[index], event = event
            events[index] = event
        places: dict[type, list[int]] = defaultdict(list)
        for index in others:
            places[type(events[index])].append(index)
        suspects = self._suspects(events, places)
        return _Lines(batch, plain, by_index, events, places, repaired, suspects, b"\n" in whole)

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

    def _stored(
        self, lines: Sequence[bytes], contract: Contract, batch: RecordBatch, indexes: Sequence[int]
    ) -> list[bytes]:
        """Return lines of the log: without line feeds, values masked, their origins added if their keys have them."""
        stored = [line if _LINE_FEED not in line else msgspec.json.format(line, indent=-1) for line in lines]
        if contract.event_type in self._mask:
            stored = list(map(self._mask[contract.event_type], stored))
        add_origins = _ADD_ORIGINS.get(contract.identity)
        return stored if add_origins is None else add_origins(stored, batch.provenance, indexes)

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

    def _in_time(self, read: _Lines, references: Sequence[float], first: float, last: float) -> bool:
        """Tell whether events from `first` to `last` are within the age limits, whichever reference each has."""
        early, late = min(references) + self._ages.max_skew, max(references) - self._ages.lateness(read.batch)
        return late <= first and last <= early

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
        if self._in_time(read, references, min(times), max(times)) and read.suspects.isdisjoint(indexes):
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
        """Put the lines at `indexes`, events of one contract, and its plain ones under their log keys.

        `numbers` are the partitions of those at `indexes`.
        """
        contract, lines = facts.contract, [read.lines[index] for index in indexes]
        if read.repaired:
            lines = [read.line(index) for index in indexes]
            if repaired := sum(index in read.repaired for index in indexes):
                result.repaired[contract.event_type] += repaired
        if facts.rewritten or read.has_breaks:
            lines = self._stored(lines, contract, read.batch, indexes)
        by_number = lines_by_number(numbers, lines)
        self._add_plain(read, facts, indexes, numbers, by_number)
        for number, partition in by_number.items():
            minute = int(number) * facts.seconds
            if self._shards == 1:
                result.events[LogKey(contract.event_type, minute, 0)] = partition
                continue
            shards = shards_of(self._keys[contract.event_type], partition, self._shards)
            for shard, its in lines_by_number(shards, partition).items():
                result.events[LogKey(contract.event_type, minute, int(shard))] = its

    def _add_plain(
        self,
        read: _Lines,
        facts: _ContractFacts,
        indexes: Sequence[int],
        numbers: Sequence[float],
        by_number: dict[float, Sequence[bytes]],
    ) -> None:
        """Add the plain events of a contract to its others, which are at `indexes`, in the order of their records."""
        for events in read.plain.events if read.plain is not None else ():
            if events.contract.event_type != facts.contract.event_type:
                continue
            lines, others = events.lines, by_number.get(events.partition)
            if facts.rewritten:
                lines = self._stored(lines, facts.contract, read.batch, events.indexes)
            if others is not None:
                places = [
                    index for index, other in zip(indexes, numbers, strict=True) if other == events.partition
                ]
                lines = in_order([*events.indexes, *places], [*lines, *others])
            by_number[events.partition] = lines


def _placed(
    read: _Lines, facts: _ContractFacts, indexes: Sequence[int]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the times of events of one contract, in epoch seconds, and the numbers of their log partitions."""
    if facts.has_time:
        return times_and_partitions([read.events[index] for index in indexes], facts.seconds)
    times = [read.batch.origin(index).arrival for index in indexes]
    return times, [time // facts.seconds for time in times]


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


_AddOrigins = Callable[[Iterable[bytes], Provenance, Iterable[int]], list[bytes]]
_ADD_ORIGINS: Mapping[Identity, _AddOrigins] = {"delivery": with_deliveries, "export": with_sources}
"""Identity -> what adds the origins that keys are computed from to lines, by the indexes of their records."""
