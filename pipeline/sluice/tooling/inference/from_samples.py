"""Samples at addresses, on standard input, or of the sample project -> contracts, and their verdict on the samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from sluice.clock import Clock
from sluice.config.job import Windows
from sluice.config.urls import Url
from sluice.contracts.names import check_domain, check_event_type
from sluice.contracts.odcs import KeyPath
from sluice.sources import parse_source
from sluice.tooling.inference.infer import Inference, Wishes, infer
from sluice.tooling.inference.records import Sample, read_sample
from sluice.tooling.inference.samples import has_secret, job_source, sample_batches, save_stream
from sluice.tooling.trial import Trial, try_records
from sluice.validation.age_limits import AgeLimits

_SAMPLE, _FAULTS = "parcel_scans.ndjson", "parcel_scans_faults.ndjson"


@dataclass(frozen=True, slots=True)
class Found:
    """What samples say."""

    sample: Sample
    inference: Inference
    trial: Trial
    """What the contracts say of the samples themselves."""
    source: str = ""
    """The address from which a job reads the records of the samples."""
    variable: str = ""
    """Environment variable that must hold the address of the samples, because that has a secret; `source` names it."""
    data: Mapping[str, bytes] = field(default_factory=dict)
    """Path -> content of what has no address, as a project has to keep it."""


def infer_samples(name: str, samples: Sequence[str], number: int, wishes: Wishes, clock: Clock) -> Found:
    """Return what the records at the addresses `samples` say, of which at most `number` are read.

    Raises:
        ConfigError: the name, an address or a wish is wrong, or the sources have no records.
        SourceError: a source cannot be read.

    """
    addresses = [Url(text, where="SAMPLE") for text in samples]
    source = job_source(addresses)  # a mistake in them is found before anything is read
    found = replace(_infer(name, addresses, number, wishes, clock), source=source)
    if not any(map(has_secret, addresses)):
        return found
    variable = source_variable(name)
    return replace(found, source=f"${{{variable}}}", variable=variable)


def source_variable(name: str) -> str:
    """Return the environment variable for the source of a job; no shell sets one that begins with a digit."""
    return re.sub(r"\W", "_", f"sluice_{name}_source".upper(), flags=re.ASCII)


def infer_stream(name: str, stream: BinaryIO, number: int, wishes: Wishes, clock: Clock) -> Found:
    """Return what the first records of a stream say, and the whole stream as a file of a project; raises as above."""
    with TemporaryDirectory() as folder:
        path = save_stream(stream, Path(folder))
        found = _infer(name, [Url(str(path))], number, wishes, clock)
        return _with_data(found, f"data/{name}{path.suffix}", path.read_bytes())


def infer_sample_project(name: str, wishes: Wishes, clock: Clock) -> Found:
    """Return what the records of the sample project say; its data has a repeated and a wrong record more."""
    templates = files("sluice.tooling.inference") / "templates"
    content = (templates / _SAMPLE).read_bytes()
    found = infer_stream(name, BytesIO(content), len(content), wishes, clock)
    return _with_data(found, f"data/{_SAMPLE}", content + (templates / _FAULTS).read_bytes())


def _infer(name: str, addresses: Sequence[Url], number: int, wishes: Wishes, clock: Clock) -> Found:
    check_domain(KeyPath("NAME"), name)
    check_event_type(KeyPath("NAME"), name, internal=False)
    batches, now, windows = list(sample_batches(addresses, number)), clock(), Windows()
    sample = read_sample(batches)
    inference = infer(name, sample, datetime.fromtimestamp(now + windows.max_skew, UTC), wishes)
    contracts = {inferred.contract.event_type: inferred.contract for inferred in inference.contracts}
    route = None if inference.route is None else inference.route.name
    ends = all(parse_source(address).bounded for address in addresses)
    ages = AgeLimits(windows.max_skew, windows.allowed_lateness, now if ends else None)
    return Found(sample, inference, try_records(contracts, route, batches, ages))


def _with_data(found: Found, path: str, content: bytes) -> Found:
    return replace(found, source=path, data={path: content})
