"""The figures of each source through the whole graph, against a model; and their sum on any runner."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from sluice.elements import RecordBatch, StepCounts, StepCountsSum
from sluice.graph.step_counts import SumStepCounts
from sluice.graph.totals import read_totals
from sluice.provenance import FileProvenance, MessageProvenance, PartitionProvenance, Provenance, Source
from sluice.source_tallies import SourceTally, add_up

from tests.graph.graph_fixture import MINUTE, GraphRun, event
from tests.growth import LINEAR, growth_of_cpu_time

SOURCES = (
    Source("/in/a.csv"),
    Source("/in/b.json"),
    Source("kafka://b/t", 0),
    Source("kafka://b/t", 1),
    Source("pubsub://s"),
)


def provenance_of(source: Source, at: int, records: int) -> Provenance:
    offsets = range(at, at + records)
    if source.uri.startswith("/"):
        return FileProvenance(source.uri, float(MINUTE), offsets, size=100)
    times = [float(MINUTE)] * records
    if source.partition is not None:
        return PartitionProvenance(source.uri, MINUTE, source.partition, offsets, times)
    return MessageProvenance(source.uri, MINUTE, [str(offset) for offset in offsets], times, position=at)


class RandomInput:
    """Batches of random records, some of them again and some invalid, and what each source must have."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.batches, ends = [], Counter[Source]()
        self.read, self.rejected = Counter[Source](), Counter[Source]()
        self.records: Counter[bytes] = Counter()
        for _ in range(12):
            source = chance.choice(SOURCES)
            records = [self._record(chance) for _ in range(chance.randrange(6))]
            provenance = provenance_of(source, ends[source], len(records))
            self.batches.append(RecordBatch(records, provenance))
            ends[source] += len(records)
            self.read[source] += len(records)
            self.rejected[source] += records.count(b"{}")
            self.records.update(record for record in records if record != b"{}")
        self.ends = ends

    @staticmethod
    def _record(chance: random.Random) -> bytes:
        if chance.random() < 0.2:
            return b"{}"
        return event(
            chance.randrange(30), MINUTE + 60 * chance.randrange(3), chance.choice(("click", "view"))
        )


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_each_source_are_balanced_and_sum_up_to_the_report(tmp_path: Path, seed: int) -> None:
    given, run = RandomInput(seed), GraphRun(tmp_path, live=False)
    for number, new in enumerate((len(given.records), 0), 1):
        report = run.run(*given.batches)
        tallies = read_totals(str(tmp_path / f"totals{number}")).sources
        assert report.reconciled
        assert report.sources == len(tallies)
        assert (report.read, report.accepted, report.rejected) == (
            given.read.total(),
            new,
            given.rejected.total(),
        )
        assert add_up(
            list(tallies.values()), (report.read, report.accepted, report.duplicates, report.rejected)
        )
        assert {source: tally.read for source, tally in tallies.items()} == {
            source: given.read[source] for source in tallies
        }
        assert +Counter({source: tally.rejected for source, tally in tallies.items()}) == +given.rejected
        assert {
            source: (tally.start, tally.end)
            for source, tally in tallies.items()
            if source.partition is not None and tally.read
        } == {source: (0, end) for source, end in given.ends.items() if source.partition is not None and end}


def test_sums_of_sums_have_every_source_and_window() -> None:
    combine = SumStepCounts()
    a, b = Source("a"), Source("b")
    first = combine.add_input(
        combine.create_accumulator(), StepCounts({("read", ""): 1}, 1.0, 2.0, sources={a: SourceTally(1)})
    )
    second = combine.add_input(
        combine.create_accumulator(),
        StepCounts({("read", ""): 2}, 0.0, 1.0, sources={a: SourceTally(1), b: SourceTally(1)}),
    )
    assert combine.extract_output(combine.merge_accumulators([first, second])) == StepCounts(
        {("read", ""): 3}, 0.0, 2.0, sources={a: SourceTally(2), b: SourceTally(1)}
    )


def test_sum_is_linear_in_the_number_of_sources() -> None:
    def work(size: int) -> None:
        total = StepCountsSum()
        for number in range(size):
            total.add(StepCounts({("read", ""): 1}, sources={Source(f"/in/{number}"): SourceTally(1, 1)}))
        assert len(total.total().sources) == size

    assert growth_of_cpu_time(work, 20_000) < LINEAR
