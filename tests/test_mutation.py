"""The list of modules whose tests are tried on mutants is about code and tests that exist."""

from __future__ import annotations

import pytest

from mutation.run import ROOT, Change, Module, Result, Survivor, read_modules

MODULES = {module.path: module for module in read_modules()}


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_listed_module_has_tests_and_the_lines_of_its_survivors(module: Module) -> None:
    code = " ".join((ROOT / "pipeline" / "sluice" / module.path).read_text().split())
    for survivor in module.survivors:
        assert " ".join(survivor.change.line.split()) in code
        assert survivor.change.mutant != survivor.change.line
        assert survivor.reason
    assert module.tests
    assert [test for test in module.tests if not (ROOT / test).is_file()] == []
    assert len({survivor.change for survivor in module.survivors}) == len(module.survivors)


def test_survivor_without_a_reason_is_unknown() -> None:
    listed, other = Change("a < b", "a <= b"), Change("c + 1", "c + 2")
    module = Module("eventlog/log.py", ["tests/eventlog/test_log.py"], [Survivor(listed, "both are equal")])
    result = Result(module, 20, [listed, other])
    assert (result.share, list(result.unknown)) == (0.9, [other])
    assert Result(module, 0, []).share == 1.0
