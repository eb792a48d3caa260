"""Where somebody may write a secret, by right or by mistake: in addresses, job files, command lines, variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from sluice.config.job import option_keys

from devservers.tools import ROOT

SECRET = "s3cr3t-w0rd"  # noqa: S105  what must not be printed

PLACES = {
    "password": "{scheme}://user:{secret}@host/{path}",
    "user": "{scheme}://{secret}@host/{path}",
    "password with a slash": "{scheme}://user:a/{secret}@host/{path}",
    "password with an at sign": "{scheme}://user:a@{secret}@host/{path}",
    "password with a colon": "{scheme}://user:a:{secret}@host/{path}",
    "password with a percent sign": "{scheme}://user:%2F%zz{secret}@host/{path}",
    "password with a question mark": "{scheme}://user:?{secret}@host/{path}",
    "password with a hash": "{scheme}://user:#{secret}@host/{path}",
    "password like a port": "{scheme}://user:12/{secret}@host/{path}",
    "password without a host": "{scheme}://user:{secret}@",
    "password in the place of the port": "{scheme}://user:{secret}",
    "password before a bad port": "{scheme}://user:{secret}@host:x/{path}",
    "password before a bad host": "{scheme}://user:{secret}@[::1/{path}",
    "port": "{scheme}://host:{secret}/{path}",
    **{
        f"option {name}": f"{{scheme}}://host:1/{{path}}?{name}={{secret}}"
        for name in ("password", "pwd", "code", "sig", "token", "sasl.password", "X-Amz-Signature", "KEY")
    },
    "option with an at sign": "{scheme}://user:x@host/{path}?password=a@{secret}",
    "option behind a port": "{scheme}://host:1/{path}?password=a@{secret}",
    "option of options": "{scheme}://host/{path}?a=b&c;password={secret}",
    "option without a name": "{scheme}://host/{path}?{secret}",
    "percent-encoded option": "{scheme}://host/{path}?%70assword={secret}",
    "parameter": "{scheme}://host/{path};password={secret}",
    "fragment": "{scheme}://host/{path}#token={secret}",
    "fragment with an at sign": "{scheme}://u:x@host/{path}#a@{secret}",
    "one slash": "{scheme}:/user:{secret}@host/{path}",
    "no slash": "{scheme}:user:{secret}@host/{path}",
    "no scheme": "user:{secret}@host/{path}",
    "no scheme but slashes": "//user:{secret}@host/{path}",
    "before the scheme": "user:{secret}@{scheme}://host/{path}",
    "blank before it": " {scheme}://user:{secret}@host/{path}",
    "another language": "host=host dbname=shop password={secret}",
}
"""Where an address may hold a secret."""

ADDRESSES = {
    "dead-letters": f"dead-letters:s3://ada:{SECRET}@bucket/dead?code=enum",
    "gs": f"gs://ada:{SECRET}@bucket/files",
    "http": f"http://127.0.0.1:9/logs?api_key={SECRET}#retry_for=0s",
    "https": f"https://ada:{SECRET}@127.0.0.1:9/logs?api_key={SECRET}#token={SECRET}",
    "kafka": f"kafka://ada:{SECRET}@127.0.0.1:9/topic?group=g&token={SECRET}",
    "mongodb": f"mongodb://ada:{SECRET}@127.0.0.1:9/shop.products?serverSelectionTimeoutMS=50&appName={SECRET}",
    "mongodb+srv": f"mongodb+srv://ada:{SECRET}@shop.invalid/shop.products?serverSelectionTimeoutMS=50",
    "pubsub": f"pubsub://ada:{SECRET}@projects/p/topics/t?token={SECRET}",
    "s3": f"s3://ada:{SECRET}/with/slashes@bucket/files",
    "bigquery": f"bigquery://ada:{SECRET}@project/dataset?token={SECRET}",
    "postgresql": f"postgresql://ada:{SECRET}@127.0.0.1:9/shop?connect_timeout=2",
    "snowflake": f"snowflake://ada:{SECRET}@account/db/schema?password={SECRET}",
    "an unknown scheme": f"ftp://ada:{SECRET}@host/x",
    "a scheme in upper case": f"POSTGRESQL://ada:{SECRET}@host/x?sslpassword={SECRET}",
    "a port that is no number": f"https://ada:{SECRET}",
    "an option that is an address": f"https://127.0.0.1:9/x#servers=https://ada:{SECRET}@cdn,https://ada:{SECRET}",
    "a folder with a password": f"https://127.0.0.1:9/x#keep=s3://ada:{SECRET}@bucket/pages",
    "a signed URL": f"s3://bucket/x?X-Amz-Signature={SECRET}",
}
"""An address of every connector, and of none; the ports answer nobody."""

JOB: Mapping[str, Any] = {
    "name": "shop",
    "contracts": str(ROOT / "schemas/commerce/sale.odcs.yaml"),
    "source": "nowhere/*.json",
    "files": "files",
    "warehouse": "duckdb:///w.duckdb",
    "dead_letters": "dead_letters",
}

KEYS = tuple(option_keys())

VARIABLE = "SLUICE_TEST_SETTING"


def job_file(key: str, value: object) -> Path:
    """Write a job in the working directory whose `key` has this value."""
    name, _, inner = key.partition(".")
    job = {**JOB, name: {inner: value} if inner else value}
    file = Path("job.yaml")
    file.write_text(yaml.safe_dump(job))
    return file


VALUES: Mapping[str, object] = {
    "a list": [ADDRESSES["kafka"]],
    "a mapping": {"url": ADDRESSES["postgresql"], "password": SECRET},
    "a mapping of an address": {ADDRESSES["kafka"]: None},
    "two lists": [[SECRET]],
    "a variable": f"${{{VARIABLE}}}",
    "a text with a variable": f"kafka://ada:${{{VARIABLE}}}@127.0.0.1:9/topic?group=g",
}
"""What a key of a job file may have in place of a text that is right."""

DOCUMENTS = (
    f"{ADDRESSES['kafka']}: x\n",
    f"password: {SECRET}\n",
    f"source: *{SECRET}\n",
    f"source: 'postgresql://u:{SECRET}@h\n",
    f'source: "a\\{SECRET}"\n',
    f"source: %{SECRET}\n",
    f"source: @{SECRET}\n",
    f"source: `{SECRET}\n",
    f"source: {{{SECRET}\n",
    f"name: x\n {SECRET}: 1\n",
    f"a: 1\n{SECRET}\n",
    f"{ADDRESSES['postgresql']}\n",
    f"- {ADDRESSES['postgresql']}\n",
    f"windows: {ADDRESSES['kafka']}\n",
    f"windows: [{ADDRESSES['kafka']}]\n",
)
"""Job files that are none."""

COMMAND_LINES = (
    ["{}"],
    ["run", "{}"],
    ["run", "job.yaml", "--metrics-port={}"],
    ["run", "job.yaml", "--report={}/x"],
    ["run", "job.yaml", "--pasword={}"],
    ["run", "job.yaml", "--pasword", "{}"],
    ["run", "job.yaml", "-x{}"],
    ["run", "job.yaml", "{}"],
    ["run", "job.yaml", "--runner={}"],
    ["run", "job.yaml", "--num_workers={}"],
    ["run", "job.yaml", "--debug={}"],
    ["load", "{}"],
    ["verify", "{}"],
    ["tables", "{}", "--diff"],
    ["tables", "job.yaml", "--create={}"],
    ["publish", "{}", "--generate"],
    ["publish", "job.yaml", "--generate", "--to={}"],
    ["publish", "job.yaml", "--generate", "--rate={}"],
    ["publish", "job.yaml", "--generate", "--count={}"],
    ["publish", "job.yaml", "--source={}", "--to=kafka://127.0.0.1:9/t"],
    ["redeliver", "{}"],
    ["redeliver", "job.yaml", "--where={}"],
    ["redeliver", "job.yaml", "--where=colour={}"],
    ["redeliver", "job.yaml", "--since={}"],
    ["redeliver", "job.yaml", "--set={}"],
    ["redeliver", "job.yaml", "--set=password={}"],
    ["redeliver", "job.yaml", "--set=contract={}"],
    ["init", "{}", "--yes"],
    ["init", "shop", "--from", "{}", "--yes", "--records=1"],
    ["init", "shop", "--records={}", "--yes"],
    ["infer", "{}", "--yes", "--records=1"],
    ["infer", "job.yaml", "--name={}", "--yes"],
    ["infer", "job.yaml", "--route-by={}", "--yes"],
    ["infer", "job.yaml", "--event-time={}", "--yes"],
    ["infer", "job.yaml", "--identity={}", "--yes"],
    ["infer", "job.yaml", "--out={}", "--yes"],
    ["infer", "job.yaml", "--records={}", "--yes"],
    ["dead-letters", "{}"],
    ["dead-letters", "job.yaml", "--where={}"],
    ["dead-letters", "job.yaml", "--where=colour={}"],
    ["dead-letters", "job.yaml", "--since={}"],
    ["dead-letters", "job.yaml", "--status={}"],
    ["dead-letters", "job.yaml", "--show={}"],
    ["check", "{}"],
    ["check", "--against={}"],
    ["generate", "{}"],
    ["generate", "--x={}"],
    ["generate", "--out={}"],
    ["generate", "--only={}"],
    ["completion", "{}"],
    ["run", "job.yaml", "--limit={}"],
    ["report", "{}"],
    ["monitor", "{}"],
    ["monitor", f"{ROOT}/monitors/csv_series.yaml", "--as-of={}"],
    ["monitor", f"{ROOT}/monitors/csv_series.yaml", "--out={}/x"],
    ["monitor", f"{ROOT}/monitors/csv_series.yaml", "--warehouse={}"],
    ["sources", "{}"],
    ["warehouses", "{}"],
)
"""Command lines with an address where none belongs, or where one of another kind does."""
