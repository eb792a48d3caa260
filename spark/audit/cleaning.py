"""Rows as texts -> events and transactions, each once. What cannot be read is NULL; no record is left out."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark.audit.reading import SOURCE

BLANKS = "".join(map(chr, (9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xA0, 0x1680))) + "".join(
    map(chr, (*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)
"""Every blank of Unicode (White_Space), and the separators of ASCII; SQL's own trim removes U+0020 alone."""

NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(E[+-]?[0-9]+)?$"
ZERO = r"^[+-]?[0.]+(E.*)?$"
TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$"
)
"""Patterns of texts in upper case, the same in the dbt models."""

FILE_PREFIX = r"(?s)^events_([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})_(?=.*\.csv)"


def clean_events(rows: DataFrame) -> DataFrame:
    """Return each event of a (load_date, file_name) once: with `load_date`, `file_name`, `transaction_id`, `status`.

    An event without `event_id` is never the same as another one.
    """
    source = F.col(SOURCE)
    day = F.regexp_replace(F.regexp_extract(source, r"^events_([0-9]{4}-?[0-9]{2}-?[0-9]{2})", 1), "-", "")
    own = F.regexp_replace(F.regexp_replace(source, FILE_PREFIX, ""), r"\.gz$", "")
    cleaned = rows.select(
        F.to_date(day, "yyyyMMdd").alias("load_date"),
        F.coalesce(clean_text("file_name"), own).alias("file_name"),
        F.coalesce(clean_text("event_id"), F.concat(F.lit("\0"), F.uuid())).alias("event_key"),
        clean_text("transaction_id").alias("transaction_id"),
        F.upper(clean_text("status")).alias("status"),
    )
    return cleaned.dropDuplicates(["load_date", "file_name", "event_key"])


def clean_transactions(rows: DataFrame) -> DataFrame:
    """Return the latest state of each transaction: `transaction_id`, `amount`, `amount_sign`, `customer_id`."""
    amount = F.upper(clean_text("amount"))
    is_number = amount.rlike(NUMBER)
    state = F.struct(
        instant(clean_text("load_time")).alias("load_time"),
        F.when(is_number, number_sign(amount)).alias("amount_sign"),
        F.when(is_number, amount.try_cast("decimal(38,9)")).alias("amount"),
        clean_text("customer_id").alias("customer_id"),
    )
    states = rows.select(clean_text("transaction_id").alias("transaction_id"), state.alias("state"))
    return take_latest(states.where("transaction_id is not null")).select("transaction_id", "state.*")


def take_latest(states: DataFrame) -> DataFrame:
    """Return the greatest `state` of each `transaction_id`: the one with the latest load_time; no time is the earliest.

    Unlike a window, an aggregate works before the shuffle, too.
    """
    return states.groupBy("transaction_id").agg(F.max("state").alias("state"))


def clean_text(column: str) -> Column:
    """Return a text without blanks around it; NULL if nothing is left, or `null` in any case."""
    text = F.trim(F.col(column), F.lit(BLANKS))
    return F.when(~F.lower(text).isin("", "null"), text)


def number_sign(text: Column) -> Column:
    """Return -1, 0 or 1 for the text of a number, which may be larger than any decimal type holds."""
    return F.when(text.rlike(ZERO), 0).when(text.startswith("-"), -1).otherwise(1)


def instant(text: Column) -> Column:
    """Return the time in a text, without an offset in UTC; NULL if it is none."""
    upper = F.upper(text)
    return F.when(upper.rlike(TIME), F.regexp_replace(upper, " (Z|[+-])", "$1").try_cast("timestamp"))
