"""Beam's options, of which each view is made once."""

from __future__ import annotations

import copy
import pickle

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    TypeOptions,
)
from sluice.runtime.beam_options import JobOptions, check_beam_options

FLAGS = ["--runner=PrismRunner", "--experiments=a", "--temp_location=/tmp/x"]


def test_view_is_made_once_and_has_what_a_new_one_has() -> None:
    options = JobOptions(FLAGS)
    for cls in (StandardOptions, TypeOptions, DebugOptions, GoogleCloudOptions):
        view = options.view_as(cls)
        assert type(view) is cls
        assert options.view_as(cls) is view
        expected = PipelineOptions(FLAGS).view_as(cls)
        names = expected._visible_option_list()
        assert {name: getattr(view, name) for name in names} == {
            name: getattr(expected, name) for name in names
        }
    assert options.get_all_options(drop_default=True) == PipelineOptions(FLAGS).get_all_options(
        drop_default=True
    )


def test_what_is_set_through_a_view_is_seen_in_all_and_not_in_a_copy() -> None:
    options = JobOptions(FLAGS)
    before = options.view_as(StandardOptions)
    copied = copy.deepcopy(options)
    options.view_as(StandardOptions).runner = "DirectRunner"
    assert before.runner == "DirectRunner"
    assert options.get_all_options()["runner"] == "DirectRunner"
    assert copied.view_as(StandardOptions).runner == "PrismRunner"
    copied.view_as(StandardOptions).streaming = True
    assert not options.view_as(StandardOptions).streaming


def test_options_of_the_job_server_of_flink_are_passed_on() -> None:
    given = {"checkpointing_interval": 3000, "max_bundle_size": 7, "max_bundle_time_mills": 100}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    check_beam_options(arguments)
    assert JobOptions(arguments).get_all_options(drop_default=True) == given


def test_account_that_only_the_launcher_uses_is_not_stored() -> None:
    options = JobOptions(["--impersonate_service_account=launcher@example.com"])
    assert options.view_as(GoogleCloudOptions).impersonate_service_account
    stored = pickle.dumps(options)
    assert b"launcher" not in stored.replace(b"--impersonate_service_account=launcher", b"")
    assert pickle.loads(stored).get_all_options()["impersonate_service_account"] is None
