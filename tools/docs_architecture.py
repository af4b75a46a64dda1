"""The generated parts of ARCHITECTURE.md: rooms, layers, events, actions, disk operations.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`; all else is written by hand.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from headland.journal import plan
from headland.node import events

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "ARCHITECTURE.md"
PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rooms() -> str:
    """Every package with the first sentence of its docstring."""
    lines = ["| room | what it is |", "|---|---|"]
    for package in sorted((ROOT / "src" / "headland").glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
        lines.append(f"| `{package.parent.name}/` | {first(text)} |")
    return "\n".join(lines)


def first(text: str) -> str:
    """Its first paragraph on one line."""
    return " ".join(text.split("\n\n")[0].split())


def layers() -> str:
    """The import contract, highest layer first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["id"]: one for one in project["tool"]["importlinter"]["contracts"]}
    pure = ", ".join(
        f"`{name.removeprefix('headland.')}`" for name in contracts["pure-rooms"]["source_modules"]
    )
    return "\n".join(["```", *contracts["layers"]["layers"], "```", "", f"Pure rooms: {pure}."])


def kinds(union: Any) -> str:
    """The members of a union of structs: name, fields, what the docstring says."""
    lines = ["| name | fields | meaning |", "|---|---|---|"]
    for one in get_args(union):
        fields = ", ".join(f"`{name}`" for name in one.__struct_fields__)
        lines.append(f"| `{one.__name__}` | {fields} | {first(one.__doc__ or '')} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "rooms": rooms,
    "layers": layers,
    "events": lambda: kinds(events.Event),
    "actions": lambda: kinds(events.Action),
    "disk": lambda: kinds(plan.DiskOp),
}


def architecture() -> str:
    """The document with its parts made anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)
