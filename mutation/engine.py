"""mutmut in an environment of its own, on a copy of the checkout.

mutmut writes all mutants of a function beside it, imports the tests once, and forks a process for each
mutant: no mutant pays for an import, and one that breaks the interpreter breaks itself only.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutation.rooms import BUILD, COPIED, ROOMS, ROOT

LOCK = ROOT / "requirements" / "mutation.txt"
MEMORY_BYTES_MAX = 4_000_000_000
"""Of address space, for each process: a mutant that gathers for ever ends."""
TIMEOUT_FACTOR = 5
TIMEOUT_ADDED_S = 2
NICE = 19

KILLED, SURVIVED, TIMEOUT, UNTESTED = "killed", "survived", "timeout", "untested"
_VERDICTS = {
    0: SURVIVED,
    5: UNTESTED,
    33: UNTESTED,
    36: TIMEOUT,
    24: TIMEOUT,
    -24: TIMEOUT,
    152: TIMEOUT,
    255: TIMEOUT,
}
"""By how the process of a mutant ended; every other end is a test that failed, or a process that broke."""


class Unavailable(Exception):
    """The tool cannot be installed or run here."""


def environment() -> Path:
    """The Python that has the tool, and after it everything of this one; made once for each lock.

    Raises:
        Unavailable: It cannot be made here.
    """
    beneath = sysconfig.get_path("purelib")
    digest = hashlib.blake2b(LOCK.read_bytes() + beneath.encode(), digest_size=6).hexdigest()
    home = BUILD / f"env-{digest}"
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, stdout=sys.stderr)
        subprocess.run([str(python), *install], check=True, timeout=300, stdout=sys.stderr)
    except (subprocess.SubprocessError, OSError) as problem:
        raise Unavailable(f"the tool's environment cannot be made: {problem}") from None
    next(home.glob("lib/python*/site-packages")).joinpath("headland-dev.pth").write_text(f"{beneath}\n")
    (home / "ready").touch()
    return python


class Workspace:
    """A copy of the checkout in which the mutants of one room are made and judged.

    Attributes:
        log: What mutmut wrote last.
    """

    def __init__(self, python: Path, room: str) -> None:
        self.log = BUILD / f"{room}.log"
        self._python = python
        self._room = ROOMS[room]
        self._home = BUILD / room

    def prepare(self, again: bool) -> None:
        """Copy what is tested, and configure the tool.

        Args:
            again: Keep the mutants of modules that have not changed, and their verdicts.
        """
        if not again:
            shutil.rmtree(self._home, ignore_errors=True)
        left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")
        self._home.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self._home / name, ignore=left_out, dirs_exist_ok=True)
            else:
                shutil.copy2(source, self._home / name)
        settings = {
            "source_paths": "src",
            "only_mutate": self._room.modules,
            "also_copy": "\n  ".join(name for name in COPIED if name not in ("src", "tests")),
            "pytest_add_cli_args_test_selection": "\n  ".join(self._room.tests),
            "timeout_multiplier": str(TIMEOUT_FACTOR),
            "timeout_constant": str(TIMEOUT_ADDED_S),
            "track_dependencies": "false",
            "use_git_change_detection": "false",
        }
        lines = [f"{key} = {value}\n" for key, value in settings.items()]
        (self._home / "setup.cfg").write_text("[mutmut]\n" + "".join(lines))
        # It is on the path from the start, and Python remembers of a folder that it was not there.
        (self._home / "mutants" / "src").mkdir(parents=True, exist_ok=True)

    def names(self, paths: Sequence[Path]) -> dict[Path, list[str]]:
        """Every mutant of each module."""
        found: dict[str, list[str]] = self._ask("names", [str(path) for path in paths])
        return {Path(path): found[path] for path in found}

    def differences(self, mutants: Mapping[str, Path]) -> dict[str, list[str]]:
        """How each mutant differs: lines with their signs."""
        found: dict[str, list[str]] = self._ask(
            "differences", [f"{path} {name}" for name, path in mutants.items()]
        )
        return found

    def run(self, chosen: Sequence[str], children: int) -> None:
        """Judge the chosen mutants, or all that have no verdict yet if none is chosen.

        Raises:
            Unavailable: The tests fail without a mutant, or the tool itself failed.
        """
        with self.log.open("wb") as log:
            done = subprocess.run(
                [str(self._python), "-m", "mutmut", "run", "--max-children", str(children), *chosen],
                cwd=self._home, env=self._surroundings(), stdout=log, stderr=log,
                preexec_fn=_bounded, check=False,
            )  # fmt: skip
        if done.returncode:
            tail = self.log.read_text("utf-8", "replace").replace("\r", "\n").rstrip().split("\n")[-1]
            raise Unavailable(f"mutmut ended with {done.returncode} ({tail}); see {self.log}")

    def verdicts(self, path: Path) -> dict[str, str]:
        """The verdict of each judged mutant of a module."""
        kept = self._kept(path)
        codes = json.loads(kept.read_text())["exit_code_by_key"] if kept.exists() else {}
        return {name: _VERDICTS.get(code, KILLED) for name, code in codes.items() if code is not None}

    def judge_again(self, path: Path) -> None:
        """Forget the verdicts of a module's survivors: the tests may be others now."""
        kept = self._kept(path)
        if kept.exists():
            told = json.loads(kept.read_text())
            for name, verdict in self.verdicts(path).items():
                if verdict in (SURVIVED, UNTESTED):
                    told["exit_code_by_key"][name] = None
            kept.write_text(json.dumps(told))

    def _kept(self, path: Path) -> Path:
        return self._home / "mutants" / f"{path}.meta"

    def _ask(self, what: str, lines: Sequence[str]) -> dict[str, list[str]]:
        done = subprocess.run(
            [str(self._python), str(Path(__file__).with_name("inside.py")), what],
            cwd=self._home, env=self._surroundings(), input="\n".join(lines).encode(), stdout=subprocess.PIPE,
            preexec_fn=_bounded, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"mutmut could not tell {what}")
        answer: dict[str, list[str]] = json.loads(done.stdout)
        return answer

    def _surroundings(self) -> dict[str, str]:
        # Processes that a test starts find the mutants' tree too.
        tree = str(self._home / "mutants" / "src")
        return {**os.environ, "HEADLAND_PURE": "1", "PYTHONPATH": tree, "COLUMNS": "200"}


def _bounded() -> None:
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
