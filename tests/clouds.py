"""A checkout's scripts, beside stand-ins of gcloud, docker, bq and terraform that write down how they were called."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy import command_options

ROOT = Path(__file__).parents[1]
OPTIONS = json.loads(command_options.FILE.read_text("utf-8"))
"""Command -> the options that its program takes."""

SETTINGS = """\
PROJECT=shop-prod-1
REGION=europe-west1
REPOSITORY=europe-west1-docker.pkg.dev/shop-prod-1/sluice
SUBNETWORK=regions/europe-west1/subnetworks/sluice
SERVICE_ACCOUNT=sluice-pipeline@shop-prod-1.iam.gserviceaccount.com
TEMP=gs://shop-prod-1-sluice-temp
LOG=gs://shop-prod-1-sluice-log
DEAD_LETTERS=gs://shop-prod-1-sluice-dead-letters
QUARANTINE=gs://shop-prod-1-sluice-quarantine
RAW=gs://shop-prod-1-sluice-raw
PRIVACY_SECRET=sluice-privacy-key
"""


class Clouds:
    """A folder with programs that write down how they were called, and a checkout's scripts beside it."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        for name in ("scripts", "deploy", "terraform", "out"):
            (self.root / name).mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "scripts/deploy", self.root / "scripts")
        (self.root / "out/deploy.env").write_text(SETTINGS)
        for name in ("docker", "terraform", "bq"):
            self.program(name, "")
        self.jobs("JOB_TYPE_STREAMING,JOB_STATE_RUNNING")

    def jobs(self, *states: str, more: str = "") -> None:
        """Make a gcloud whose jobs are in these states, one look after the other; the last one stays.

        `fail` is a look that fails.
        """
        looks = self.calls.parent / "looks"
        shown = " ".join(states)
        self.program(
            "gcloud",
            f"""states=({shown})
case "$*" in
  {more}
  *"flex-template run"*|*" jobs list "*) echo job-7 ;;
  *" logs list "*) echo "the worker could not start" ;;
  *" images describe "*) exit 1 ;;
  *" jobs describe "*)
    echo look >>{looks}
    look=$(wc -l <{looks})
    [ "$look" -gt ${{#states[@]}} ] && look=${{#states[@]}}
    [ "${{states[look - 1]}}" = fail ] && {{ echo "gcloud: no connection" >&2; exit 1; }}
    echo "${{states[look - 1]}}" ;;
esac""",
        )

    def program(self, name: str, more: str) -> None:
        """Make a program that writes down its arguments, a line each, and then does `more`."""
        path = self.bin / name
        path.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" {name} "$@" "" >>"{self.calls}"\n{more}\n')
        path.chmod(0o755)

    def deploy(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/deploy."""
        return subprocess.run(
            ["bash", str(self.root / "scripts/deploy"), *words],
            env={"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "VERSION": "1.2.3", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the guide in the checkout."""
        return subprocess.run(
            ["bash", "-euc", f"export PROJECT=shop-prod-1 REGION=europe-west1 POLL_SECONDS=0\n{command}"],
            cwd=self.root,
            env={"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "VERSION": "1.2.3"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def called(self) -> list[list[str]]:
        """Return the calls, each with its arguments."""
        return [call.split("\n") for call in self.calls.read_text().removesuffix("\n\n").split("\n\n")]


def problems(call: Sequence[str]) -> list[str]:
    """Return what the program of a command line would not take, by its own list of options."""
    known = [command for command in OPTIONS if call[: len(command.split())] == command.split()]
    words = [word for word in call if not word.startswith("-")]
    known += [command for command in OPTIONS if words[: len(command.split())] == command.split()]
    if not known:
        return [f"{shlex.join(call)}: not in deploy/command_options.json"]
    dashes = "-" if call[0] == "terraform" else "--"
    given = {word.partition("=")[0] for word in call if word.startswith(dashes) and word != "-"}
    return [f"{known[0]}: {option}" for option in sorted(given - set(OPTIONS[known[0]]))]
