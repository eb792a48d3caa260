"""A MongoDB collection as a source: every document as JSON."""

from __future__ import annotations

import base64
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import apache_beam as beam
import msgspec

from sluice.clock import Clock, system_clock
from sluice.config.durations import floor_to
from sluice.config.urls import Url
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.provenance import MessageProvenance

_BATCH_DOCUMENTS = 5_000

_NOT_FINITE = re.compile(rb"[\xf0-\xff][\x7f\xff]")
"""The last bytes of a double that is NaN or infinite: its exponent is all ones. Others may match."""

_NAMES_OF_FLOATS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""Python's name of such a float -> that of MongoDB Extended JSON."""


class Collection(NamedTuple):
    """A collection to read. `url` is MongoDB's connection string; `snapshot`, in seconds, is the span of an arrival."""

    url: Url
    database: str
    name: str
    snapshot: float


class MongoSource(beam.PTransform):
    """PBegin -> RecordBatch: every document of a collection as JSON, in the order of `_id`.

    The message id of a document is its `_id`. Its arrival is the beginning of the day (`snapshot`) of the run: a
    document that is read again on the same day, unchanged, is a duplicate. A malformed document is emitted as its
    BSON bytes and becomes a dead letter.

    Why not Beam's own ReadFromMongoDB: its element is a document, and Beam costs microseconds for each; it needs
    the privileged commands `splitVector` and `collstats`; it splits by `_id` and rejects ids other than ObjectIds,
    integers and strings. One cursor reads some 100,000 documents a second.
    """

    bounded = True

    def __init__(self, collection: Collection, clock: Clock = system_clock) -> None:
        """Read `collection`."""
        super().__init__()
        self._collection = collection
        self._clock = clock

    def check(self) -> None:
        """Raise SourceError if the server does not answer, or has no such collection."""
        of = self._collection
        with _connect(of.url) as client:
            names = client[of.database].list_collection_names(filter={"name": of.name})
        if not names:
            message = f"{of.url}: expected a collection {of.name} in {of.database}, got none"
            raise SourceError(message)

    def size(self) -> int | None:
        """Return None: a collection's bytes are those of BSON."""
        return None

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` documents, those with the least `_id`."""
        self.check()
        return read_collection(self._collection, floor_to(self._clock(), self._collection.snapshot), number)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read with one cursor."""
        arrival = floor_to(self._clock(), self._collection.snapshot)
        return (
            begin
            | "Name collection" >> beam.Create([self._collection])
            | "Read documents" >> beam.FlatMap(read_collection, arrival).with_output_types(RecordBatch)
        )


def read_collection(collection: Collection, arrival: float, most: int | None = None) -> Iterator[RecordBatch]:
    """Yield the documents of a collection, or at most `most` of them; all arrive at `arrival`.

    Raises:
        SourceError: the server cannot be reached, rejects the read, or fails.

    """
    if most == 0:  # for MongoDB, a limit of 0 is none
        return
    with _connect(collection.url) as client:
        documents = client[collection.database][collection.name]
        found = documents.find_raw_batches({}, batch_size=_BATCH_DOCUMENTS).sort("_id", 1).limit(most or 0)
        for raw in found:
            records, ids = to_json(raw)
            if records:
                yield RecordBatch(
                    records, MessageProvenance(str(collection.url), arrival, ids, [arrival] * len(ids))
                )


def to_json(raw: bytes) -> tuple[list[bytes], list[str]]:
    """Return the documents of a batch of BSON as JSON, and the `_id` of each as text.

    ObjectIds are hex digits, Decimal128 are numbers with their own digits, dates are RFC 3339 in UTC, UUIDs, symbols
    and regular expressions texts, binaries base64. NaN and infinity, which JSON has no numbers for, are the texts
    `NaN`, `Infinity` and `-Infinity`. What JSON has no form for, such as MinKey, code, and dates outside of the years
    1 to 9999, is an object of MongoDB Extended JSON (relaxed, version 2): the contract judges it like any value.
    """
    import bson

    try:
        documents: Sequence[Any] = bson.decode_all(raw, _codec())
    except (bson.errors.InvalidBSON, UnicodeDecodeError, OverflowError):
        documents = [_decode(document) for document in _split(raw)]
    if _NOT_FINITE.search(raw):
        documents = [_with_texts_of_numbers(document) for document in documents]
    encode = msgspec.json.Encoder(enc_hook=_encodable).encode
    records = [document if isinstance(document, bytes) else encode(document) for document in documents]
    ids = ["" if isinstance(document, bytes) else _id(encode(document.get("_id"))) for document in documents]
    return records, ids


def _with_texts_of_numbers(value: Any) -> Any:
    """Return a value with a text in place of each float that is no number: msgspec would write null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _NAMES_OF_FLOATS[str(value)]
    if isinstance(value, dict):
        return {name: _with_texts_of_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_texts_of_numbers(item) for item in value]
    return value


def _id(encoded: bytes) -> str:
    text = encoded.decode()
    return text[1:-1] if text.startswith('"') else text


def _codec() -> Any:
    from bson.binary import UuidRepresentation
    from bson.codec_options import CodecOptions, DatetimeConversion

    return CodecOptions(
        tz_aware=True,
        tzinfo=UTC,
        uuid_representation=UuidRepresentation.STANDARD,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )


def _split(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        yield raw[at : at + size]
        at += size


def _decode(document: bytes) -> Any:
    import bson

    try:
        return bson.decode(document, _codec())
    except (bson.errors.InvalidBSON, UnicodeDecodeError, OverflowError):
        return document


def _encodable(value: Any) -> Any:
    """Return a value that msgspec can encode in place of one of a BSON type."""
    for bson_type, convert in _conversions():
        if isinstance(value, bson_type):
            return _with_texts_of_numbers(convert(value))
    from bson import json_util

    return json_util.default(value, json_util.RELAXED_JSON_OPTIONS)


@cache
def _conversions() -> tuple[tuple[type, Callable[[Any], Any]], ...]:
    from bson import Code, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp

    return (
        (ObjectId, str),
        (UUID, str),
        (Code, _code),
        (Decimal128, _number),
        (Int64, int),
        (bytes, lambda value: base64.b64encode(value).decode()),
        (Timestamp, lambda value: value.as_datetime()),
        (Regex, lambda value: value.pattern),
        (DBRef, lambda value: value.as_doc()),
    )


def _code(code: Any) -> dict[str, Any]:
    scope = {} if code.scope is None else {"$scope": code.scope}
    return {"$code": str(code), **scope}


def _number(value: Any) -> msgspec.Raw | str:
    number = value.to_decimal()
    return msgspec.Raw(str(number).encode()) if number.is_finite() else str(number)


@contextmanager
def _connect(url: Url) -> Iterator[Any]:
    import pymongo
    from pymongo.errors import InvalidURI, PyMongoError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of options that the driver does not know
            client: Any = pymongo.MongoClient(url.reveal(), appname="sluice")
    except (InvalidURI, pymongo.errors.ConfigurationError, ValueError, UserWarning) as error:
        message = f"{url}: expected a connection string of MongoDB: {_reason(error)}"
        raise ConfigError(message) from error
    try:
        with client:
            yield client
    except pymongo.errors.ConfigurationError as error:
        message = f"{url}: expected a connection string of MongoDB: {_reason(error)}"
        raise ConfigError(message) from error
    except PyMongoError as error:
        message = f"{url}: cannot read: {_reason(error)}"
        raise SourceError(message) from error


def _reason(error: Exception) -> str:
    """Return the reason in one line; the driver appends the whole topology, which is cut off."""
    return " ".join(str(error).partition(", Timeout:")[0].partition(", full error:")[0].split())
