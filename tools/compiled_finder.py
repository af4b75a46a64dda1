"""Import hook that prefers a compiled copy of a module, as long as it was made from exactly today's source.

`tools/compile_mypyc.py --install-finder` puts it into the virtual environment.
The manifest, `.build/compiled/<interpreter>/manifest.json`, has an entry for each group of modules compiled
together. mypyc makes a library for each module, and one with the code they all stand in front of.

    {"headland.mqtt.codec": {
        "libraries": {"headland.mqtt.codec": "/.../codec.cpython-311-x86_64-linux-gnu.so",
                      "headland.mqtt.codec__mypyc": "/.../codec__mypyc.cpython-311-x86_64-linux-gnu.so"},
        "digests": {"/.../codec.py": "<sha256>", ...},
        "failed": false}}

A group any of whose sources has changed since is ignored, never an error: the plain modules are imported.
`HEADLAND_PURE=1` switches the hook off.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class CompiledFinder:
    """A meta path finder over one manifest, read at the first import of one of ours."""

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest
        self._libraries: dict[str, str] | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds the compiled module, or nothing, so that the search goes on."""
        if not fullname.startswith("headland") and not fullname.endswith("__mypyc"):
            return None
        if self._libraries is None:
            # Judged once, so that a group is taken whole or not at all.
            entries = read_manifest(self._manifest).values()
            fresh = [libraries_of(entry) for entry in entries if is_fresh(entry)]
            self._libraries = {name: library for libraries in fresh for name, library in libraries.items()}
        library = self._libraries.get(fullname)
        if library is None:
            return None
        loader = importlib.machinery.ExtensionFileLoader(fullname, library)
        return importlib.util.spec_from_file_location(fullname, library, loader=loader)


def read_manifest(manifest: Path) -> dict[str, dict[str, object]]:
    """Reads the manifest; a missing or broken one is an empty one."""
    try:
        entries = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def is_fresh(entry: dict[str, object]) -> bool:
    """Whether a manifest entry has its libraries, made from the sources as they are now."""
    digests = entry.get("digests")
    libraries = libraries_of(entry).values()
    if (
        not isinstance(digests, dict)
        or not libraries
        or not all(Path(library).is_file() for library in libraries)
    ):
        return False
    return all(digest_of(Path(source)) == digest for source, digest in digests.items())


def libraries_of(entry: dict[str, object]) -> dict[str, str]:
    """The paths of an entry's libraries by the names they are imported under."""
    libraries = entry.get("libraries")
    return libraries if isinstance(libraries, dict) else {}


def digest_of(source: Path) -> str | None:
    """SHA-256 of a file in hex; None when it cannot be read."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError:
        return None


def install(manifest: str) -> None:
    """Puts the finder first, unless `HEADLAND_PURE=1`."""
    if os.environ.get("HEADLAND_PURE") != "1":
        sys.meta_path.insert(0, CompiledFinder(Path(manifest)))
