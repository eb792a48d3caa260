"""Avro container files: written by fastavro, or by hand in what fastavro does not write."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import pyarrow as pa
import zstandard

SYNC = bytes(range(16))


def avro_file(schema: Any, rows: Sequence[Any], codec: str = "null", sync_interval: int = 16_000) -> bytes:
    """Return a file as fastavro writes it."""
    file = io.BytesIO()
    fastavro.writer(file, schema, rows, codec=codec, sync_interval=sync_interval)
    return file.getvalue()


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflate,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstandard": zstandard.compress,
    "snappy": lambda data: (
        pa.Codec("snappy").compress(data, asbytes=True) + zlib.crc32(data).to_bytes(4, "big")
    ),
}


def container(schema: Any, written_as: Any, rows: Sequence[Any], codec: str = "null") -> bytes:
    """Return a file of one block that declares `schema`; its rows are written as the schema `written_as`."""
    block = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(block, fastavro.parse_schema(written_as), row)
    file = io.BytesIO()
    metadata = {"avro.schema": json.dumps(schema).encode(), "avro.codec": codec.encode()}
    header = {
        "type": "record",
        "name": "h",
        "fields": [{"name": "m", "type": {"type": "map", "values": "bytes"}}],
    }
    file.write(b"Obj\x01")
    fastavro.schemaless_writer(file, fastavro.parse_schema(header), {"m": metadata})
    file.write(SYNC)
    if rows:
        data = _PACKERS[codec](block.getvalue())
        for number in (len(rows), len(data)):
            fastavro.schemaless_writer(file, "long", number)
        file.write(data + SYNC)
    return file.getvalue()
