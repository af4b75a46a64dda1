"""Where in a TOML file a key stands: tomllib forgets it, and an error without a line is half an error.

A scan by lines, for files that tomllib has accepted or nearly so. It knows tables, arrays of tables and
keys at the beginning of a line; keys inside inline tables and multi-line values are found at the line of
their outer key.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


def line_of(text: str, path: str) -> int | None:
    """The line (1 ...) of the key `path` (`listen[0].port`), or of the nearest table around it."""
    lines = index(text)
    while path:
        if path in lines:
            return lines[path]
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return None


def index(text: str) -> dict[str, int]:
    """Lines (1 ...) of every table and key that the scan finds, by path."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            prefix = _resolve(_parts(header[2]), counts, array=header[1] == "[[")
            found.setdefault(prefix, number)
            continue
        key = _KEY.match(line)
        if key:
            path = ".".join([prefix, *_parts(key[1])] if prefix else _parts(key[1]))
            found.setdefault(path, number)
    return found


def _resolve(parts: list[str], counts: dict[str, int], *, array: bool) -> str:
    """The path of a table header; counts array elements, and enters the newest of those it passes through."""
    path = ""
    for i, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if array and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted)]
