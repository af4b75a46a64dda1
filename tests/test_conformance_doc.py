"""The conformance table has a row for every statement of both specifications, and names tests that exist.

The identifiers here are those of appendix B of each specification, written down apart from the list that the
table is made from: section -> the numbers in it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "mqtt-conformance.md").read_text(encoding="utf-8")

MQTT_5_0 = """
1.5.4: 1-3 · 1.5.5: 1 · 1.5.7: 1 · 2.1.3: 1 · 2.2.1: 2-6 · 2.2.2: 1
3.1.0: 1-2 · 3.1.2: 1-30 · 3.1.3: 1-12 · 3.1.4: 1-6 · 3.2.0: 1-2 · 3.2.2: 1-22
3.3.1: 1-13 · 3.3.2: 1-20 · 3.3.4: 1-10 · 3.4.2: 1-3 · 3.5.2: 1-3 · 3.6.1: 1 · 3.6.2: 1-3 · 3.7.2: 1-3
3.8.1: 1 · 3.8.3: 1-5 · 3.8.4: 1-8 · 3.9.2: 1-2 · 3.9.3: 1-2
3.10.1: 1 · 3.10.3: 1-2 · 3.10.4: 1-6 · 3.11.2: 1-2 · 3.11.3: 1-2 · 3.12.4: 1
3.14.0: 1 · 3.14.1: 1 · 3.14.2: 1-4 · 3.14.4: 1-3 · 3.15.1: 1 · 3.15.2: 1-3
4.1.0: 1-2 · 4.2: 1 · 4.3.1: 1 · 4.3.2: 1-5 · 4.3.3: 1-13 · 4.4.0: 1-2 · 4.5.0: 1-2 · 4.6.0: 1-6
4.7.0: 1 · 4.7.1: 1-2 · 4.7.2: 1 · 4.7.3: 1-4 · 4.8.2: 1-6 · 4.9.0: 1-3
4.12.0: 1-7 · 4.12.1: 1-2 · 4.13.1: 1 · 4.13.2: 1 · 6.0.0: 1-4
"""
"""OASIS standard of 7 March 2019; 2.2.1-1 does not exist."""

MQTT_3_1_1 = """
1.5.3: 1-3 · 2.2.2: 1-2 · 2.3.1: 1-7
3.1.0: 1-2 · 3.1.2: 1-24 · 3.1.3: 1-11 · 3.1.4: 1-5 · 3.2.0: 1 · 3.2.2: 1-6
3.3.1: 1-12 · 3.3.2: 1-3 · 3.3.4: 1 · 3.3.5: 1-2 · 3.6.1: 1
3.8.1: 1 · 3.8.3: 1-4 · 3.8.4: 1-6 · 3.9.3: 1-2 · 3.10.1: 1 · 3.10.3: 1-2 · 3.10.4: 1-6 · 3.12.4: 1
3.14.1: 1 · 3.14.4: 1-3
4.1.0: 1-2 · 4.3.1: 1 · 4.3.2: 1-2 · 4.3.3: 1-2 · 4.4.0: 1 · 4.5.0: 1-2 · 4.6.0: 1-6
4.7.1: 1-3 · 4.7.2: 1 · 4.7.3: 1-4 · 4.8.0: 1-2 · 6.0.0: 1-4 · 7.0.0: 1-2 · 7.1.1: 1 · 7.1.2: 1
"""
"""OASIS standard of 29 October 2014."""

VERSIONS = {"5.0": MQTT_5_0, "3.1.1": MQTT_3_1_1}
TEST = re.compile(r"\[`(\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def identifiers(text: str) -> list[str]:
    """Every identifier of a list, in its order."""
    found = []
    for section, first, last in re.findall(r"([\d.]+): (\d+)(?:-(\d+))?", text):
        found += [f"{section}-{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def rows(version: str) -> list[tuple[str, str, str]]:
    """(identifier, what it asks, what is said of tests) of each row of a version's table."""
    (chapter,) = re.findall(
        rf"^## MQTT {re.escape(version)}$(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE
    )
    return [
        (number.strip(), text.strip(), tests.strip())
        for number, text, tests in re.findall(r"^\| (\d[\d.]*-\d+) \|(.*)\|(.*)\|$", chapter, re.MULTILINE)
    ]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Names of the test functions of a file; read, never imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_the_lists_have_as_many_statements_as_the_specifications() -> None:
    assert {version: len(identifiers(text)) for version, text in VERSIONS.items()} == {
        "5.0": 251,
        "3.1.1": 141,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_statement_has_one_row(version: str) -> None:
    found = [number for number, _, _ in rows(version)]
    assert found == identifiers(VERSIONS[version])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_says_what_is_asked_and_names_a_test_or_the_reason_why_none_can(version: str) -> None:
    for number, text, said in rows(version):
        assert text, number
        assert TEST.search(said) or re.match(r"not applicable, \w+", said), number


@pytest.mark.parametrize("version", VERSIONS)
def test_every_test_that_a_row_names_exists(version: str) -> None:
    for number, _, said in rows(version):
        assert said.count("[`") == len(TEST.findall(said)), number
        for name, path in TEST.findall(said):
            assert f"test_{name}" in functions_of(ROOT / path), f"{number}: {path}: test_{name}"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_server_refuses_is_not_excused(version: str) -> None:
    """An excuse that promises something of the server names the test that holds it to it."""
    for number, _, said in rows(version):
        if said.startswith("not applicable") and re.search(
            r"; .*(ends? the connection|refused|holds it)", said
        ):
            assert TEST.search(said), number
