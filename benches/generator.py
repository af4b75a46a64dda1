"""The load generator in C (`load.c`): compiled on first use, run, and its one object read back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("load.c")


class NoCompiler(RuntimeError):
    """There is no C compiler on this machine."""

    def __init__(self) -> None:
        super().__init__("no C compiler (cc, gcc or clang) found; on Debian: apt install gcc libc6-dev")


def program(source: Path = SOURCE) -> Path:
    """A compiled generator; its name carries the digest of its source.

    Raises:
        NoCompiler: There is no compiler.
    """
    digest = hashlib.blake2b(source.read_bytes(), digest_size=6).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headland"
    built = cache / f"load-{digest}"
    if built.exists():
        return built
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler
    cache.mkdir(parents=True, exist_ok=True)
    fresh = cache / f"load-{digest}.{os.getpid()}"
    subprocess.run([compiler, "-O2", "-o", str(fresh), str(source)], check=True)
    fresh.rename(built)
    return built


def arguments(mode: str, options: dict[str, object]) -> list[str]:
    """The command line: `id_base=5` becomes `--id-base 5`."""
    line = [str(program()), mode]
    for name, value in options.items():
        line += [f"--{name.replace('_', '-')}", str(value)]
    return line


def load(port: int, **options: object) -> dict[str, float]:
    """Run in load mode to its end."""
    return _run("load", {"port": port, **options})


def probe(port: int, **options: object) -> dict[str, float]:
    """Run in probe mode to its end."""
    return _run("probe", {"port": port, **options})


def started(mode: str, port: int, **options: object) -> subprocess.Popen[bytes]:
    """Run beside something else; `finished` reads what it found."""
    return subprocess.Popen(arguments(mode, {"port": port, **options}), stdout=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes], timeout_s: float = 60.0) -> dict[str, float]:
    """The object that a started generator printed."""
    out, _ = process.communicate(timeout=timeout_s)
    if process.returncode:
        raise RuntimeError(f"the load generator failed with {process.returncode}: {out.decode()[:200]}")
    found: dict[str, float] = json.loads(out)
    return found


def _run(mode: str, options: dict[str, object]) -> dict[str, float]:
    port = options.pop("port")
    assert isinstance(port, int)
    process = started(mode, port, **options)
    seconds = options.get("seconds", 5.0)
    assert isinstance(seconds, int | float)
    return finished(process, float(seconds) + 60.0)
