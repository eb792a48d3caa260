"""Record + contracts -> every way in which the record breaks its contract. The slow, exact path.

Only records that the decoder rejects, and those that a batch check suspects, come here. Numbers stay as they were
written, so nothing is rounded before it is checked. The decoder decides: a record that it rejects has at least one
violation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from sluice.contracts import Contract
from sluice.elements import Violation
from sluice.errors import REJECT_CODES
from sluice.formats.json_recovery import NOT_CLOSED
from sluice.validation.decoder import MAX_DEPTH, compile_decoder, routed_properties, too_deep
from sluice.validation.value_checks import (
    ABSENT,
    Check,
    DuplicateKeys,
    Number,
    compile_object,
    instant,
    listing,
    make_violation,
    snippet,
)

_RANK = {code: rank for rank, code in enumerate(REJECT_CODES)}
_NOT_CLOSED = "a JSON array that is not closed: its file ends between two elements"
_WELL_FORMED = "one JSON value in UTF-8"


def violation_code(violations: Iterable[Violation]) -> str:
    """Return the code that stands for all `violations`: the first in the order of REJECT_CODES."""
    return min((violation.code for violation in violations), key=_RANK.__getitem__)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The type and event time of a record, and its violations; without violations it is valid.

    `event_type` and `contract` are None if the record has no known type; `event_time`, in UTC, is None if it
    cannot be read.
    """

    event_type: str | None
    contract: Contract | None
    event_time: datetime | None
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains records; see `compile_explainer`."""

    route_by: str | None
    contracts: Mapping[str, Contract]
    checks: Mapping[str, Check]
    decode: Callable[[bytes], Any]
    known_types: str
    """What the type of a record must be, in words."""

    def explain(self, record: bytes) -> Explanation:
        """Return all violations of `record`, which may be any bytes; raises nothing."""
        value, violation = _read(record)
        if violation is not None:
            return Explanation(None, None, None, (violation,))
        explanation = self._validate(value)
        if explanation.violations:
            return explanation
        try:
            self.decode(record)
        except msgspec.ValidationError as error:
            # The violation is in an earlier value of a repeated key; `value` has only the last.
            explanation = self._validate(_read_slowly(record, repeats=True))
            if not explanation.violations:
                unexplained = Violation("type", "", "what the contract's decoder accepts", str(error))
                return Explanation(
                    explanation.event_type, explanation.contract, explanation.event_time, (unexplained,)
                )
        return explanation

    def _validate(self, value: Any) -> Explanation:
        if not isinstance(value, dict):
            return Explanation(
                None, None, None, (Violation("not_an_object", "", "an object", snippet(value)),)
            )
        contract = self._contract(value)
        if contract is None:
            route_by = self.route_by or ""
            got = snippet(value.get(route_by, ABSENT))
            return Explanation(
                None, None, None, (make_violation("unknown_type", (route_by,), self.known_types, got),)
            )
        violations: list[Violation] = []
        self.checks[contract.event_type](value, (), violations)
        if self.route_by is not None and type(value) is DuplicateKeys:
            for name, earlier in value.earlier:
                if name == self.route_by and earlier != contract.event_type:
                    expected = f"{contract.event_type}, as where the key is repeated"
                    violations.append(make_violation("enum", (name,), expected, snippet(earlier)))
        return Explanation(contract.event_type, contract, _event_time(contract, value), tuple(violations))

    def _contract(self, value: Mapping[str, Any]) -> Contract | None:
        if self.route_by is None:
            return next(iter(self.contracts.values()))
        tag = value.get(self.route_by)
        return self.contracts.get(tag) if isinstance(tag, str) else None


def compile_explainer(contracts: Mapping[str, Contract], route_by: str | None) -> Explainer:
    """Compile `contracts` (event type -> contract), routed and rejected as in `compile_decoder`."""
    decode = compile_decoder(contracts, route_by).decode
    by_type = {contract.event_type: contract for contract in contracts.values()}
    checks = {
        name: compile_object(routed_properties(contract, route_by)) for name, contract in by_type.items()
    }
    return Explainer(route_by, by_type, checks, decode, f"one of {listing(by_type)}")


def read_event_time(contract: Contract, record: bytes) -> datetime | None:
    """Return the event time of a record of `contract`, as an Explanation has it; raises nothing."""
    value, _ = _read(record)
    return _event_time(contract, value) if isinstance(value, dict) else None


def _event_time(contract: Contract, value: Mapping[str, Any]) -> datetime | None:
    return instant(value.get(contract.event_time)) if contract.event_time is not None else None


_decode = msgspec.json.Decoder(float_hook=Number).decode

_TRUNCATED = "Input data was truncated"
_find_lone_surrogate = re.compile(
    rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])"
).search


def _malformed(record: bytes, error: msgspec.DecodeError) -> str:
    """Return why a record is not JSON; the decoder says of several faults that the data was truncated."""
    if record == NOT_CLOSED:
        return _NOT_CLOSED
    if not record.strip():
        return "an empty record"
    if str(error) == _TRUNCATED and (surrogate := _find_lone_surrogate(record)):
        return f"{surrogate[1].decode()}, a surrogate without its pair (byte {surrogate.start(1)})"
    return str(error).removeprefix("JSON is malformed: ")


def _read(record: bytes) -> tuple[Any, Violation | None]:
    """Return the value of a record, its numbers as written; None and a violation if it is not JSON."""
    try:
        record.decode()
        if not too_deep(record):
            return _decode(record), None
        reason = f"nesting deeper than {MAX_DEPTH}"
    except UnicodeDecodeError as error:
        reason = f"byte 0x{record[error.start]:02x}, which is not UTF-8 (byte {error.start})"
    except msgspec.ValidationError:
        # Without a type, the decoder rejects only integers of thousands of digits.
        return _read_slowly(record, repeats=False), None
    except msgspec.DecodeError as error:
        reason = _malformed(record, error)
    except RecursionError:
        reason = f"nesting deeper than {MAX_DEPTH}"
    return None, Violation("not_json", "", _WELL_FORMED, reason)


def _read_slowly(record: bytes, *, repeats: bool) -> Any:
    """Return the value of well-formed JSON; with `repeats`, objects have all values of repeated keys."""
    hook = _object_with_repeats if repeats else None
    return json.loads(record, parse_float=Number, parse_int=_integer, object_pairs_hook=hook)


def _integer(text: str) -> int | Number:
    try:
        return int(text)
    except ValueError:  # Python converts no more than 4,300 digits
        return Number(text)


def _object_with_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    last = {name: index for index, (name, _) in enumerate(pairs)}
    if len(last) == len(pairs):
        return dict(pairs)
    value = DuplicateKeys(pairs)
    value.earlier = [pair for index, pair in enumerate(pairs) if last[pair[0]] != index]
    return value
