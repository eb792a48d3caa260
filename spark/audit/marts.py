"""Events and transactions -> the tables of the audit. Each function takes DataFrames and returns one."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

DAILY_KEY = ["load_date", "file_name"]
TOP = 3


def count_daily(events: DataFrame, transactions: DataFrame) -> DataFrame:
    """Return `nb_total` and `nb_invalid` of each (load_date, file_name).

    A record is invalid if its status is not OK, or its transaction has no amount, or a negative one, or is not there.
    """
    joined = events.join(transactions.select("transaction_id", "amount_sign"), "transaction_id", "left")
    is_invalid = (
        ~F.col("status").eqNullSafe("OK")  # a plain comparison with NULL is NULL, neither valid nor invalid
        | F.col("amount_sign").isNull()
        | (F.col("amount_sign") < 0)
    )
    return joined.groupBy(*DAILY_KEY).agg(
        F.count(F.lit(1)).alias("nb_total"), F.count_if(is_invalid).alias("nb_invalid")
    )


def add_empty_files(counts: DataFrame, empty_files: DataFrame) -> DataFrame:
    """Add the keys in `empty_files` that have no records, with zeros."""
    missing = empty_files.select(*DAILY_KEY).distinct().join(counts, DAILY_KEY, "left_anti")
    zero = F.lit(0).cast("bigint")
    return counts.unionByName(missing.select("*", zero.alias("nb_total"), zero.alias("nb_invalid")))


def audit_daily(counts: DataFrame) -> DataFrame:
    """Return mart_audit_daily: `counts` with `error_rate`, which is NULL where there is no record."""
    return counts.withColumn(
        "error_rate", F.try_divide(F.col("nb_invalid").cast("double"), F.col("nb_total"))
    )


def audit_rolling(daily: DataFrame) -> DataFrame:
    """Return mart_audit_rolling: the average of this and the six rows before it of a file; rows, not days."""
    window = Window.partitionBy("file_name").orderBy("load_date").rowsBetween(-6, Window.currentRow)
    return daily.select(
        *DAILY_KEY, "error_rate", F.avg("error_rate").over(window).alias("rolling_error_rate")
    )


def audit_top3(daily: DataFrame) -> DataFrame:
    """Return mart_audit_top3: of each day the files with the highest error rates, numbered by `rank`."""
    window = Window.partitionBy("load_date").orderBy(
        F.desc("error_rate"), F.desc("nb_invalid"), F.asc("file_name")
    )
    ranked = daily.where("error_rate is not null").withColumn("rank", F.row_number().over(window))
    return ranked.where(F.col("rank") <= TOP).select(
        "load_date", "rank", "file_name", "error_rate", "nb_invalid"
    )


def summarize_days(daily: DataFrame, top3: DataFrame) -> DataFrame:
    """Return the figures of each day, as central_audit has them, and `daily_hash`, which tells its rows apart."""
    row = F.concat_ws(":", F.md5("file_name"), "nb_total", "nb_invalid")
    days = daily.groupBy("load_date").agg(
        F.count(F.lit(1)).alias("nb_files"),
        F.sum("nb_total").alias("nb_total"),
        F.sum("nb_invalid").alias("nb_invalid"),
        F.md5(F.array_join(F.sort_array(F.collect_list(row)), ",")).alias("daily_hash"),
    )
    worst = top3.where("rank = 1").select("load_date", F.col("file_name").alias("worst_file"))
    rate = F.try_divide(F.col("nb_invalid").cast("double"), F.col("nb_total"))
    return days.join(worst, "load_date", "left").withColumn("error_rate", rate)


def new_revisions(days: DataFrame, central: DataFrame) -> DataFrame:
    """Return the rows to append to `central`: of each day that is new, or differs from what its last row says."""
    last = central.groupBy("load_date").agg(
        F.max("revision").alias("last_revision"), F.max_by("daily_hash", "revision").alias("last_hash")
    )
    changed = days.join(last, "load_date", "left").where(~F.col("daily_hash").eqNullSafe(F.col("last_hash")))
    revision = F.coalesce("last_revision", F.lit(0).cast("bigint")) + 1
    return changed.withColumn("revision", revision).select(*CENTRAL_COLUMNS, "daily_hash")


CENTRAL_COLUMNS = (
    "load_date",
    "revision",
    "nb_files",
    "nb_total",
    "nb_invalid",
    "error_rate",
    "worst_file",
)
CENTRAL_SCHEMA = (
    "load_date date, revision bigint, nb_files bigint, nb_total bigint, nb_invalid bigint, error_rate double, "
    "worst_file string, daily_hash string"
)
