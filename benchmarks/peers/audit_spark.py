"""The PySpark audit job with and without each of its optimisations: `audit_spark.py DATA OUT`.

One session runs all. The job as it is runs once more, first: that run compiles what the others use, too, and does not
count. The JVM goes on compiling, so all run in turn and then in the opposite turn: the run with less CPU time counts.
OUT/figures.json has seconds, and CPU seconds of the JVM, by variant; OUT/VARIANT has tables and plan.txt.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.classic.dataframe import DataFrame as ClassicDataFrame

from spark import audit_job
from spark.audit import cleaning
from spark.audit.session import start_session

VARIANTS = ("nothing", "partial_aggregate", "cache", "adaptive")


def rank_latest(states: DataFrame) -> DataFrame:
    """Return what `take_latest` returns, by a window: every row is shuffled and sorted."""
    window = Window.partitionBy("transaction_id").orderBy(F.desc("state"))
    return states.withColumn("recency", F.row_number().over(window)).where("recency = 1").drop("recency")


@contextmanager
def without(spark: SparkSession, variant: str) -> Iterator[None]:
    """Take an optimisation out of the job while the block lasts."""
    spark.conf.set("spark.sql.adaptive.enabled", str(variant != "adaptive").lower())
    replacements: dict[str, tuple[Any, str, Any]] = {
        "partial_aggregate": (cleaning, "take_latest", rank_latest),
        "cache": (ClassicDataFrame, "cache", lambda frame: frame),
    }
    if variant not in replacements:
        yield
        return
    with patch.object(*replacements[variant]):
        yield


def run(spark: SparkSession, variant: str, data: str, out: Path) -> tuple[float, float]:
    """Run the job into `out`; return its seconds and the CPU seconds of the JVM."""
    spark.catalog.clearCache()
    out.mkdir(parents=True)
    started, used = time.perf_counter(), _cpu(spark)
    with without(spark, variant):
        tables, _ = audit_job.run_audit(spark, data, str(out / "state"))
        audit_job.write_results(tables, out)
    figures = time.perf_counter() - started, _cpu(spark) - used
    # Where counts are cached, their plan is the one with which adaptive execution ended.
    with (out / "plan.txt").open("w") as file, redirect_stdout(file):
        tables["mart_audit_daily"].explain("simple")
    return figures


def _cpu(spark: SparkSession) -> float:
    """Return the CPU seconds that the JVM has used."""
    gateway: Any = spark.sparkContext._gateway
    status = Path("/proc", str(gateway.proc.pid), "stat").read_text()
    user, system = status.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run all variants."""
    data, out = sys.argv[1], Path(sys.argv[2])
    spark = start_session()
    run(spark, "nothing", data, out / "first")
    runs = {variant: [run(spark, variant, data, out / variant)] for variant in VARIANTS}
    for variant in reversed(VARIANTS):
        runs[variant].append(run(spark, variant, data, out / "again" / variant))
    figures = {variant: min(both, key=itemgetter(1)) for variant, both in runs.items()}
    (out / "figures.json").write_text(json.dumps(figures) + "\n")
    spark.stop()


if __name__ == "__main__":
    main()
