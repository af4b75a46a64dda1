"""What is mutated, and by which tests it is judged.

Every mutant is judged by those tests of `TESTS` that call the function it stands in, so a room may be held by
its neighbours' tests. All of them take half a minute once; suites of whole nodes are not among them.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / ".build" / "mutation"

ROOMS = {
    "journal": "src/headland/journal/*.py",
    "outbox": "src/headland/line/outbox/*.py",
    "link": "src/headland/link/*.py",
    "ledger": "src/headland/line/ledger.py",
}
"""Room -> pattern of its modules."""

TESTS = (
    "tests/line/test_ledger.py",
    "tests/line/test_line.py",
    "tests/journal",
    "tests/outbox",
    "tests/link",
)
COPIED = ("src", "tests", "benches", "docs", "requirements", "pyproject.toml")
"""What the tests read of the checkout."""


def modules(room: str) -> list[Path]:
    """The modules of a room that have code, relative to the checkout."""
    return sorted(path.relative_to(ROOT) for path in ROOT.glob(ROOMS[room]) if path.name != "__init__.py")


def module_name(path: Path) -> str:
    """`src/headland/line/ledger.py` -> `line.ledger`, as the page calls it."""
    return ".".join(path.with_suffix("").parts[2:])
