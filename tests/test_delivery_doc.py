"""The delivery contract names code and tests that exist, and says of every rule what keeps it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
RULES = [
    *(f"1.{i}" for i in range(1, 6)),
    *(f"2.{i}" for i in range(1, 11)),
    *(f"3.{i}" for i in range(1, 4)),
    *(f"4.{i}" for i in range(1, 11)),
    *(f"5.{i}" for i in range(1, 4)),
    "6.",
    "7.",
    "8.",
]
NOTES = ("Where", "Killed by", "No test yet", "Not yet")


def sections() -> dict[str, str]:
    """Rule number -> its text. Chapters without a rule of their own are left out."""
    parts = re.split(r"^#{2,3} (\d(?:\.\d+|\.)) ", DOCUMENT, flags=re.MULTILINE)
    return {
        number: text for number, text in zip(parts[1::2], parts[2::2], strict=True) if "**Where**" in text
    }


def notes(text: str) -> dict[str, str]:
    """Note -> what it says, of one rule."""
    return dict(
        re.findall(r"^\* \*\*([A-Z][a-z ]+)\*\*: (.*?)(?=^\* |^#|^$|\Z)", text, re.DOTALL | re.MULTILINE)
    )


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes and methods defined in a file, methods as `Class.method`; read, never imported."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inner}
    return frozenset(found)


def missing(text: str, base: Path) -> list[str]:
    """References `path.py::Name` (or `path.py`) in a note that lead nowhere."""
    references = re.findall(r"`([\w/]+\.py)(?:::([\w.]+))?`", text)
    assert references, f"names nothing: {text[:60]}"
    return [
        f"{path}::{name}" if name else path
        for path, name in references
        if not (base / path).is_file() or (name and name not in names_in(base / path))
    ]


def test_every_rule_of_the_contract_stands_in_the_document() -> None:
    assert list(sections()) == RULES


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_where_it_is_kept_and_what_kills_its_violation(rule: str) -> None:
    said = notes(sections()[rule])
    assert set(said) <= set(NOTES)
    assert "Where" in said
    assert "Killed by" in said or "No test yet" in said or "Not yet" in said


@pytest.mark.parametrize("rule", RULES)
def test_the_code_that_a_rule_names_exists(rule: str) -> None:
    assert missing(notes(sections()[rule])["Where"], ROOT / "src" / "headland") == []


@pytest.mark.parametrize("rule", RULES)
def test_the_tests_that_a_rule_names_exist(rule: str) -> None:
    said = notes(sections()[rule])
    if "Killed by" in said:
        assert missing(said["Killed by"], ROOT) == []


def test_the_decisions_that_the_document_names_exist() -> None:
    for name in re.findall(r"docs/decisions/[\w-]+\.md", DOCUMENT):
        assert (ROOT / name).is_file(), name
