"""Make mutants of modules, run their own tests on each, and hold what survives against the list of known survivors.

`scripts/mutants` runs it. The mutants are those of Cosmic Ray: a comparison, a boolean operation or a condition is
turned round, a number is one more or one less, a plus is a minus. `mutation/modules.toml` names the modules and their
tests, and for each mutant that may survive the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "mutation" / "modules.toml"
TOOLS = ROOT / ".tools" / "mutants" / "bin"

LEAST_SHARE = 0.9
"""The share of mutants that the tests of a module have to find."""

_TIMEOUT_SECONDS = 120
_OPERATORS = (
    "NumberReplacer",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add)",
    "ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is)",
)


class Change(NamedTuple):
    """A mutant: the line of the module as it is, and as the mutant has it, both without indentation."""

    line: str
    mutant: str


class Survivor(NamedTuple):
    """A mutant that the tests of its module may let live, and why."""

    change: Change
    reason: str


class Module(NamedTuple):
    """A module below `pipeline/sluice`, the tests that have to find its mutants, and what they may let live."""

    path: str
    tests: Sequence[str]
    survivors: Sequence[Survivor]


class Result(NamedTuple):
    """What the tests of a module found: the number of its mutants, and the changes that survived."""

    module: Module
    mutants: int
    survivors: Sequence[Change]

    @property
    def share(self) -> float:
        """The share of the mutants that were found; 1 of a module without mutants."""
        return 1 - len(self.survivors) / self.mutants if self.mutants else 1.0

    @property
    def unknown(self) -> Sequence[Change]:
        """The survivors for which no reason is listed."""
        known = {survivor.change for survivor in self.module.survivors}
        return [change for change in self.survivors if change not in known]


class MutationError(Exception):
    """The mutants of a module could not be tested; the text says why."""


def read_modules(path: Path = MODULES) -> Sequence[Module]:
    """Return the modules that the file at `path` lists."""
    return [
        Module(
            name,
            entry["tests"],
            [
                Survivor(Change(survivor["line"], survivor["mutant"]), survivor["reason"])
                for survivor in entry.get("survivors", [])
            ],
        )
        for name, entry in tomllib.loads(path.read_text())["modules"].items()
    ]


def run_mutants(module: Module) -> Result:
    """Run the tests of `module` on each of its mutants, in a copy of the checkout.

    Raises:
        MutationError: the tests fail without a mutant, or Cosmic Ray does.

    """
    with tempfile.TemporaryDirectory(prefix="sluice-mutants-") as folder:
        copy, session = Path(folder, "checkout"), Path(folder, "session.sqlite")
        config = Path(folder, "config.toml")
        _copy_checkout(copy)
        config.write_text(_configuration(module))
        _call(copy, "cosmic-ray", "baseline", str(config))
        _call(copy, "cosmic-ray", "init", str(config), str(session))
        _call(copy, "cr-filter-operators", str(session), str(config))
        _call(copy, "cosmic-ray", "exec", str(config), str(session))
        return _read_results(module, _call(copy, "cosmic-ray", "dump", str(session)))


def _copy_checkout(copy: Path) -> None:
    """Copy the files that git knows, as they are in the work tree, since Cosmic Ray edits the module in its place."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    copy.mkdir()
    archive = subprocess.run(
        ["tar", "--null", "--files-from=-", "--create"],
        cwd=ROOT,
        input=names,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "--extract"], cwd=copy, input=archive.stdout, check=True)


def _configuration(module: Module) -> str:
    tests = " ".join(module.tests)
    kept = "|".join(f"{operator}$" for operator in _OPERATORS)
    pytest = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -m 'not long' {tests}"
    return "\n".join(
        (
            "[cosmic-ray]",
            f"module-path = {json.dumps('pipeline/sluice/' + module.path)}",
            f"timeout = {_TIMEOUT_SECONDS}.0",
            "excluded-modules = []",
            f"test-command = {json.dumps(pytest)}",
            "[cosmic-ray.distributor]",
            'name = "local"',
            "[cosmic-ray.filters.operators-filter]",
            f"exclude-operators = [{json.dumps(f'core/(?!{kept})')}]",
        )
    )


def _call(copy: Path, program: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy / "pipeline"), "PYTHONDONTWRITEBYTECODE": "1"}
    called = subprocess.run(
        [TOOLS / program, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if called.returncode:
        message = f"{program} {arguments[0]}: exit {called.returncode}\n{called.stdout}{called.stderr}"
        raise MutationError(message)
    return called.stdout


def _read_results(module: Module, dump: str) -> Result:
    outcomes = [json.loads(line)[1] for line in dump.splitlines()]
    mutants = [
        (change, outcome["test_outcome"])
        for outcome in outcomes
        if outcome and outcome["worker_outcome"] != "skipped"
        for change in [_change(outcome["diff"].splitlines())]
        if _is_behaviour(change)
    ]
    return Result(module, len(mutants), [change for change, outcome in mutants if outcome == "survived"])


def _is_behaviour(change: Change) -> bool:
    """Tell whether a test can see the change; not: a class is frozen or has slots, `zip` is strict of equal lengths."""
    is_strict = change.mutant == change.line.replace("strict=True", "strict=False")
    return not change.line.startswith("@") and not is_strict


def _change(diff: Sequence[str]) -> Change:
    before = [line[1:].strip() for line in diff if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in diff if line.startswith("+") and not line.startswith("+++")]
    return Change(" ".join(before), " ".join(after))


def main() -> int:
    """Print what survives in each module; return 1 if too much does, or without a reason in the list."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument(
        "modules", nargs="*", help="such as eventlog/paths.py; all that the list names by default"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="modules that are tested side by side"
    )
    options = parser.parse_args()
    modules = {module.path: module for module in read_modules()}
    for path in options.modules:
        if path not in modules:
            parser.error(f"modules: expected some of {', '.join(modules)}, got {path}")
    chosen = [modules[path] for path in options.modules or modules]
    failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for result in pool.map(run_mutants, chosen):
                failed |= _print_result(result)
        except MutationError as error:
            print(f"mutants: {error}", file=sys.stderr)
            return 2
    return int(failed)


def _print_result(result: Result) -> bool:
    """Print the result of one module; return whether it fails."""
    print(
        f"{result.module.path}: {result.mutants} mutants, {len(result.survivors)} survive, {result.share:.0%} found",
        flush=True,
    )
    for change in result.unknown:
        print(
            f"  survives without a reason in {MODULES.relative_to(ROOT)}:\n  - {change.line}\n  + {change.mutant}"
        )
    return result.share < LEAST_SHARE or bool(result.unknown)


if __name__ == "__main__":
    sys.exit(main())
