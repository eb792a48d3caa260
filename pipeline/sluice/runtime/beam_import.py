"""Imports Beam for a run on this machine, so that it starts in half of the time.

`import apache_beam` imports the clients of Google Cloud, AWS and MongoDB if they are there, whatever the run does; that
takes as long as all the rest of it. Beam works without them, as where its extras are not installed. Three other
packages, a fifth of the rest, it needs in a few functions only; they are imported when such a function is called.

To a DoFn Beam asks several times, when a graph is built and in each worker, what the arguments of all its methods are.
Most of these methods are Beam's own, the same for all DoFns, so each function is looked at once.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from types import FunctionType, MethodType, ModuleType
from typing import Any

from sluice.config.urls import Url

_CLOUD_PACKAGES = (
    "apitools.",
    "boto3.",
    "botocore.",
    "bson.",
    "google.api_core.",
    "google.auth.",
    "google.cloud.",
    "google.pubsub_v1.",
    "oauth2client.",
    "pymongo.",
)
"""What Beam imports of its extras `gcp`, `aws` and `mongodb`, and does without if it is missing, each with a point."""

_NEEDED_LATER = ("beartype", "beartype.door", "beartype.roar", "httplib2", "requests")
"""What Beam imports to compare unusual type hints, for its stager, and to ask where it runs on Google Cloud."""

_LOCAL = frozenset({"file", "http", "https"})
"""Schemes of sources that Sluice reads without Beam's file systems and without a cloud's clients."""


def import_beam(source: Url, beam_args: Sequence[str]) -> None:
    """Import Beam for a run that reads `source`: without its cloud packages, if `needs_cloud_packages` says so.

    For the rest of the process Beam then has neither its file systems of GCS and S3 nor its I/O of Google Cloud. What
    Sluice itself imports of these packages later, for a warehouse or a store, is as always. A process that has Beam
    keeps it as it is.
    """
    if needs_cloud_packages(source, beam_args):
        importlib.import_module("apache_beam")
    elif "apache_beam" not in sys.modules:
        with _cloud_packages_missing(), _imported_later():
            importlib.import_module("apache_beam")
    _look_at_functions_once()


def needs_cloud_packages(source: Url, beam_args: Sequence[str]) -> bool:
    """Tell whether Beam could need them: for files in buckets, for a stream, or with any option of Beam's."""
    scheme, separator, _ = source.reveal().partition("://")
    return bool(beam_args) or (bool(separator) and scheme not in _LOCAL)


def _look_at_functions_once() -> None:
    core = importlib.import_module("apache_beam.transforms.core")
    look_at = core.get_function_args_defaults
    if hasattr(look_at, "__wrapped__"):
        return

    @cache
    def arguments_of_method(function: FunctionType) -> tuple[list[str], list[Any]]:
        # Whatever it is bound to, as long as it is bound.
        arguments: tuple[list[str], list[Any]] = look_at(MethodType(function, object()))
        return arguments

    @wraps(look_at)
    def arguments_of(function: Any) -> tuple[list[str], list[Any]]:
        if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
            names, defaults = arguments_of_method(function.__func__)
        else:
            names, defaults = look_at(function)
        return list(names), list(defaults)

    vars(core)["get_function_args_defaults"] = arguments_of


class _Later(ModuleType):
    """Stands for a module that is imported when something in it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by Python while the stand-in is imported
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _imported_later() -> Iterator[None]:
    """Let what is imported have stand-ins for packages that are not there yet; nothing else ever gets them."""
    stand_ins = {name: _Later(name) for name in _NEEDED_LATER if name not in sys.modules}
    if "beartype.door" in stand_ins and "beartype.roar" in stand_ins:
        vars(stand_ins["beartype.door"])["is_subhint"] = _is_subhint
        vars(stand_ins["beartype.roar"])["BeartypeDoorException"] = Exception
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _is_subhint(sub: Any, base: Any) -> bool:
    """Do what beartype's function of this name does, and leave it to it from now on."""
    typehints = vars(importlib.import_module("apache_beam.typehints.typehints"))
    typehints["BeartypeDoorException"] = importlib.import_module("beartype.roar").BeartypeDoorException
    typehints["is_subhint"] = importlib.import_module("beartype.door").is_subhint
    is_subhint: bool = typehints["is_subhint"](sub, base)
    return is_subhint


class _Missing:
    """Finds, before all others, that a package is not there."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if f"{name}.".startswith(_CLOUD_PACKAGES):
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message, name=name)


@contextmanager
def _cloud_packages_missing() -> Iterator[None]:
    """Let imports fail as if the cloud packages were not installed; what Beam logs of that is not shown."""
    missing, root, disabled = _Missing(), logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    sys.meta_path.insert(0, missing)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers  # logging adds one when a library logs through the root logger
        sys.meta_path.remove(missing)
