"""The command line: lazily imported, exit 2 for usage, one JSON object on stdout."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headland import __version__
from headland.cli import COMMANDS
from headland.cli.group import main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_exists_and_explains_itself(name: str) -> None:
    module, help_line = COMMANDS[name]
    command = importlib.import_module(module).command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert help_line.endswith(".")
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.stderr
    assert not result.stdout


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from headland.cli import COMMANDS; from headland.cli.group import main;"
        "main(['--help'], standalone_mode=False);"
        "sys.exit(any(module in sys.modules for module, _ in COMMANDS.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_version_prints_exactly_one_json_object() -> None:
    result = CliRunner().invoke(main, ["version", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["version"] == __version__
    assert not result.stderr


def test_version_reads_well_for_people() -> None:
    result = CliRunner().invoke(main, ["version"])
    assert result.stdout.startswith(f"headland {__version__} (Python ")


def test_an_error_is_one_json_object_where_json_was_asked_for(tmp_path: Path) -> None:
    """Kills: a monitor that gets nothing to read just when the node is down."""
    wrong = tmp_path / "node.toml"
    wrong.write_text("[node]\nnmae = 'x'\n")
    for arguments, code in (
        (["status", "http://127.0.0.1:1", "--json"], 1),
        (["check", str(wrong), "--json"], 2),
        (["query", str(tmp_path / "none.toml"), "--json"], 2),
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        error = json.loads(result.stdout)["error"]
        assert error["message"]
        assert error["message"] in result.stderr
    result = CliRunner().invoke(main, ["check", str(wrong), "--json"])
    error = json.loads(result.stdout)["error"]
    assert (error["file"], error["path"]) == (f"{wrong}:2", "node.nmae")
    assert "name" in error["hint"]
    assert not CliRunner().invoke(main, ["check", str(wrong)]).stdout
