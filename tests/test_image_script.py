"""scripts/image with Docker, and scripts/terraform lock: what they ask of the programs that they call."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.clouds import ROOT, Clouds, problems

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
BASES = [
    "python:3.11.13-slim-bookworm",
    "golang:1.24.4-bookworm",
    "gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00",
]


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    made = Clouds(tmp_path)
    for file in (
        "scripts/image",
        "scripts/terraform",
        "tools/base_images/engine.sh",
        "deploy/sbom.py",
        "Dockerfile",
    ):
        (made.root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, made.root / file)
    return made


def bases(dockerfile: Path) -> list[str]:
    """Return what stands for the three base images."""
    return re.findall(r"(?m)^ARG (?:PYTHON|GO|LAUNCHER)=(.*)$", dockerfile.read_text("utf-8"))


def test_image_is_built_listed_and_tried_with_docker(clouds: Clouds) -> None:
    clouds.program("docker", 'case "$*" in *sbom.py*) echo "{}" ;; esac')
    done = clouds.run("scripts/image")
    assert (done.returncode, done.stderr) == (0, "")
    _, _, build, listed, tried = clouds.called()
    assert build == [
        "docker",
        "build",
        "--platform=linux/amd64",
        "--target=dataflow",
        "--tag=sluice:1.2.3",
        ".",
    ]
    assert problems(build) == []
    assert listed[-4:] == ["sluice:1.2.3", "/sbom.py", "sluice", "1.2.3"]
    assert tried[-3:] == ["sluice:1.2.3", "run", "jobs/backend_events.yaml"]
    assert (clouds.root / "out/sluice-1.2.3.cdx.json").read_text() == "{}\n"


def test_image_that_does_not_replay_the_history_is_not_said_to_be_built(clouds: Clouds) -> None:
    clouds.program("docker", 'case "$*" in *"run jobs/backend_events.yaml") exit 1 ;; esac')
    done = clouds.run("scripts/image")
    assert (done.returncode, done.stdout) == (1, "")


def test_digests_of_all_base_images_are_renewed(clouds: Clouds) -> None:
    clouds.program("docker", f'case "$*" in *" inspect "*) echo {DIGEST} ;; esac')
    done = clouds.run("scripts/image renew")
    assert (done.returncode, done.stderr) == (0, "")
    asked = [call for call in clouds.called() if "inspect" in call]
    ask = ["docker", "buildx", "imagetools", "inspect"]
    assert asked == [[*ask, base, "--format", "{{.Manifest.Digest}}"] for base in BASES]
    tags = [base.rpartition(":")[2] for base in BASES]
    assert bases(clouds.root / "Dockerfile") == [f"{tag}@{DIGEST}" for tag in tags]
    assert bases(ROOT / "Dockerfile")[:2] != bases(clouds.root / "Dockerfile")[:2]


@pytest.mark.parametrize(
    ("docker", "message"),
    [
        ("echo", "image: python:3.11.13-slim-bookworm: expected a digest such as sha256:…, got ''\n"),
        ("exit 1", ""),
    ],
)
def test_digest_that_is_none_leaves_the_dockerfile_as_it_is(
    clouds: Clouds, docker: str, message: str
) -> None:
    clouds.program("docker", f'case "$*" in *" inspect "*) {docker} ;; esac')
    done = clouds.run("scripts/image renew")
    assert (done.returncode, done.stderr) == (1, message)
    assert (clouds.root / "Dockerfile").read_bytes() == (ROOT / "Dockerfile").read_bytes()


def test_providers_are_locked_for_the_machines_of_ci_and_developers(clouds: Clouds) -> None:
    done = clouds.run("scripts/terraform lock")
    assert (done.returncode, done.stderr) == (0, "")
    init, lock = clouds.called()
    assert init == ["terraform", "init", "-backend=false", "-input=false"]
    platforms = ["linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"]
    assert lock == ["terraform", "providers", "lock", *(f"-platform={platform}" for platform in platforms)]
    assert problems(lock) == []
