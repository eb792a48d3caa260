from __future__ import annotations

import shutil
import subprocess

import pytest
from sluice.cli.main import main


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_has_all_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for word in ("dead-letters", "redeliver", "dry-run", "windows.allowed-lateness"):
        assert word in text


def test_bash_completes_commands_options_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    asks = ""
    for words in ("sluice re", "sluice run --dr", "sluice check jo", "sluice completion "):
        given = words.split(" ")
        quoted = " ".join(f"'{word}'" for word in given)
        asks += f"COMP_WORDS=({quoted}); COMP_CWORD={len(given) - 1}; COMPREPLY=(); _shtab_sluice; "
        asks += 'echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(
        [bash, "--norc"],
        input=script("bash", capsys) + asks,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout.splitlines(), done.stderr) == (
        ["redeliver report", "--dry-run", "jobs", "bash zsh fish"],
        "",
    )


def test_other_shell_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    line = (
        "sluice completion: error: argument SHELL: invalid choice: 'tcsh' (choose from 'bash', 'zsh', 'fish')"
    )
    assert capsys.readouterr().err.splitlines()[-1] == line
