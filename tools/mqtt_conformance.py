"""Makes docs/mqtt-conformance.md: every normative statement of MQTT, and the tests that name it.

A test names statements in its docstring, or in the names of its rows: `MQTT-3.3.1-5, -6` is MQTT 5.0,
`MQTT-3.3.1-5, -6 of 3.1.1` the older one; `;`, `:` and the end of a sentence end a list. The statements
are in mqtt_statements.txt. A name that is in no list is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STATEMENTS = ROOT / "tools" / "mqtt_statements.txt"
ROOMS = ("tests/mqtt", "tests/node")
OLDER, NEWER = "3.1.1", "5.0"
SHOWN = 4

_LIST = re.compile(r"MQTT-\d+(?:\.\d+)+-\d+(?:,\s+(?:MQTT-\d+(?:\.\d+)+)?-\d+)*")
_CLAUSES = re.compile(r"[;:]|\.(?=\s|$)")
_NUMBER = re.compile(r"(?:MQTT-(\d+(?:\.\d+)+))?-(\d+)")

HEAD = """\
<!-- Made by ./dev docs; edit the code it comes from. -->

# MQTT conformance

The numbered normative statements of MQTT 5.0 and MQTT 3.1.1 (appendix B of each), in our own words, and the
tests that name them. What a specification demands without a number (many protocol errors of MQTT 5.0) is not
in these tables but in `tests/mqtt/test_unnumbered.py`. A client's duties are listed as well, with what the
server makes of them. A test proves its statement for the cases that it tries, not for all: read it. What a
server may not send is watched in every test of the broker (`tests/mqtt/watching.py`); a row that names
`what_a_server_may_not_send_is_seen` shows that the watch would see it. paho-mqtt, gmqtt and mosquitto's
clients talk to the same listeners (`tests/mqtt/test_real_clients.py`, `tests/mqtt/test_second_client.py`,
`tests/node`). `./dev docs` makes this file from `tools/mqtt_statements.txt` and the tests.

"""


class Statement(NamedTuple):
    """One line of the list."""

    number: str
    text: str
    exempt: str


def statements() -> dict[str, list[Statement]]:
    """The lists, by version."""
    found: dict[str, list[Statement]] = {}
    version = ""
    for line in STATEMENTS.read_text().splitlines():
        if line.startswith("["):
            version = line.strip("[]")
            found[version] = []
        elif line and not line.startswith("#"):
            number, text, *exempt = (part.strip() for part in line.split(" | "))
            found[version].append(Statement(number, text, exempt[0] if exempt else ""))
    return found


def named(text: str) -> Iterator[tuple[str, str]]:
    """(version, number) of every statement named in a text."""
    for clause in _CLAUSES.split(text):
        for one in _LIST.finditer(clause):
            version = OLDER if clause[one.end() :].startswith(f" of {OLDER}") else NEWER
            section = ""
            for part in _NUMBER.finditer(one[0]):
                section = part[1] or section
                yield version, f"{section}-{part[2]}"


def tests() -> Iterator[tuple[str, str, str]]:
    """(file, test, everything it says of itself) of every test that may name a statement."""
    for room in ROOMS:
        for path in sorted((ROOT / room).glob("test_*.py")):
            tree = ast.parse(path.read_text())
            tables = dict(_tables(tree))
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    texts = [ast.get_docstring(node) or ""]
                    for decorator in node.decorator_list:
                        texts += _strings(decorator, tables)
                    yield str(path.relative_to(ROOT)), node.name, ";\n".join(texts)


def _tables(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of every assignment of a module, annotated or not."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                yield target.id, value


def _strings(node: ast.AST, tables: dict[str, ast.expr]) -> list[str]:
    """Strings that name a statement, in a decorator and in the tables that it uses."""
    found = []
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and "MQTT-" in child.value:
            found.append(child.value)
        elif isinstance(child, ast.Name) and child.id in tables:
            found += _strings(tables[child.id], {})
    return found


def document() -> str:
    """The whole document.

    Raises:
        ValueError: a test names a statement that does not exist.
    """
    lists = statements()
    proofs: dict[tuple[str, str], list[str]] = {
        (version, one.number): [] for version, found in lists.items() for one in found
    }
    for path, name, text in tests():
        for key in dict.fromkeys(named(text)):
            if key not in proofs:
                raise ValueError(f"{path}: {name} names MQTT-{key[1]}, which MQTT {key[0]} does not have")
            proofs[key].append(f"[`{name.removeprefix('test_')}`](../{path})")
    parts = [HEAD, _summary(lists, proofs)]
    for version, found in lists.items():
        parts.append(f"\n## MQTT {version}\n\n| statement | what it asks | tests |\n|---|---|---|\n")
        parts += [
            f"| {one.number} | {one.text} | {_cell(one, proofs[version, one.number])} |\n" for one in found
        ]
    return "".join(parts)


def _cell(one: Statement, proofs: list[str]) -> str:
    shown = [*proofs[:SHOWN], *([f"and {len(proofs) - SHOWN} more"] if len(proofs) > SHOWN else [])]
    if one.exempt:
        return ": ".join([f"not applicable, {one.exempt}", *([", ".join(shown)] if shown else [])])
    return ", ".join(shown) or "**no test yet**"


def _summary(lists: dict[str, list[Statement]], proofs: dict[tuple[str, str], list[str]]) -> str:
    lines = ["| version | statements | with a test | not applicable | no test yet |\n|---|---|---|---|---|\n"]
    for version, found in lists.items():
        tested = sum(bool(proofs[version, one.number]) for one in found if not one.exempt)
        exempt = sum(bool(one.exempt) for one in found)
        lines.append(f"| {version} | {len(found)} | {tested} | {exempt} | {len(found) - tested - exempt} |\n")
    return "".join(lines)
