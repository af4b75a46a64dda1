"""The documents keep up with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_generated_documents_say_what_the_code_says() -> None:
    command = [sys.executable, ROOT / "tools" / "docs.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_core_dependency_has_its_reason_written_down() -> None:
    reasons = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    pyproject = (ROOT / "pyproject.toml").read_text()
    for section in ("dependencies", "rules", "demo"):
        listed = re.search(rf"^{section} = \[(.*?)\]", pyproject, re.DOTALL | re.MULTILINE)
        assert listed is not None
        for name in re.findall(r'"([A-Za-z0-9-]+)', listed[1]):
            assert name in reasons, f"{name}: say in docs/decisions/0002-dependencies.md why it is here"


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(len(numbers)))


def test_the_workbench_script_documents_every_command_it_takes() -> None:
    script = (ROOT / "dev").read_text()
    taken = set(re.findall(r"^  ([a-z]+)\) ", script, re.MULTILINE))
    usage = script.split("TEXT")[1]
    assert taken
    assert all(re.search(rf"^  {name}\b", usage, re.MULTILINE) for name in taken)
