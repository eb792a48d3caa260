"""terraform/: its form, its roles and secrets, and what checkov says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from devservers.tools import require_path, require_program

ROOT = Path(__file__).parents[1]
TERRAFORM = ROOT / "terraform"
FILES = sorted(TERRAFORM.rglob("*.tf"))
TESTS = sorted(TERRAFORM.rglob("*.tftest.hcl"))
MODULES = sorted(path for path in (TERRAFORM / "modules").iterdir() if path.is_dir())


def named(path: Path) -> str:
    return str(path.relative_to(TERRAFORM))


def text_of(pattern: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(TERRAFORM.glob(pattern)))


class TestStyle:
    def test_terraform_is_formatted(self) -> None:
        command = [require_program("terraform"), "fmt", "-check", "-recursive", "-list=true"]
        done = subprocess.run(command, cwd=TERRAFORM, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "")

    def test_tables_of_the_readmes_are_up_to_date(self) -> None:
        command = [require_program("terraform-docs"), "--output-check", "."]
        done = subprocess.run(command, cwd=TERRAFORM, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"run: scripts/terraform docs\n{done.stdout}{done.stderr}"
        assert done.stdout.count("is up to date") == 1 + len(MODULES)

    @pytest.mark.parametrize("folder", [TERRAFORM, *MODULES], ids=named)
    def test_versions_are_pinned(self, folder: Path) -> None:
        text = (folder / "versions.tf").read_text("utf-8")
        providers = re.findall(r"source\s+= \"hashicorp/([\w-]+)\"\s+version = \"([^\"]+)\"", text)
        assert providers[0] == ("google", "~> 7.33")
        assert set(providers) <= {("google", "~> 7.33"), ("google-beta", "~> 7.33")}

    @pytest.mark.parametrize("path", FILES, ids=named)
    def test_variables_and_outputs_are_described_and_typed(self, path: Path) -> None:
        for kind, name, body in blocks(path):
            if kind not in ("variable", "output"):
                continue
            assert re.search(r"^  description = ", body, re.MULTILINE), f"{kind} {name}: no description"
            if kind == "variable":
                assert re.search(r"^  type\s+= ", body, re.MULTILINE), f"variable {name}: no type"
                may_be_null = re.search(r"^  default\s+= null$", body, re.MULTILINE) is not None
                assert (
                    ("nullable" not in body)
                    if may_be_null
                    else re.search(r"^  nullable\s+= false$", body, re.MULTILINE)
                ), name

    @pytest.mark.parametrize("module", MODULES, ids=named)
    def test_modules_are_tested_and_used(self, module: Path) -> None:
        assert f'source = "./modules/{module.name}"' in (
            TERRAFORM / f"tests/{module.name}.tftest.hcl"
        ).read_text("utf-8")
        assert f'source   = "./modules/{module.name}"' in text_of("*.tf") or (
            f'source = "./modules/{module.name}"' in text_of("*.tf")
        )

    @pytest.mark.parametrize("path", TESTS, ids=named)
    def test_service_account_mocks_have_their_name(self, path: Path) -> None:
        """A made-up member would not be one that IAM takes."""
        text = path.read_text("utf-8")
        assert "mock_provider" in text
        if re.search(r'source = "./modules/iam"', text) or "module {" not in text:
            assert re.search(r"member = \"serviceAccount:", text)
            assert re.search(r"email  = \"", text)

    def test_roles_are_minimal(self) -> None:
        roles = set(
            re.findall(r"roles/[\w.]+", "\n".join(path.read_text("utf-8") for path in TERRAFORM.glob("*.tf")))
        )
        assert roles == ROLES

    @pytest.mark.parametrize("path", [*FILES, *TESTS, ROOT / "scripts/deploy"], ids=lambda path: path.name)
    def test_no_secret_is_in_terraform(self, path: Path) -> None:
        assert re.findall(SECRET, path.read_text("utf-8")) == []


@pytest.mark.long
def test_checkov_reports_nothing() -> None:
    checkov = str(require_path("lint/bin/checkov"))
    command = [
        checkov,
        "--directory",
        "terraform",
        "--framework",
        "terraform",
        "--quiet",
        "--compact",
        "--skip-download",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "Failed checks: 0" in done.stdout or done.stdout.strip() == ""


ROLES = {
    "roles/artifactregistry.reader",
    "roles/artifactregistry.writer",
    "roles/bigquery.dataEditor",
    "roles/bigquery.dataViewer",
    "roles/bigquery.jobUser",
    "roles/cloudkms.cryptoKeyEncrypterDecrypter",
    "roles/dataflow.developer",
    "roles/dataflow.worker",
    "roles/pubsub.publisher",
    "roles/pubsub.subscriber",
    "roles/pubsub.viewer",
    "roles/secretmanager.secretAccessor",
    "roles/storage.legacyBucketReader",
    "roles/storage.objectCreator",
    "roles/storage.objectUser",
    "roles/storage.objectViewer",
}
"""All that Terraform grants."""

SECRET = r"-----BEGIN|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|ya29\.|xox[baprs]-|gh[pousr]_[0-9A-Za-z]{36}"
"""Private keys, and what keys of AWS, Google, Slack and GitHub begin with."""


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """Return kind, name and body of the outermost blocks with one label; `terraform fmt` puts their end at column 0."""
    rows = re.findall(r'^(\w+) "(\w+)" \{\n(.*?)^\}', path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(kind, name, body) for kind, name, body in rows]
