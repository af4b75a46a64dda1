"""What is mutated, and by which tests it is judged.

A mutant is judged by those tests of its room that call the function it stands in. A room's tests take
seconds, so that a mutant that none of them notices costs seconds; suites of whole nodes are not among them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
BUILD = ROOT / ".build" / "mutation"


class Room(msgspec.Struct, frozen=True):
    """Part of the product that keeps the promise.

    Attributes:
        modules: Pattern of its modules.
        tests: What judges its mutants.
    """

    modules: str
    tests: tuple[str, ...]


ROOMS = {
    "journal": Room("src/headland/journal/*.py", ("tests/journal",)),
    "outbox": Room("src/headland/line/outbox/*.py", ("tests/outbox", "tests/link/test_relay.py")),
    "link": Room("src/headland/link/*.py", ("tests/link",)),
    "ledger": Room("src/headland/line/ledger.py", ("tests/line/test_ledger.py",)),
}

COPIED = ("src", "tests", "benches", "docs", "requirements", "pyproject.toml")
"""What the tests read of the checkout."""


def modules(room: str) -> list[Path]:
    """The modules of a room that have code, relative to the checkout."""
    return sorted(
        path.relative_to(ROOT) for path in ROOT.glob(ROOMS[room].modules) if path.name != "__init__.py"
    )


def module_name(path: Path) -> str:
    """`src/headland/line/ledger.py` -> `line.ledger`, as the page calls it."""
    return ".".join(path.with_suffix("").parts[2:])
