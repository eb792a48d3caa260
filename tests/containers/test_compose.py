"""compose.yaml and the Dockerfile: what can be known of them without running them."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from devservers.tools import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_no_rights_and_cannot_write_to_its_image(service: str) -> None:
    settings = SERVICES[service]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["read_only"] is (service != "kafka")
    assert settings.get("cap_add", []) == (["FOWNER"] if service == "out" else [])


def test_pages_of_prefect_are_written_to_its_volume() -> None:
    settings = SERVICES["prefect"]
    (volume,) = (volume.partition(":")[2] for volume in settings["volumes"])
    assert settings["environment"]["PREFECT_UI_STATIC_DIRECTORY"].startswith(f"{volume}/")


def test_leases_of_slots_outlive_the_server_of_prefect() -> None:
    name, module = (
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
        "prefect.server.concurrency.lease_storage.filesystem",
    )
    assert SERVICES["prefect"]["environment"][name] == module
    assert f"export {name}={module}\n" in (ROOT / "scripts/prefect").read_text("utf-8")
    assert re.search(r"PREFECT_HOME=/sluice/out/prefect ", DOCKERFILE)
    assert "prefect:/sluice/out/prefect" in SERVICES["prefect"]["volumes"]


@pytest.mark.parametrize("service", SERVICES)
def test_image_is_pinned_or_built_by_a_target_of_the_dockerfile(service: str) -> None:
    settings = SERVICES[service]
    if "build" not in settings:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\S*", settings["image"])
        return
    target = settings["build"]["target"]
    assert settings["image"] == f"sluice-{target}"
    assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("target", ["cli", "live", "dbt", "prefect", "airflow"])
def test_target_does_not_run_as_root(target: str) -> None:
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    stage = stages["cli" if target == "live" else target]
    assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001"]


def test_password_is_in_the_environment_alone() -> None:
    places = [
        (service, key)
        for service, settings in SERVICES.items()
        for key in settings
        if "PASSWORD" in str(settings[key])
    ]
    assert {key for _, key in places} == {"environment"}


def test_every_variable_is_in_the_example_and_only_the_password_has_no_default() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    variables = dict(re.findall(r"(?<!\$)\$\{(\w+):([-?][^}]*)\}", text))
    assert variables.keys() == example.keys()
    without_default = {name for name, default in variables.items() if default.startswith("?")}
    assert without_default == {"POSTGRES_PASSWORD"}
    defaults = {name: default[1:] for name, default in variables.items() if name not in without_default}
    assert defaults == {name: example[name] for name in defaults}


def test_git_ignores_the_file_of_the_password() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_runtime_lock_has_every_extra_but_that_of_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (listed,) = re.findall(r"^extras=\((.*)\)$", (ROOT / "scripts/lock").read_text("utf-8"), re.MULTILINE)
    assert set(listed.split()) == project["optional-dependencies"].keys() - {"dev"}


def test_runtime_lock_has_versions_of_the_lock_and_no_tools_of_developers() -> None:
    pins = re.compile(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", re.MULTILINE)
    everything = set(pins.findall((ROOT / "requirements.lock").read_text("utf-8")))
    installed = set(pins.findall((ROOT / "requirements-runtime.lock").read_text("utf-8")))
    assert installed < everything
    assert {"pytest", "mypy", "ruff", "moto", "hypothesis"}.isdisjoint(dict(installed))
    assert {"apache-beam", "adbc-driver-postgresql", "confluent-kafka", "pymongo"} <= dict(installed).keys()
