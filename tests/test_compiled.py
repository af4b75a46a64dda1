"""Compiled or not, a module keeps the same laws: its room's tests are run again with the compiled one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def compiled_modules() -> list[str]:
    """The modules that have a usable compiled copy here."""
    script = ROOT / "tools" / "compile_mypyc.py"
    listing = subprocess.run(
        [sys.executable, script, "--list"], capture_output=True, text=True, timeout=60, check=True
    )
    groups = [
        line.removesuffix(": compiled") for line in listing.stdout.splitlines() if line.endswith(": compiled")
    ]
    return [name for group in groups for name in group.split()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_compiled_modules_pass_the_tests_of_their_rooms() -> None:
    modules = compiled_modules()
    rooms = sorted({ROOT / "tests" / name.split(".")[1] for name in modules})
    rooms = [room for room in rooms if room.is_dir()]
    if not rooms:
        pytest.skip("nothing is compiled here: no C compiler, it failed, or ./dev has not run since an edit")
    environment = {name: value for name, value in os.environ.items() if name != "HEADLAND_PURE"}
    proof = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: assert importlib.import_module(name).__file__.endswith('.so')"
    )
    subprocess.run([sys.executable, "-c", proof, *modules], env=environment, timeout=60, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *rooms],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    no_tests_yet = 5
    assert done.returncode in (0, no_tests_yet), done.stdout[-20_000:] + done.stderr[-5_000:]
