"""Data contracts: ODCS YAML in, frozen `Contract` objects out. The contract is the only schema.

Everything else that knows a field (decoder, JSON Schema, Arrow schema, DDL, documentation) is compiled
from these objects, in the launcher; workers receive them pickled and never look for YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty

from sluice.contracts.odcs import API_VERSION, choice, custom_properties, fail, names, parse_odcs, rules, show
from sluice.contracts.patterns import python_pattern
from sluice.contracts.value_types import CLUSTERABLE_TYPES, INT64_MAX, INT64_MIN, SCALAR_TYPES, ValueType
from sluice.errors import ContractError

Identity = Literal["content", "properties", "delivery"]
"""What makes two records the same event: its line, its `unique` properties, or where it was delivered."""

LogPartition = Literal["minute", "hour", "day"]
"""How much event time one folder of the log holds."""

Mask = Literal["hash", "drop", "truncate_ip"]
"""How a raw value is kept from everything that is written; see `sluice.validation.masking`."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an event, as its contract describes it.

    `minimum` and `maximum` are inclusive and bound numbers; `min_length` and `max_length` bound strings (in
    code points) and arrays (in items). A property that is not `required` may be absent or null.
    """

    name: str
    type: ValueType
    required: bool = False
    description: str = ""
    enum: tuple[Scalar, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    unique: bool = False
    classification: str | None = None
    references: str | None = None
    """`table.column` that this property points to, for the ER diagram and foreign keys."""
    items: Property | None = None
    properties: tuple[Property, ...] = ()
    flatten: bool = False
    """An object whose properties are columns of the table themselves."""
    aliases: tuple[str, ...] = ()
    """What formats that only have texts, such as CSV, may call it as well."""
    mask: Mask | None = None

    def unlimited(self) -> Property:
        """Return the property as it is when its value is protected: any value of its kind will do."""
        return replace(
            self, enum=(), pattern=None, min_length=None, max_length=None, minimum=None, maximum=None
        )


@dataclass(frozen=True, slots=True)
class Contract:
    """One event type: its properties, its table, its time and its identity."""

    event_type: str
    """The routing value, the folder in the log, and the stem of its file names."""
    table: str
    id: str
    version: str
    domain: str
    description: str
    properties: tuple[Property, ...]
    event_time: str | None
    """Name of the required timestamp that places an event in time; None: its arrival does."""
    identity: Identity = "content"
    count_by: str | None = None
    """Name of the required property with an enum whose value events are counted by; None: the event type."""
    cluster_by: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    """Who reads this data, named when a change would break them."""
    path: str = ""
    """Where the contract was read from, for messages."""
    log_partition: LogPartition = "minute"
    event_time_from_arrival: bool = False
    """A record without its event time gets its arrival as such."""
    repair: tuple[tuple[str, str | None], ...] = ()
    """Names of the rules by which damaged log lines may be mended; a rule of the contract's own has a pattern."""

    @property
    def columns(self) -> tuple[Property, ...]:
        """The columns of its table: its properties, with the inner ones in the place of a flattened object."""
        columns: list[Property] = []
        for prop in self.properties:
            inner = [replace(each, required=each.required and prop.required) for each in prop.properties]
            columns += inner if prop.flatten else [prop]
        return tuple(columns)

    @property
    def label(self) -> str:
        """`id@version`, as dead letters quote it."""
        return f"{self.id}@{self.version}"


REPAIR_RULES: Mapping[str, str] = {
    "text_around": "Text stands before or after the object.",
    "single_quotes": "Keys or texts stand in single or curly quotes.",
    "bare_words": "Keys or texts stand without quotes.",
    "literals": "Values are written as Python does: True, False, None, NaN.",
    "trailing_commas": "A comma, or several, stand where nothing follows.",
    "missing_commas": "No comma stands between two members.",
    "missing_braces": "The object's opening or closing braces are missing.",
    "cut_off": "The line ends in the middle of a member, which is left out.",
    "control_characters": "Texts hold tabs or other control characters as they are.",
    "key_value": "Members are written as key=value.",
    "escaped": "The object is the text of a JSON string, with its quotes escaped.",
}
"""Rule -> what kind of damage it mends; see `sluice.formats.repair`."""

_LOGICAL = ("string", "integer", "number", "boolean", "timestamp", "date", "object", "array")
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "string": {"format": "", "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"},
    "integer": {"minimum": "minimum", "maximum": "maximum"},
    "number": {"minimum": "minimum", "maximum": "maximum"},
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}
"""logicalType -> its logicalTypeOptions -> the field of Property that each fills."""
_DECIMALS = ("DECIMAL(38,9)", "NUMERIC(38,9)", "NUMERIC")
_FLOATS = ("DOUBLE", "FLOAT64", "FLOAT")
_CUSTOM = ("eventTime", "identity", "countBy", "clusterBy", "logPartition", "eventTimeDefault", "repair")
_MAX_CLUSTER = 4  # BigQuery clusters by at most four columns
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME = re.compile(r"[^\"\\\x00-\x1f]+")
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\w+\.\w+")


def load_contracts(path: str) -> dict[str, Contract]:
    """Read one `.odcs.yaml` file, or every one of a folder (not of folders in it).

    Returns:
        Event type -> contract, in the order of file names.

    Raises:
        ContractError: naming file, key path and fix, for the first mistake found.

    """
    found = Path(path)
    files = sorted(found.glob("*.odcs.yaml")) if found.is_dir() else [found]
    if not files:
        message = f"{path}: expected a folder of contracts named *.odcs.yaml, got none"
        raise ContractError(message)
    contracts: dict[str, Contract] = {}
    taken: dict[tuple[str, str], str] = {}
    for file in map(str, files):
        for index, contract in enumerate(_read(file)):
            for key, value in (("name", contract.event_type), ("physicalName", contract.table)):
                other = taken.setdefault((key, value.lower()), f"{file}: schema[{index}]")
                if other != f"{file}: schema[{index}]":
                    fail(file, f"schema[{index}].{key}", f"{value!r} is already used by {other}; rename one")
            contracts[contract.event_type] = contract
    return contracts


def load_contract(path: str) -> Contract:
    """Read a file that holds exactly one contract; raises ContractError as `load_contracts` does."""
    contracts = _read(path)
    if len(contracts) != 1:
        fail(path, "schema", f"expected one object, got {len(contracts)}")
    return contracts[0]


def _read(path: str) -> list[Contract]:
    document = parse_odcs(path)
    if document.apiVersion != API_VERSION:
        fail(path, "apiVersion", f"expected {API_VERSION}, got {show(document.apiVersion)}")
    if document.kind != "DataContract":
        fail(path, "kind", f"expected DataContract, got {show(document.kind)}")
    for key in ("id", "version", "domain"):
        if not getattr(document, key):
            fail(path, key, "expected a text, got nothing")
    if not document.schema_:
        fail(path, "schema", "expected a list with an event type, got nothing")
    custom = custom_properties(path, "", document.customProperties, ("consumers",))
    consumers = names(path, "customProperties.consumers", custom.get("consumers"))
    return [
        _contract(path, f"schema[{index}]", document, schema, consumers)
        for index, schema in enumerate(document.schema_)
    ]


def _contract(
    path: str,
    where: str,
    document: OpenDataContractStandard,
    schema: SchemaObject,
    consumers: tuple[str, ...],
) -> Contract:
    for key, value, pattern in (
        ("name", schema.name, _EVENT_TYPE),
        ("physicalName", schema.physicalName, _TABLE),
    ):
        if not value or not pattern.fullmatch(value):
            fail(path, f"{where}.{key}", f"expected {pattern.pattern}, got {show(value)}")
    custom = custom_properties(path, where, schema.customProperties, _CUSTOM)
    here = f"{where}.customProperties"
    if not schema.properties:
        fail(path, f"{where}.properties", "expected a list of properties, got nothing")
    properties = _properties(path, f"{where}.properties", schema.properties)
    for index, prop in enumerate(properties):
        if prop.name.startswith("_"):
            what = f"{prop.name!r} begins with an underscore, which is reserved for Sluice; rename it"
            fail(path, f"{where}.properties[{index}].name", what)
    columns = _columns(path, f"{where}.properties", properties)
    event_time = _event_time(path, here, custom.get("eventTime"), properties)
    stamp = choice(path, f"{here}.eventTimeDefault", custom.get("eventTimeDefault"), ("arrival",))
    if stamp is not None and event_time is None:
        fail(path, f"{here}.eventTime", "expected the timestamp that `eventTimeDefault` fills, got nothing")
    purpose = document.description.purpose if document.description is not None else None
    return Contract(
        event_type=str(schema.name),
        table=str(schema.physicalName),
        id=str(document.id),
        version=str(document.version),
        domain=str(document.domain),
        description=(schema.description or purpose or "").strip(),
        properties=properties,
        event_time=event_time,
        identity=_identity(path, here, custom.get("identity", "content"), properties),
        count_by=_count_by(path, here, custom.get("countBy"), properties),
        cluster_by=_cluster_by(path, here, custom.get("clusterBy"), properties),
        consumers=consumers,
        path=path,
        log_partition=choice(
            path, f"{here}.logPartition", custom.get("logPartition", "minute"), get_args(LogPartition)
        ),
        event_time_from_arrival=stamp is not None,
        repair=rules(path, f"{here}.repair", custom.get("repair"), REPAIR_RULES, columns),
    )


def _columns(path: str, where: str, properties: tuple[Property, ...]) -> tuple[str, ...]:
    """Return the columns' names; refuses two, one of them of a flattened object, that do not differ."""
    taken: dict[str, str] = {}
    for index, prop in enumerate(properties):
        for inner in prop.properties if prop.flatten else (prop,):
            here = f"{where}[{index}]"
            other = taken.setdefault(inner.name.lower(), here)
            if other != here or inner.name.startswith("_"):
                what = (
                    f"{inner.name!r} cannot be a column: reserved for Sluice, or used by {other}; rename it"
                )
                fail(path, here, what)
    return tuple(
        inner.name for prop in properties for inner in (prop.properties if prop.flatten else (prop,))
    )


def _event_time(path: str, where: str, name: Any, properties: tuple[Property, ...]) -> str | None:
    timestamps = [prop.name for prop in properties if prop.type == "timestamp" and prop.required]
    if name is None or name in timestamps:
        return None if name is None else str(name)
    known = ", ".join(timestamps) or "no property is one"
    fail(path, f"{where}.eventTime", f"expected a required timestamp ({known}), got {show(name)}")


def _count_by(path: str, where: str, name: Any, properties: tuple[Property, ...]) -> str | None:
    counted = [prop.name for prop in properties if prop.type == "string" and prop.enum and prop.required]
    if name is None or name in counted:
        return None if name is None else str(name)
    known = ", ".join(counted) or "no property is one"
    fail(path, f"{where}.countBy", f"expected a required string with an enum ({known}), got {show(name)}")


def _identity(path: str, where: str, value: Any, properties: tuple[Property, ...]) -> Identity:
    here = f"{where}.identity"
    for identity in get_args(Identity):
        if value == identity:
            break
    else:
        fail(path, here, f"expected one of {', '.join(get_args(Identity))}, got {show(value)}")
    unique = [prop for prop in properties if prop.unique]
    if identity == "properties" and not unique:
        fail(path, here, "expected a property with `unique: true` for identity properties, got none")
    if identity == "properties" and not all(prop.required for prop in unique):
        absent = ", ".join(prop.name for prop in unique if not prop.required)
        fail(path, here, f"expected unique properties to be required, got optional {absent}")
    return identity  # type: ignore[no-any-return]


def _cluster_by(path: str, where: str, value: Any, properties: tuple[Property, ...]) -> tuple[str, ...]:
    here = f"{where}.clusterBy"
    chosen = names(path, here, value)
    known = [prop.name for prop in properties if prop.type in CLUSTERABLE_TYPES]
    for name in chosen:
        if name not in known:
            fail(path, here, f"expected some of {', '.join(known)}, got {name!r}")
    if len(chosen) > _MAX_CLUSTER or len(set(chosen)) < len(chosen):
        fail(path, here, f"expected at most {_MAX_CLUSTER} different names, got {show(value)}")
    return chosen


def _properties(path: str, where: str, given: list[SchemaProperty]) -> tuple[Property, ...]:
    seen: dict[str, int] = {}
    properties = []
    for index, prop in enumerate(given):
        here = f"{where}[{index}]"
        if not _NAME.fullmatch(prop.name or ""):
            fail(
                path, f"{here}.name", f"expected a name without quotes and backslashes, got {show(prop.name)}"
            )
        # Warehouses do not tell column names of different case apart.
        first = seen.setdefault(str(prop.name).lower(), index)
        if first != index:
            fail(path, f"{here}.name", f"{prop.name!r} is already used by {where}[{first}]; rename one")
        properties.append(_property(path, here, prop, nested=where.count("properties") > 1))
    return tuple(properties)


def _property(path: str, where: str, prop: SchemaProperty, *, nested: bool, item: bool = False) -> Property:
    logical = prop.logicalType
    if logical not in _LOGICAL:
        fail(path, f"{where}.logicalType", f"expected one of {', '.join(_LOGICAL)}, got {show(logical)}")
    custom = custom_properties(path, where, prop.customProperties, ("aliases", "flatten", "mask"))
    flatten = custom.get("flatten", False)
    if flatten is not False and (flatten is not True or nested or item or not prop.properties):
        fail(path, f"{where}.customProperties.flatten", "expected true, on an object of the event itself")
    kind = _kind(path, where, prop)
    if prop.physicalName not in (None, prop.name):
        fail(path, f"{where}.physicalName", f"expected {prop.name!r} or nothing, got {prop.physicalName!r}")
    if item and prop.required is False:
        fail(path, f"{where}.required", "expected true or nothing (arrays hold no nulls), got False")
    if prop.unique and (nested or item or kind not in SCALAR_TYPES):
        fail(path, f"{where}.unique", "expected it on a scalar property of the event itself; remove it")
    if (prop.properties is not None and logical != "object") or prop.properties == []:
        fail(path, f"{where}.properties", "expected a list of properties, of an object only")
    if (prop.items is None) == (logical == "array"):
        fail(
            path,
            f"{where}.items",
            f"expected {'the items of the array' if logical == 'array' else 'no items'}",
        )
    limits = _limits(path, where, prop, kind)
    return Property(
        name=prop.name or "item",
        type=kind,
        required=bool(prop.required) or item,
        description=(prop.description or "").strip(),
        enum=_enum(path, where, prop, kind, limits),
        unique=bool(prop.unique),
        classification=prop.classification,
        references=_references(path, where, prop),
        items=_property(path, f"{where}.items", prop.items, nested=True, item=True) if prop.items else None,
        properties=_properties(path, f"{where}.properties", prop.properties) if prop.properties else (),
        flatten=flatten,
        aliases=names(path, f"{where}.customProperties.aliases", custom.get("aliases")),
        mask=_mask(path, where, prop, kind, custom.get("mask"), item=item),
        **limits,
    )


def _mask(path: str, where: str, prop: SchemaProperty, kind: ValueType, value: Any, *, item: bool) -> Any:
    """Read how a property is protected: only what leaves a value that its column can hold."""
    here = f"{where}.customProperties.mask"
    method = choice(path, here, value, get_args(Mask))
    if method is None:
        return None
    if prop.classification != "restricted":
        fail(
            path,
            f"{where}.classification",
            f"expected restricted beside mask, got {show(prop.classification)}",
        )
    if method == "drop" and (prop.required or item):
        fail(
            path,
            here,
            "expected an optional property, as drop leaves nothing of it; make it optional, or hash it",
        )
    if method != "drop" and kind not in ("string", "uuid"):
        fail(path, here, f"expected drop, got {method}, which is for strings; the property is {kind}")
    if prop.unique and method != "hash":
        fail(path, here, f"expected hash, got {method}, which does not tell unique values apart")
    return method


def _kind(path: str, where: str, prop: SchemaProperty) -> ValueType:
    options = prop.logicalTypeOptions or {}
    if prop.logicalType == "string" and "format" in options:
        if options["format"] != "uuid":
            fail(path, f"{where}.logicalTypeOptions.format", f"expected uuid, got {show(options['format'])}")
        return "uuid"
    if prop.logicalType == "number":
        physical = (prop.physicalType or "DOUBLE").upper().replace(" ", "")
        if physical not in _DECIMALS + _FLOATS:
            allowed = ", ".join(_DECIMALS + _FLOATS)
            fail(path, f"{where}.physicalType", f"expected one of {allowed}, got {show(prop.physicalType)}")
        return "decimal" if physical in _DECIMALS else "float"
    if prop.logicalType == "object" and prop.properties is None:
        return "json"
    return prop.logicalType  # type: ignore[return-value]


def _limits(path: str, where: str, prop: SchemaProperty, kind: ValueType) -> dict[str, Any]:
    """Read logicalTypeOptions into fields of Property."""
    known = _OPTIONS.get(str(prop.logicalType), {}) if kind != "uuid" else {"format": ""}
    limits: dict[str, Any] = {}
    for key, value in (prop.logicalTypeOptions or {}).items():
        here = f"{where}.logicalTypeOptions.{key}"
        if key not in known:
            allowed = f"one of {', '.join(known)}" if known else f"no options for {kind}"
            fail(path, here, f"unknown key; expected {allowed}")
        if known[key]:
            limits[known[key]] = _limit(path, here, key, value, kind)
    for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
        if limits.get(low) is not None and limits.get(high) is not None and limits[low] > limits[high]:
            what = f"expected the minimum at most the maximum, got {limits[low]} and {limits[high]}"
            fail(path, f"{where}.logicalTypeOptions", what)
    return limits


def _limit(path: str, where: str, key: str, value: Any, kind: ValueType) -> Any:
    if key == "pattern":
        if not isinstance(value, str):
            fail(path, where, f"expected a regular expression, got {show(value)}")
        try:
            python_pattern(value)
        except ValueError as error:
            fail(path, where, f"expected a portable regular expression, got {value!r}: {error}")
        return value
    integral = isinstance(value, int) and not isinstance(value, bool)
    if key in ("minimum", "maximum"):
        if kind == "integer" and not (integral and INT64_MIN <= value <= INT64_MAX):
            fail(path, where, f"expected an integer of 64 bits, got {show(value)}")
        if not integral and not (isinstance(value, float) and abs(value) < float("inf")):
            fail(path, where, f"expected a number, got {show(value)}")
    elif not integral or value < 0:
        fail(path, where, f"expected an integer of at least 0, got {show(value)}")
    return value


def _enum(
    path: str, where: str, prop: SchemaProperty, kind: ValueType, limits: Mapping[str, Any]
) -> tuple[Scalar, ...]:
    if prop.enum is None:
        return ()
    here = f"{where}.enum"
    wanted: Any = {"string": str, "integer": int}.get(kind)
    if wanted is None or limits:
        fail(
            path, here, "expected it on a string or an integer without logicalTypeOptions; remove one of them"
        )
    values: list[Scalar] = []
    for index, item in enumerate(prop.enum):
        value: Any = item.value
        if type(value) is not wanted or (isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX):
            fail(path, f"{here}[{index}].value", f"expected {kind}, got {show(value)}")
        if value in values:
            fail(path, f"{here}[{index}].value", f"{value!r} is listed twice; remove one")
        values.append(value)
    if not values:
        fail(path, here, "expected at least one value, got none")
    return tuple(values)


def _references(path: str, where: str, prop: SchemaProperty) -> str | None:
    if not prop.relationships:
        return None
    target = prop.relationships[0].to
    if len(prop.relationships) > 1 or not isinstance(target, str) or not _REFERENCE.fullmatch(target):
        fail(path, f"{where}.relationships", "expected one, with `to: table.column`")
    return target
