"""Daily CSV files -> rows as texts, by the names in each file's header; rows that are no records are marked.

Spark binds a schema to the columns of a CSV file by position, so files with as many columns are read together, and the
name of a row's file says which of its fields is which column: to plan a scan for each header takes Spark longer than to
read small files. A row with more or fewer fields than its header shows only in `_corrupt_record`, and only if no column
is pruned while the file is parsed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from spark.audit.files import DailyFile

EVENT_COLUMNS = ("event_id", "transaction_id", "file_name", "status", "event_time")
TRANSACTION_COLUMNS = ("transaction_id", "amount", "customer_id", "load_time")

SOURCE = "source_name"
"""Column with the name of the file that a row came in."""

_CORRUPT = "_corrupt_record"
_HEADER = "is_header"
_WILDCARDS = frozenset("{}[]*?\\")


def read_rows(spark: SparkSession, files: Sequence[DailyFile], columns: Sequence[str]) -> DataFrame:
    """Return every row of `files`: `columns` and SOURCE as texts, and `is_record`."""
    groups: dict[tuple[object, ...], list[DailyFile]] = defaultdict(list)
    for file in files:
        if file.columns:
            # Beside a name that may be a pattern, Spark reads the other files of a list once more.
            alone = file.name if _WILDCARDS & set(file.name) else ""
            # What Spark does not take for the header is found by its content.
            header = len(file.columns) if file.is_header_taken else file.columns
            groups[header, alone].append(file)
    frames = [_read(spark, group, columns) for group in groups.values()]
    return reduce(DataFrame.unionByName, frames) if frames else _no_rows(spark, columns)


def take_records(rows: DataFrame, observation: Observation) -> DataFrame:
    """Return the rows that are records, and count all rows in `observation`: `read`, `rejected`, and `sources`."""
    return rows.observe(observation, *_figures()).where("is_record").drop("is_record")


def count_rows(rows: DataFrame, observation: Observation) -> dict[str, Any]:
    """Return the figures of `take_records`, after an action has read its rows.

    The optimizer removes what has no rows from a plan, and the observation with it: then the rows are read once more.
    """
    try:
        figures: dict[str, Any] = observation.get
    except Py4JJavaError:
        figures = rows.agg(*_figures()).collect()[0].asDict()
    return figures


def _figures() -> tuple[Column, ...]:
    return (
        F.count(F.lit(1)).alias("read"),
        F.count_if(~F.col("is_record")).alias("rejected"),
        F.collect_set(F.when(F.col("is_record"), F.col(SOURCE))).alias("sources"),
    )


def find_columns(header: Sequence[str], columns: Sequence[str]) -> dict[str, int] | None:
    """Return the position of each of `columns` in `header`; None if one is named several times.

    Case, blanks and hyphens make no difference, as in Sluice.
    """
    keys = [re.sub(r"[\s-]+", "_", name.strip().casefold()) for name in header]
    counts = Counter(keys)
    if any(counts[column] > 1 for column in columns):
        return None
    return {column: keys.index(column) for column in columns if column in counts}


def _read(spark: SparkSession, files: Sequence[DailyFile], columns: Sequence[str]) -> DataFrame:
    """Read files with as many columns; if Spark does not take their header out, they have the same one."""
    header = files[0].columns
    names = [f"field_{index}" for index in range(len(header))]
    schema = StructType([StructField(name, StringType()) for name in [*names, _CORRUPT]])
    rows = (
        spark.read.schema(schema)
        .options(header=True, multiLine=True, lineSep="\n", quote='"', escape='"', encoding="UTF-8")
        .options(mode="PERMISSIVE", columnNameOfCorruptRecord=_CORRUPT, columnPruning=False)
        .option("__globPaths__", "false")  # a name may have what would be a wildcard
        .csv([file.address for file in files])
    )
    positions = {file.name: find_columns(file.columns, columns) for file in files}
    unknown = [name for name, found in positions.items() if found is None]
    values = {
        column: _field({name: (found or {}).get(column) for name, found in positions.items()})
        for column in columns
    }
    # With a line feed as the line's end, an empty line that ends with CR LF is a row with nothing in it.
    # Spark rejects a query of nothing but _corrupt_record, so a field is read, too; its length is never negative.
    is_parsed = F.coalesce(F.length("field_0"), F.lit(0)) >= 0
    is_row = (F.col(_CORRUPT).isNull() | (F.col(_CORRUPT) != "")) & is_parsed
    texts = [F.trim(F.col(field), F.lit(" \t\r")) for field in names]
    is_header = [text.eqNullSafe(F.lit(name or None)) for text, name in zip(texts, header, strict=True)]
    read = (
        rows.where(is_row)
        .withColumn(SOURCE, _source_name())
        .select(
            *(value.alias(column) for column, value in values.items()),
            SOURCE,
            (~F.col(SOURCE).isin(unknown) & F.col(_CORRUPT).isNull()).alias("is_record"),
            (F.col(_CORRUPT).isNull() & reduce(and_, is_header)).alias(_HEADER),
        )
    )
    return (read if files[0].is_header_taken else _without_header(read)).drop(_HEADER)


def _without_header(read: DataFrame) -> DataFrame:
    """Leave out one row of each file that is its header; a header that comes again is a record."""
    of_file = Window.partitionBy(SOURCE, _HEADER).orderBy(F.lit(0))  # rows that are equal have no order
    numbered = read.withColumn("number", F.row_number().over(of_file))
    return numbered.where(~F.col(_HEADER) | (F.col("number") > 1)).drop("number")


def _field(positions: Mapping[str, int | None]) -> Column:
    """Return the field at the position that the row's file has in `positions`; NULL at none."""
    names = defaultdict(list)
    for name, position in positions.items():
        names[position].append(name)
    (_, field), *others = ((names[position], _field_at(position)) for position in names)
    for of_position, other in others:
        field = F.when(F.col(SOURCE).isin(of_position), other).otherwise(field)
    return field


def _field_at(position: int | None) -> Column:
    return F.lit(None).cast("string") if position is None else F.col(f"field_{position}")


def _source_name() -> Column:
    """Return the name of the row's file; Spark percent-encodes it."""
    return F.url_decode(F.replace(F.col("_metadata.file_name"), F.lit("+"), F.lit("%2B")))


def _no_rows(spark: SparkSession, columns: Sequence[str]) -> DataFrame:
    fields = ", ".join(f"{name} string" for name in [*columns, SOURCE])
    return spark.createDataFrame([], f"{fields}, is_record boolean")
