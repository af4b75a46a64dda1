"""Compiles the modules listed in compiled_modules.txt with mypyc, into .build/compiled. An optimisation only.

    compile_mypyc.py                    compile what is stale; always exits 0
    compile_mypyc.py --is-current       exit 0 when there is nothing to do
    compile_mypyc.py --install-finder   make this interpreter import the results (a .pth file beside pip's)
    compile_mypyc.py --list             print name and state of each module

Each module is compiled alone, in a copy of the source tree, and its libraries are recorded together with the
digests of the module and of everything of ours that it imports (mypyc inlines constants across modules). The
import hook, compiled_finder.py, checks those digests. A failed attempt is recorded with its digests too, so
it is not repeated until a source changes. Nothing is committed, nothing is left in src/.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from compiled_finder import digest_of, is_fresh, read_manifest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
LISTED = ROOT / "tools" / "compiled_modules.txt"
# Per interpreter and machine: one checkout may be used from several.
TARGET = ROOT / ".build" / "compiled" / f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
MANIFEST = TARGET / "manifest.json"
COMPILE_TIMEOUT_S = 300
SETUP = """
from mypyc.build import mypycify
from setuptools import setup
setup(name="headland-compiled", ext_modules=mypycify({arguments!r}))
"""


def main() -> int:
    """Runs one of the actions in the module's docstring."""
    parser = argparse.ArgumentParser(description="compile the listed modules with mypyc")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--is-current", action="store_true")
    action.add_argument("--install-finder", action="store_true")
    action.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.install_finder:
        install_finder()
    elif arguments.is_current:
        return 1 if stale_modules() else 0
    elif arguments.list:
        for name in listed_modules():
            print(name, state_of(name))
    else:
        compile_stale()
    return 0


def listed_modules() -> list[str]:
    """The names in compiled_modules.txt whose source exists."""
    lines = (line.partition("#")[0].strip() for line in LISTED.read_text().splitlines())
    return [line for line in lines if line and source_of(line) is not None]


def source_of(name: str) -> Path | None:
    """The file of a module or package of ours."""
    path = SOURCE.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def state_of(name: str) -> str:
    """`compiled`, `failed` or `stale`."""
    entry = read_manifest(MANIFEST).get(name, {})
    if entry.get("failed") and entry.get("digests") == source_digests(name):
        return "failed"
    return "compiled" if is_fresh(entry) and entry.get("digests") == source_digests(name) else "stale"


def stale_modules() -> list[str]:
    """Listed modules that need compiling; none where there is no compiler."""
    if not has_compiler():
        return []
    return [name for name in listed_modules() if state_of(name) == "stale"]


def has_compiler() -> bool:
    """Whether there is a C compiler and Python's headers."""
    compiler = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return headers.is_file() and bool(shutil.which(compiler) or shutil.which("cc"))


def source_digests(name: str) -> dict[str, str | None]:
    """Digests of the module's file, of every file of ours that it imports, directly or not, and of this one."""
    waiting, found = [name], {str(Path(__file__).resolve()): digest_of(Path(__file__))}
    while waiting:
        module = waiting.pop()
        path = source_of(module)
        if path is not None and str(path) not in found:
            found[str(path)] = digest_of(path)
            waiting += imported_by(path)
    return dict(sorted(found.items()))


def imported_by(path: Path) -> list[str]:
    """The names of ours that a file imports. `from a import b` may name a module b, so both are given."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == "headland"]


def compile_stale() -> None:
    """Compiles what is stale and says on stderr what came of it."""
    for name in stale_modules():
        digests = source_digests(name)
        print(f"dev: compiling {name} with mypyc", file=sys.stderr)
        libraries, story = compile_module(name, digests)
        entry: dict[str, object] = {"digests": digests, "libraries": libraries, "failed": not libraries}
        write_manifest({**read_manifest(MANIFEST), name: entry})
        if not libraries:
            log = TARGET / f"{name}.log"
            log.write_text(story)
            print(f"dev: {name} did not compile and runs as plain Python; see {log}", file=sys.stderr)


def compile_module(name: str, digests: dict[str, str | None]) -> tuple[dict[str, str], str]:
    """Compiles one module in a scratch copy of the source.

    Returns:
        The paths of its libraries by import name, empty when that failed; and what the compiler had to say.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET, prefix="scratch-") as scratch:
        copy = Path(scratch) / "src"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        module = Path(*name.split(".")).with_suffix(".py")
        # Run inside the copy, where mypy finds `headland`; imports are followed for types, not compiled.
        script = SETUP.format(arguments=["--ignore-missing-imports", str(module)])
        done = run([sys.executable, "-c", script, "-q", "build_ext", "--inplace"], copy, COMPILE_TIMEOUT_S)
        built = sorted(copy.rglob("*.so"))
        if done.returncode or not built:
            return {}, done.stdout
        # A new folder for each source: a running process keeps the libraries it has mapped.
        kept = TARGET / f"{name}-{(digests[str(SOURCE / module)] or '')[:16]}"
        kept.mkdir(exist_ok=True)
        libraries = {}
        for library in built:
            staged = kept / f"{library.name}.new"
            shutil.copy2(library, staged)
            staged.replace(kept / library.name)
            package = ".".join(library.parent.relative_to(copy).parts)
            libraries[f"{package}.{library.name.partition('.')[0]}"] = str(kept / library.name)
        tried = try_import(name, libraries)
        return (libraries if tried.returncode == 0 else {}), done.stdout + tried.stdout


def try_import(name: str, libraries: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Imports the fresh libraries in another process: what cannot be imported must not be chosen."""
    script = (
        "import importlib, importlib.machinery as m, importlib.util as u, sys\n"
        f"libraries = {libraries!r}\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if file := libraries.get(name):\n"
        "            return u.spec_from_file_location(name, file, loader=m.ExtensionFileLoader(name, file))\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"assert importlib.import_module({name!r}).__file__.endswith('.so')\n"
    )
    return run([sys.executable, "-c", script], SOURCE, timeout_s=60)


def run(command: list[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Runs a command, its errors in its output; one that takes too long has failed, like any other."""
    environment = {**os.environ, "HEADLAND_PURE": "1"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, returncode=1, stdout=str(error), stderr="")


def write_manifest(entries: dict[str, dict[str, object]]) -> None:
    """Replaces the manifest in one step; a reader sees the old one or the new one."""
    staged = MANIFEST.with_suffix(".new")
    staged.write_text(json.dumps(entries, indent=1))
    staged.replace(MANIFEST)


def install_finder() -> None:
    """Copies the import hook into site-packages and starts it from a .pth file."""
    site = Path(sysconfig.get_paths()["purelib"])
    shutil.copyfile(ROOT / "tools" / "compiled_finder.py", site / "_headland_compiled_finder.py")
    line = f"import _headland_compiled_finder; _headland_compiled_finder.install({str(MANIFEST)!r})\n"
    (site / "headland_compiled.pth").write_text(line)


if __name__ == "__main__":
    sys.exit(main())
