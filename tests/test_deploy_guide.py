"""docs/how-to/deploy.md: its commands, in their order, with programs that take the options of the real ones."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from deploy import command_options
from tests.clouds import OPTIONS, ROOT, SETTINGS, Clouds, problems


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    return Clouds(tmp_path)


def guide() -> list[tuple[str, str]]:
    """Return page and command, of all that a reader of the guide is told to run."""
    pages = (ROOT / "docs/how-to/deploy.md", ROOT / "terraform/README.md")
    return [
        (page.name, line)
        for page in pages
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
    ] + [
        (str(page.relative_to(ROOT)), line.removeprefix("#").strip())
        for page in sorted((ROOT / "terraform/examples").glob("*.tfvars"))
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("#   scripts/")
    ]


class TestGuide:
    def test_every_command_is_one_that_its_program_takes(self, clouds: Clouds) -> None:
        """The guide is followed in its order, from an empty project, with programs that write down their arguments."""
        (clouds.root / "out/deploy.env").unlink()
        (clouds.root / "schemas").symlink_to(ROOT / "schemas")
        shutil.copy(ROOT / "deploy/canary.odcs.yaml", clouds.root / "deploy")
        (clouds.root / "release/contracts").mkdir(parents=True)
        clouds.program("terraform", f'case "$*" in *" output "*) printf %s {shlex.quote(SETTINGS)} ;; esac')
        clouds.program("bq", "echo 10")
        drained = clouds.calls.parent / "drained"
        answers = [
            f'*" drain "*) touch "{drained}" ;;',
            f'*" jobs describe "*) state=RUNNING; rm "{drained}" 2>&- && state=DRAINED',
            'echo "JOB_TYPE_STREAMING,JOB_STATE_$state" ;;',
            '*"subscriptions describe"*) echo projects/shop-prod-1/topics/backend-events-topic ;;',
            '*"storage ls "*) echo "$3" ;;',
            '*"storage cp -"* | *"--data-file=-"*) cat >/dev/null ;;',
        ]
        clouds.jobs("", more="\n".join(answers))
        for name in ("sluice", "git"):
            clouds.program(name, "")
        commands = guide()
        assert len(commands) > 25
        for page, command in commands:
            done = clouds.run(command)
            assert done.returncode == 0, f"{page}: {command}\n{done.stderr}"
        found = [
            problem
            for call in clouds.called()
            if call[0] not in ("sluice", "git")
            for problem in problems(call)
        ]
        assert found == []

    def test_option_lists_are_those_of_the_programs(self) -> None:
        """A program of another version may take more; it still takes what is used here."""
        assert set(OPTIONS) == set(command_options.COMMANDS)

    def test_diagram_and_its_text_show_what_is_listed(self) -> None:
        text = (ROOT / "docs/how-to/deploy.md").read_text("utf-8")
        ((shown, table),) = re.findall(
            r"\n## What is created\n+(```mermaid.*?)\n(\| resource.*?)\n\n", text, re.DOTALL
        )
        listed = {
            name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split(" | ")[-1])
        }
        assert len(listed) > 15
        assert listed - set(re.findall(r"[\w-]+", shown)) == set()

    @pytest.mark.parametrize(
        "call",
        [
            ["gcloud", "dataflow", "flex-template", "run", "j", "--parameter=a=b"],
            ["terraform", "-chdir=terraform", "destroy", "-varfile=x"],
            ["docker", "push", "--platforms=linux"],
            ["bq", "query", "--use_legacy=false", "select 1"],
        ],
    )
    def test_misspelt_option_is_found(self, call: list[str]) -> None:
        assert len(problems(call)) == 1


class TestChecks:
    def test_all_modules_are_validated_and_all_examples_planned(self, clouds: Clouds) -> None:
        """scripts/terraform, with a Terraform that writes down its arguments."""
        shutil.copy(ROOT / "scripts/terraform", clouds.root / "scripts")
        for folder in ("modules", "examples"):
            shutil.copytree(ROOT / "terraform" / folder, clouds.root / "terraform" / folder)
        done = clouds.run("scripts/terraform")
        assert (done.returncode, done.stderr) == (0, "")
        called = clouds.called()
        modules = sorted(path.name for path in (ROOT / "terraform/modules").iterdir())
        assert [call[1] for call in called if call[-1] == "validate"] == [
            "-chdir=.",
            *(f"-chdir=modules/{module}" for module in modules),
        ]
        examples = sorted(path.name for path in (ROOT / "terraform/examples").iterdir())
        assert [
            [word for word in call if word.startswith("-var-file=")] for call in called if "plan" in call
        ] == [
            [],
            *([f"-var-file=examples/{example}"] for example in examples),
        ]
        assert [call for call in called if call[1] == "test"] == [["terraform", "test"]]
