"""Writes deploy/command_options.json: the options of each command that scripts/deploy and its guide use.

They come from the programs themselves: the completion table of the Google Cloud SDK, and the help of the others. Tests
check every command line against the file, so that they need none of the programs.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

FILE = Path(__file__).parent / "command_options.json"

COMMANDS = (
    "bq query",
    "docker build",
    "docker push",
    "gcloud artifacts docker images describe",
    "gcloud auth configure-docker",
    "gcloud auth login",
    "gcloud beta dataflow logs list",
    "gcloud dataflow flex-template build",
    "gcloud dataflow flex-template run",
    "gcloud dataflow jobs describe",
    "gcloud dataflow jobs drain",
    "gcloud dataflow jobs list",
    "gcloud pubsub subscriptions describe",
    "gcloud pubsub subscriptions seek",
    "gcloud pubsub topics publish",
    "gcloud run jobs execute",
    "gcloud secrets versions add",
    "gcloud services enable",
    "gcloud storage buckets create",
    "gcloud storage buckets describe",
    "gcloud storage buckets update",
    "gcloud storage cp",
    "gcloud storage ls",
    "gcloud storage rm",
    "gcloud transfer authorize",
    "gcloud transfer jobs create",
    "terraform apply",
    "terraform destroy",
    "terraform import",
    "terraform init",
    "terraform output",
    "terraform providers lock",
)


def options() -> dict[str, list[str]]:
    """Return command -> the options that it takes, those of its whole program among them."""
    return {command: sorted(_READERS[command.split()[0]](command.split())) for command in COMMANDS}


def _of_gcloud(words: list[str]) -> set[str]:
    table = runpy.run_path(str(_sdk() / "data/cli/gcloud_completions.py"))["STATIC_COMPLETION_CLI_TREE"]
    found = set(table["flags"])
    for word in words[1:]:
        table = table["commands"][word]
        found |= set(table["flags"])
    return found


def _of_bq(words: list[str]) -> set[str]:
    said = [
        subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for command in (["bq", "--help"], ["bq", "help", words[1]])
    ]
    return {f"--{name}" for name in re.findall(r"--(?:\[no\])?([a-z_]+)", "".join(said))}


def _of_help(words: list[str]) -> set[str]:
    dashes = "-" if words[0] == "terraform" else "--"
    said = [
        subprocess.run([*command, f"{dashes}help"], capture_output=True, text=True, check=True).stdout
        for command in [words, *_PLANS.get(words[-1], [])]
    ]
    found = set(re.findall(rf"(?m)^ +(?:-\w, )?({dashes}[a-z][a-z-]*)", "".join(said)))
    return found | ({"-chdir"} if dashes == "-" else set())


def _sdk() -> Path:
    program = shutil.which("gcloud")
    if program is None:
        message = "gcloud: expected the Google Cloud SDK on PATH, found none"
        raise SystemExit(message)
    return Path(program).resolve().parents[1]


_PLANS = {"apply": [["terraform", "plan"]], "destroy": [["terraform", "plan"], ["terraform", "apply"]]}
"""Commands that take the options of others, too, and whose help only says so."""

_READERS = {"gcloud": _of_gcloud, "bq": _of_bq, "docker": _of_help, "terraform": _of_help}


if __name__ == "__main__":
    FILE.write_text(json.dumps(options(), indent=1) + "\n", "utf-8")
