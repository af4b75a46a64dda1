"""The severity a device declares for its log lines, by the level word at the head of each.

Simple on purpose, and no code of the node's severity filter: the demo's loggers replay only files whose
lines name their level. A line without one continues the record before it.
"""

from __future__ import annotations

import re

WORDS = {
    "emerg": 0,
    "alert": 1,
    "crit": 2,
    "critical": 2,
    "fatal": 2,
    "failure": 2,
    "severe": 3,
    "error": 3,
    "err": 3,
    "warn": 4,
    "warning": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
    "trace": 7,
}
HEAD_WORDS = 10
"""The level stands among the first words of a line, behind time and place."""
_WORD = re.compile(r"[A-Za-z]+")


def declared(line: str, before: int | None) -> int | None:
    """RFC 5424 severity of a line.

    Args:
        line: The line.
        before: Severity of the record before it; a line without a level continues that record.
    """
    head = " ".join(line.split(None, HEAD_WORDS)[:HEAD_WORDS])
    for word in _WORD.findall(head):
        if word.lower() in WORDS:
            return WORDS[word.lower()]
    return before


def names_levels(lines: list[str]) -> bool:
    """Whether nearly every line that begins a record names its level."""
    return bool(lines) and sum(declared(line, None) is not None for line in lines) >= 0.95 * len(lines)
