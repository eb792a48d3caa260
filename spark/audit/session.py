"""The Spark session of the audit: settings that its results do not depend on, and one that they do."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import SparkSession

SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",  # a time without an offset is UTC
    "spark.sql.adaptive.enabled": "true",  # joins small sides by broadcast, and merges small partitions
    "spark.sql.shuffle.partitions": "16",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "3g",
    # The checksums of the default would need files whose names Hadoop rejects if a daily file has a colon in its name.
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
}


def start_session(settings: Mapping[str, str] | None = None) -> SparkSession:
    """Start Spark with SETTINGS and `settings`; on this machine, if nothing names a cluster."""
    builder = SparkSession.builder.appName("audit")
    for key, value in {**SETTINGS, **(settings or {})}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
