"""Where the peers are installed: `.build/peers/`, each from its lock, once for each state of the lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benches.servers import Unavailable

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".build" / "peers"
PYTHON_LOCK = ROOT / "requirements" / "peers.txt"
NODE_LOCK = Path(__file__).with_name("node_red") / "package-lock.json"
INSTALL_S = 600.0


def python() -> Path:
    """`bin` of the environment of peers that come from PyPI.

    Raises:
        Unavailable: It cannot be made here.
    """
    return _made("python", PYTHON_LOCK, _install_python) / "bin"


def node_red() -> Path:
    """The directory in which Node-RED's `node_modules` is.

    Raises:
        Unavailable: There is no npm, or it cannot install it.
    """
    return _made("node-red", NODE_LOCK, _install_node_red)


def _install_python(home: Path) -> list[list[str]]:
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    return [
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(home / "bin" / "python"), *install, "-r", str(PYTHON_LOCK)],
    ]


def _install_node_red(home: Path) -> list[list[str]]:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed (on Debian: apt install nodejs npm)")
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_LOCK.with_name(name), home / name)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", "--loglevel=error"]
    return [[npm, "ci", "--prefix", str(home), *quiet]]


def _made(kind: str, lock: Path, plan: Callable[[Path], list[list[str]]]) -> Path:
    digest = hashlib.blake2b(lock.read_bytes(), digest_size=6).hexdigest()
    home = PLACE / f"{kind}-{digest}"
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / f"{kind}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            for command in plan(home):
                _run(command, kind)
            (home / "ready").touch()
    return home


def _run(command: list[str], kind: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=INSTALL_S, env={**os.environ, "CI": "1"}
        )
    except (subprocess.SubprocessError, OSError) as problem:
        raise Unavailable(f"{kind} cannot be installed: {problem}") from None
    if done.returncode:
        raise Unavailable(f"{kind} cannot be installed: {done.stderr.decode(errors='replace')[-400:]}")
