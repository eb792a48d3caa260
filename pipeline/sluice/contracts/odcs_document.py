"""The Open Data Contract Standard v3.2 as Sluice reads it: all its keys, and the values of those that have a meaning.

The package of the standard has pydantic models, which take longer to import than a project takes to check. A test
compares the keys with theirs.
"""

from __future__ import annotations

from typing import Any

import msgspec

Described = Any
"""What only describes the data, in ODCS or in the words of another tool; nothing of it is read."""


class CustomProperty(msgspec.Struct):
    """A key of a tool, such as Sluice."""

    id: str | None = None
    property: str | None = None
    value: Any = None
    description: str | None = None
    vendor: str | None = None


class Description(msgspec.Struct):
    """What the data are for."""

    usage: str | None = None
    purpose: str | None = None
    limitations: str | None = None
    authoritativeDefinitions: Described = None
    customProperties: list[CustomProperty] | None = None


class Relationship(msgspec.Struct):
    """A reference to a property of another object, by `table.column`, or to several."""

    id: str | None = None
    type: str | None = None
    from_: str | list[str] | None = msgspec.field(default=None, name="from")
    to: str | list[str] | None = None
    customProperties: list[CustomProperty] | None = None


class EnumValue(msgspec.Struct):
    """One of the values that a property may have."""

    id: str | None = None
    value: Any = None
    label: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    customProperties: list[CustomProperty] | None = None
    authoritativeDefinitions: Described = None


class MapDefinition(msgspec.Struct):
    """The keys and the values of a map."""

    key: SchemaProperty | None = None
    value: SchemaProperty | None = None


class SchemaProperty(msgspec.Struct):
    """A property of an event, of an object in it, or of the items of an array."""

    id: str | None = None
    name: str | None = None
    physicalType: str | None = None
    physicalName: str | None = None
    description: str | None = None
    businessName: str | None = None
    deprecated: bool | None = None
    synonyms: Described = None
    authoritativeDefinitions: Described = None
    tags: list[str] | None = None
    customProperties: list[CustomProperty] | None = None
    primaryKey: bool | None = None
    primaryKeyPosition: int | None = None
    logicalType: str | None = None
    logicalTypeOptions: dict[str, Any] | None = None
    semanticType: str | None = None
    required: bool | None = None
    unique: bool | None = None
    partitioned: bool | None = None
    partitionKeyPosition: int | None = None
    classification: str | None = None
    encryptedName: str | None = None
    transformSourceObjects: list[str] | None = None
    transformLogic: str | None = None
    transformDescription: str | None = None
    examples: list[Any] | None = None
    enum: list[EnumValue] | None = None
    criticalDataElement: bool | None = None
    relationships: list[Relationship] | None = None
    quality: Described = None
    properties: list[SchemaProperty] | None = None
    items: SchemaProperty | None = None
    map: MapDefinition | None = None


class SchemaObject(msgspec.Struct):
    """An event type, with its table."""

    id: str | None = None
    name: str | None = None
    physicalType: str | None = None
    description: str | None = None
    businessName: str | None = None
    deprecated: bool | None = None
    synonyms: Described = None
    authoritativeDefinitions: Described = None
    tags: list[str] | None = None
    customProperties: list[CustomProperty] | None = None
    logicalType: str | None = None
    physicalName: str | None = None
    dataGranularityDescription: str | None = None
    properties: list[SchemaProperty] | None = None
    relationships: list[Relationship] | None = None
    quality: Described = None
    context: Described = None


class DataContract(msgspec.Struct):
    """The whole document."""

    version: str | None = None
    kind: str | None = None
    apiVersion: str | None = None
    id: str | None = None
    name: str | None = None
    tenant: str | None = None
    tags: list[str] | None = None
    status: str | None = None
    servers: Described = None
    dataProduct: str | None = None
    description: Description | None = None
    domain: str | None = None
    schema_: list[SchemaObject] | None = msgspec.field(default=None, name="schema")
    support: Described = None
    price: Described = None
    team: Described = None
    roles: Described = None
    slaDefaultElement: str | None = None
    slaProperties: Described = None
    authoritativeDefinitions: Described = None
    customProperties: list[CustomProperty] | None = None
    context: Described = None
    contractCreatedTs: str | None = None
