"""Compiles the modules listed in compiled_modules.txt with mypyc, into .build/compiled. An optimisation only.

    compile_mypyc.py                    compile what is stale; always exits 0
    compile_mypyc.py --is-current       exit 0 when there is nothing to do
    compile_mypyc.py --install-finder   make this interpreter import the results (a .pth file beside pip's)
    compile_mypyc.py --list             print each group and its state

Each line's modules are compiled together, in a copy of the source tree, and the libraries are recorded with
the digests of the modules and of everything of ours that they import: mypyc inlines constants across modules.
The import hook, compiled_finder.py, checks those digests. A failed attempt is recorded with its digests, and
not repeated until a source changes. Nothing is committed, nothing is left in src/.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
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
        return 1 if stale_groups() else 0
    elif arguments.list:
        for group in listed_groups():
            print(f"{group}: {state_of(group)}")
    else:
        compile_stale()
    return 0


def listed_groups() -> list[str]:
    """The lines of compiled_modules.txt whose sources all exist, names separated by one blank."""
    lines = (line.partition("#")[0].split() for line in LISTED.read_text().splitlines())
    return [" ".join(names) for names in lines if names and all(map(source_of, names))]


def source_of(name: str) -> Path | None:
    """The file of a module or package of ours."""
    path = SOURCE.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def state_of(group: str) -> str:
    """`compiled`, `failed` or `stale`."""
    entry = read_manifest(MANIFEST).get(group, {})
    if entry.get("digests") != source_digests(group):
        return "stale"
    if entry.get("failed"):
        return "failed"
    return "compiled" if is_fresh(entry) else "stale"


def stale_groups() -> list[str]:
    """Listed groups that need compiling; none where there is no compiler."""
    return [group for group in listed_groups() if state_of(group) == "stale"] if has_compiler() else []


def has_compiler() -> bool:
    """Whether there is a C compiler and Python's headers."""
    compiler = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return headers.is_file() and bool(shutil.which(compiler) or shutil.which("cc"))


def source_digests(group: str) -> dict[str, str | None]:
    """Digests of the modules, of all of ours that they import, directly or not, and of this script."""
    waiting, found = group.split(), {str(Path(__file__).resolve()): digest_of(Path(__file__))}
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
    for group in stale_groups():
        digests = source_digests(group)
        print(f"dev: compiling {group} with mypyc", file=sys.stderr)
        libraries, story = compile_group(group, digests)
        entry: dict[str, object] = {"digests": digests, "libraries": libraries, "failed": not libraries}
        # Groups no longer listed are forgotten, or a stale pair of them could claim the same module.
        kept = {name: old for name, old in read_manifest(MANIFEST).items() if name in listed_groups()}
        write_manifest({**kept, group: entry})
        if not libraries:
            log = TARGET / f"{group.split()[0]}.log"
            log.write_text(story)
            print(f"dev: that failed, so it runs as plain Python; see {log}", file=sys.stderr)


def compile_group(group: str, digests: dict[str, str | None]) -> tuple[dict[str, str], str]:
    """Compiles modules together in a scratch copy of the source.

    Returns:
        The paths of the libraries by import name, empty when that failed; and what the compiler had to say.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET, prefix="scratch-") as scratch:
        copy = Path(scratch) / "src"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        modules = [str(path.relative_to(SOURCE)) for name in group.split() if (path := source_of(name))]
        # Run inside the copy, where mypy finds `headland`; imports are followed for types, not compiled.
        script = SETUP.format(arguments=["--ignore-missing-imports", *modules])
        done = run([sys.executable, "-c", script, "-q", "build_ext", "--inplace"], copy, COMPILE_TIMEOUT_S)
        # setuptools leaves a second copy of each in build/.
        built = [path for path in sorted(copy.rglob("*.so")) if path.relative_to(copy).parts[0] != "build"]
        if done.returncode or not built:
            return {}, done.stdout
        # A new folder for each state of the sources: a running process keeps the libraries it has mapped.
        state = hashlib.sha256(json.dumps([group, digests]).encode()).hexdigest()[:16]
        libraries = {}
        for library in built:
            within = library.relative_to(copy)
            kept = TARGET / state / within
            kept.parent.mkdir(parents=True, exist_ok=True)
            staged = kept.with_suffix(".new")
            shutil.copy2(library, staged)
            staged.replace(kept)
            libraries[".".join([*within.parent.parts, within.name.partition(".")[0]])] = str(kept)
        tried = try_import(group, libraries)
        return (libraries if tried.returncode == 0 else {}), done.stdout + tried.stdout


def try_import(group: str, libraries: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Imports the fresh libraries in another process: what cannot be imported must not be chosen."""
    script = (
        "import importlib, importlib.machinery as m, importlib.util as u, sys\n"
        f"libraries = {libraries!r}\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if file := libraries.get(name):\n"
        "            return u.spec_from_file_location(name, file, loader=m.ExtensionFileLoader(name, file))\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"for name in {group.split()!r}:\n"
        "    assert importlib.import_module(name).__file__.endswith('.so')\n"
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
