from __future__ import annotations

import subprocess
import sys

import pytest
from sluice.config.urls import Url
from sluice.runtime.beam_import import needs_cloud_packages

_PROGRAM = """\
import logging, sys
from sluice.config.urls import Url
from sluice.runtime.beam_import import import_beam
import_beam(Url("history/*.json"), [])
import apache_beam
print(sorted({"apitools", "boto3", "bson", "google.auth", "google.cloud.storage", "pymongo"} & {*sys.modules}))
print([finder for finder in sys.meta_path if "sluice" in type(finder).__module__])
print(logging.root.handlers, logging.root.manager.disable)
import google.auth
"""


def test_beam_is_imported_without_its_cloud_packages_which_can_be_imported_later() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n[]\n[] 0\n", "")


_LATER = """\
import sys
from sluice.config.urls import Url
from sluice.runtime.beam_import import import_beam
import_beam(Url("history/*.json"), [])
from apache_beam.internal import http_client
from apache_beam.io.gcp import gce_metadata_util
from apache_beam.typehints import typehints
packages = {"beartype", "beartype.door", "beartype.roar", "httplib2", "requests"}
print(sorted(packages & {*sys.modules}))

class Base: pass
class Derived(Base): pass
hints = [(3, Base), (Derived, Base), (Base, Derived)]
found = [typehints.is_consistent_with(*pair) for pair in hints]
import beartype.door, beartype.roar
assert typehints.is_subhint is beartype.door.is_subhint
assert typehints.BeartypeDoorException is beartype.roar.BeartypeDoorException
assert found == [typehints.is_consistent_with(*pair) for pair in hints]
print(found)
import httplib2, requests
assert isinstance(http_client.get_new_http(), httplib2.Http)
assert gce_metadata_util.requests.exceptions.RequestException is requests.exceptions.RequestException
print(sorted(packages - {*sys.modules}))
"""


def test_packages_that_beam_seldom_needs_are_imported_when_it_does() -> None:
    done = subprocess.run([sys.executable, "-c", _LATER], capture_output=True, text=True, check=False)
    expected = "[]\n[False, True, False]\n[]\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize(
    ("source", "beam_args", "needed"),
    [
        ("history/*.json", [], False),
        ("-", [], False),
        ("file:///data/a.json", [], False),
        ("https://api.example/events", [], False),
        ("dead-letters:out/dead_letters", [], False),
        ("history/*.json", ["--direct_num_workers=1"], True),
        ("gs://bucket/a.json", [], True),
        ("s3://bucket/a.json", [], True),
        ("pubsub://projects/p/subscriptions/s", [], True),
        ("kafka://broker/topic", [], True),
        ("dead-letters:gs://bucket/dead_letters", [], True),
    ],
)
def test_cloud_packages_are_needed_where_beam_could_use_them(
    source: str, beam_args: list[str], needed: bool
) -> None:
    assert needs_cloud_packages(Url(source), beam_args) == needed


_FUNCTIONS = """\
import inspect
from sluice.config.urls import Url
from sluice.runtime.beam_import import import_beam
import apache_beam as beam
from apache_beam.transforms import core
before = core.get_function_args_defaults
import_beam(Url("history/*.json"), [])
import_beam(Url("history/*.json"), [])
after = core.get_function_args_defaults
assert after is not before and inspect.unwrap(after) is before

class Step(beam.DoFn):
    def process(self, element, window=beam.DoFn.WindowParam, *, only_by_name=1):
        yield element

class Other(Step):
    def start_bundle(self, more=2):
        pass

for step in (Step(), Step(), Other(), beam.Map(len).dofn):
    for name in dir(step):
        value = getattr(step, name)
        if inspect.isroutine(value) and not name.startswith("__"):
            assert after(value) == before(value), (step, name)
names, defaults = after(Step().process)
names.append("mine")
assert after(Step().process) == (["element", "window"], [beam.DoFn.WindowParam])
"""


def test_arguments_of_each_function_are_looked_at_once_and_are_those_that_beam_finds() -> None:
    done = subprocess.run([sys.executable, "-c", _FUNCTIONS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
