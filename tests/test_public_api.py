from __future__ import annotations

import subprocess
import sys

import pytest
import sluice


def test_public_names_are_these() -> None:
    assert sorted(sluice.__all__) == [
        "Contract",
        "Job",
        "Report",
        "RunObserver",
        "SluiceError",
        "Submitted",
        "__version__",
        "load_contract",
        "load_contracts",
        "load_job",
        "load_log",
        "run_job",
    ]
    assert dir(sluice) == sorted(sluice.__all__)


@pytest.mark.parametrize("name", sorted(sluice.__all__))
def test_public_name_is_what_its_module_defines(name: str) -> None:
    public = getattr(sluice, name)
    if name != "__version__":
        assert public is getattr(sys.modules[public.__module__], name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="^module 'sluice' has no attribute 'nothing'$"):
        _ = sluice.nothing


def test_import_brings_no_beam_and_no_arrow() -> None:
    program = (
        "import sys, sluice; sluice.__version__; sluice.SluiceError\n"
        "print(sorted({'apache_beam', 'pyarrow', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
