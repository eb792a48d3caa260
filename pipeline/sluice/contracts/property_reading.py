"""ODCS properties -> properties of a contract: their types, limits, enums and masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from sluice.contracts.model import FromSource, Mask, Property, Scalar
from sluice.contracts.names import check_property_name, fold_name
from sluice.contracts.odcs import KeyPath, choice, custom_properties, names, show
from sluice.contracts.odcs_document import SchemaProperty
from sluice.contracts.patterns import check_pattern, compile_repair_pattern
from sluice.contracts.physical_types import logical_type, number_type
from sluice.contracts.reserved import SOURCE_PROPERTY
from sluice.contracts.type_options import DAY_FIRST, TIME_PATTERN, has_time, supported_options
from sluice.contracts.value_types import (
    INT64_MAX,
    INT64_MIN,
    SCALAR_TYPES,
    ValueType,
)
from sluice.errors import alternatives

_LOGICAL_TYPES = (
    "string",
    "integer",
    "number",
    "boolean",
    "timestamp",
    "date",
    "time",
    "object",
    "array",
    "map",
)
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "string": {"format": "", "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"},
    "integer": {"minimum": "minimum", "maximum": "maximum", "multipleOf": "multiple_of"},
    "number": {"minimum": "minimum", "maximum": "maximum", "multipleOf": "multiple_of"},
    "array": {"minItems": "min_length", "maxItems": "max_length", "uniqueItems": "unique_items"},
    "date": {"minimum": "earliest", "maximum": "latest"},
    "timestamp": {"minimum": "earliest", "maximum": "latest"},
}
_JSON_OPTIONS = {"minProperties": "min_length", "maxProperties": "max_length", "required": "members"}
"""logicalType -> its logicalTypeOptions -> the field of Property that each fills."""
_CUSTOM = ("aliases", "flatten", "mask", "fromSource", "nullable")
_REFERENCE = re.compile(r"\w+\.\w+")
_FILLED_TYPES = ("string", "integer", "date", "timestamp")
"""Types of properties that can be filled from the address of a source."""
_FOLDER_KEY = re.compile(r"[^/=]+")


def read_properties(
    place: KeyPath, schema_properties: Sequence[SchemaProperty], *, nested: bool = False
) -> tuple[Property, ...]:
    """Return the properties of an event, or with `nested` the members of an object in it.

    Raises:
        ContractError: naming file, key path and fix, for the first mistake found.

    """
    first_index: dict[str, int] = {}
    properties = []
    for index, prop in enumerate(schema_properties):
        here = place.item(index)
        if prop.semanticType not in (None, "column"):
            here.key("semanticType").note(
                f"{prop.semanticType} is computed from columns: it is none of the table"
            )
            continue
        check_property_name(here.key("name"), prop.name)
        first = first_index.setdefault(fold_name(str(prop.name)), index)
        if first != index:
            here.key("name").fail(f"{prop.name!r} is already used by {place.item(first).keys}; rename one")
        properties.append(_property(here, prop, nested=nested))
    return tuple(properties)


def _property(place: KeyPath, prop: SchemaProperty, *, nested: bool, item: bool = False) -> Property:
    """Return one property; an `item` is what an array contains, which needs no name."""
    if item and prop.name is not None:
        check_property_name(place.key("name"), prop.name)
    prop = _with_type(place, prop)
    custom = custom_properties(place, prop.customProperties, _CUSTOM)
    custom_place = place.key("customProperties")
    flatten, nullable = custom.get("flatten", False), custom.get("nullable", True)
    if flatten is not False and (flatten is not True or nested or item or not prop.properties):
        custom_place.key("flatten").fail("expected true, on an object of the event itself")
    if nullable is not True and (nullable is not False or prop.required or item):
        custom_place.key("nullable").fail("expected false, on an optional property")
    value_type = _value_type(place, prop)
    options = supported_options(place.key("logicalTypeOptions"), prop, value_type)
    _check_structure(place, prop, value_type, nested=nested, item=item)
    limits = _limits(place.key("logicalTypeOptions"), prop, value_type, options)
    members, items = place.key("properties"), place.key("items")
    return Property(
        name=prop.name or "item",
        type=value_type,
        required=bool(prop.required) or item,
        nullable=nullable,
        description=(prop.description or "").strip(),
        enum=_enum(place.key("enum"), prop, value_type, limits),
        unique=bool(prop.unique),
        classification=prop.classification,
        references=_references(place.key("relationships"), prop),
        items=_property(items, prop.items, nested=True, item=True) if prop.items else None,
        properties=read_properties(members, prop.properties, nested=True) if prop.properties else (),
        flatten=flatten,
        aliases=names(custom_place.key("aliases"), custom.get("aliases")),
        day_first=(prop.logicalTypeOptions or {}).get("format") in DAY_FIRST.get(str(prop.logicalType), ()),
        mask=_mask(place, prop, value_type, custom.get("mask"), item=item),
        from_source=_from_source(
            custom_place.key("fromSource"), prop, value_type, custom.get("fromSource"), inner=nested or item
        ),
        **limits,
    )


def _with_type(place: KeyPath, prop: SchemaProperty) -> SchemaProperty:
    """Return a property with what other tools leave out: the logical type, and the items of an array."""
    if prop.logicalType is None and (derived := logical_type(prop.physicalType)) is not None:
        place.note(f"has no logicalType: it is read as {derived}, as its physicalType says")
        prop = msgspec.structs.replace(prop, logicalType=derived)
    if prop.logicalType not in _LOGICAL_TYPES:
        expected = f"expected one of {', '.join(_LOGICAL_TYPES)}"
        place.key("logicalType").fail(f"{expected}, got {show(prop.logicalType)}")
    if prop.logicalType == "array" and prop.items is None:
        place.key("items").note("is missing: the items are read as strings")
        prop = msgspec.structs.replace(prop, items=SchemaProperty(logicalType="string"))
    return prop


def _check_structure(
    place: KeyPath, prop: SchemaProperty, value_type: ValueType, *, nested: bool, item: bool
) -> None:
    """Refuse keys that do not fit the type, or the place of the property in the event."""
    if prop.physicalName not in (None, prop.name):
        place.key("physicalName").note(f"is not used by Sluice: the column is called {prop.name}")
    if item and prop.required is False:
        place.key("required").fail("expected true or nothing (arrays hold no nulls), got False")
    if prop.unique and (nested or item or value_type not in SCALAR_TYPES):
        place.key("unique").fail("expected it on a scalar property of the event itself; remove it")
    if (prop.properties is not None and prop.logicalType != "object") or prop.properties == []:
        place.key("properties").fail("expected a list of properties, of an object only")
    is_array = value_type == "array"
    if (prop.items is None) == is_array:
        place.key("items").fail(f"expected {'the items of the array' if is_array else 'no items'}")


def _value_type(place: KeyPath, prop: SchemaProperty) -> ValueType:
    logical, date_format = prop.logicalType, (prop.logicalTypeOptions or {}).get("format")
    if logical == "number":
        return number_type(place.key("physicalType"), prop.physicalType)
    value_type: ValueType = logical  # type: ignore[assignment]  # what has no entry below has its name
    if logical == "string" and date_format == "uuid":
        value_type = "uuid"
    elif logical == "time":
        place.key("logicalType").note("time is stored as text")
        value_type = "string"
    elif logical == "map":
        place.key("map").note("is not checked by Sluice: any object is a map, and is stored as JSON")
        value_type = "json"
    elif logical == "object" and prop.properties is None:
        value_type = "json"
    elif logical == "date" and has_time(date_format):
        place.key("logicalType").note("date with a format that has a time is read as timestamp")
        value_type = "timestamp"
    return value_type


def _mask(
    place: KeyPath, prop: SchemaProperty, value_type: ValueType, value: Any, *, item: bool
) -> Mask | None:
    """Return how a property is masked; rejects a method whose results its column could not hold."""
    here = place.key("customProperties").key("mask")
    method: Mask | None = choice(here, value, get_args(Mask))
    if method is None:
        return None
    if prop.classification != "restricted":
        place.key("classification").fail(f"expected restricted beside mask, got {show(prop.classification)}")
    if method == "drop" and (prop.required or item):
        here.fail("expected an optional property, as drop leaves nothing of it; make it optional, or hash it")
    if method != "drop" and value_type not in ("string", "uuid"):
        here.fail(f"expected drop, got {method}, which is for strings; the property is {value_type}")
    if prop.unique and method != "hash":
        here.fail(f"expected hash, got {method}, which does not tell unique values apart")
    return method


def _from_source(
    place: KeyPath, prop: SchemaProperty, value_type: ValueType, value: Any, *, inner: bool
) -> FromSource | None:
    """Return how a property is filled from the source of its record; None if it is not."""
    if value is None:
        if prop.name == SOURCE_PROPERTY and not inner:
            place.fail(f"expected address, as {SOURCE_PROPERTY} is the address of the record's source")
        return None
    if inner or value_type not in _FILLED_TYPES:
        place.fail(f"expected it on a property of the event itself of type {', '.join(_FILLED_TYPES)}")
    if value == "address" and value_type == "string":
        return FromSource()
    members = list(value.items()) if isinstance(value, dict) else []
    if len(members) != 1 or members[0][0] not in ("pattern", "folderKey") or prop.name == SOURCE_PROPERTY:
        expected = "expected address, for a string, or one of {pattern: …} and {folderKey: …}"
        place.fail(f"{expected}, got {show(value)}")
    kind, text = members[0]
    if not isinstance(text, str) or not text or (kind == "folderKey" and not _FOLDER_KEY.fullmatch(text)):
        place.key(kind).fail(f"expected a text, of a key without '/' and '=', got {show(text)}")
    if kind == "folderKey":
        return FromSource(folder_key=text)
    try:
        groups = compile_repair_pattern(text).groupindex
    except ValueError as error:
        place.key(kind).fail(f"expected a regular expression of RE2, got {text!r}: {error}")
    if list(groups) != [prop.name]:
        place.key(kind).fail(f"expected one named group, (?P<{prop.name}>…), got {show(text)}")
    return FromSource(pattern=text)


def _limits(
    place: KeyPath, prop: SchemaProperty, value_type: ValueType, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of Property that logicalTypeOptions set."""
    known = _OPTIONS.get(str(prop.logicalType), {}) if value_type != "uuid" else {"format": ""}
    known = _JSON_OPTIONS if value_type == "json" else known
    limits: dict[str, Any] = {"pattern": TIME_PATTERN} if prop.logicalType == "time" else {}
    for key, value in options.items():
        if key not in known:
            expected = alternatives(key, list(known)) if known else f"expected no options for {value_type}"
            place.key(key).fail(f"unknown key; {expected}")
        if known[key]:
            here = place.key(key)
            limits[known[key]] = (
                _pattern(here, value, prop.name) if key == "pattern" else _limit(here, key, value, value_type)
            )
    for low, high in (("minimum", "maximum"), ("earliest", "latest"), ("min_length", "max_length")):
        if limits.get(low) is not None and limits.get(high) is not None and limits[low] > limits[high]:
            place.fail(f"expected the minimum at most the maximum, got {limits[low]} and {limits[high]}")
    return limits


def _limit(place: KeyPath, key: str, value: Any, value_type: ValueType) -> Any:
    integral = isinstance(value, int) and not isinstance(value, bool)
    if key == "multipleOf" or value_type in ("date", "timestamp"):  # `supported_options` has read it
        return value
    if key == "required":
        return names(place, value)
    if key == "uniqueItems":
        if not isinstance(value, bool):
            place.fail(f"expected true or false, got {show(value)}")
    elif key in ("minimum", "maximum"):
        if value_type == "integer" and isinstance(value, float) and value.is_integer():
            integral, value = True, int(value)
        if value_type == "integer" and not (integral and INT64_MIN <= value <= INT64_MAX):
            place.fail(f"expected an integer of 64 bits, got {show(value)}")
        if not integral and not (isinstance(value, float) and abs(value) < float("inf")):
            place.fail(f"expected a number, got {show(value)}")
    elif not integral or value < 0:
        place.fail(f"expected an integer of at least 0, got {show(value)}")
    return value


def _pattern(place: KeyPath, value: Any, name: str | None) -> str:
    if not isinstance(value, str):
        place.fail(f"expected a regular expression for {name!r}, got {show(value)}")
    try:
        check_pattern(value)
    except ValueError as error:
        place.fail(f"expected a portable regular expression for {name!r}, got {value!r}: {error}")
    return value


def _enum(
    place: KeyPath, prop: SchemaProperty, value_type: ValueType, limits: Mapping[str, Any]
) -> tuple[Scalar, ...]:
    if prop.enum is None:
        return ()
    python_types: Mapping[str, type[Scalar]] = {"string": str, "integer": int}
    if value_type not in python_types or limits:
        expected = "expected it on a string or an integer without logicalTypeOptions"
        place.fail(f"{expected}; remove one of them")
    values: list[Scalar] = []
    for index, item in enumerate(prop.enum):
        here, value = place.item(index).key("value"), item.value
        in_range = not isinstance(value, int) or INT64_MIN <= value <= INT64_MAX
        if type(value) is not python_types[value_type] or not in_range:
            here.fail(f"expected {value_type}, got {show(value)}")
        if value in values:
            here.fail(f"{value!r} is listed twice; remove one")
        values.append(value)
    if not values:
        place.fail("expected at least one value, got none")
    return tuple(values)


def _references(place: KeyPath, prop: SchemaProperty) -> str | None:
    if not prop.relationships:
        return None
    target = prop.relationships[0].to
    if len(prop.relationships) > 1 or not isinstance(target, str) or not _REFERENCE.fullmatch(target):
        place.note("are not used by Sluice, but for one alone with `to: table.column`")
        return None
    return target
