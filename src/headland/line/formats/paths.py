"""JSON paths and name templates, compiled once per mapping.

Paths are the definite part of RFC 9535: ``$``, then ``.name``, ``['name']``, ``["name"]`` or ``[index]``; no
wildcards, filters or slices. Templates are text with ``{placeholder}`` and ``{$.path}``; ``{{`` and ``}}``
are braces.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from headland.vocabulary import ConfigurationError

Step = str | int

_STEP: Final = re.compile(r"""\.([^.\[\]'"]+)|\['([^']*)'\]|\["([^"]*)"\]|\[(\d{1,9})\]""")
_FIELD: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class _Absent:
    """Nothing at a path (a JSON null is None)."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def compile_path(text: str, *, where: str) -> tuple[Step, ...]:
    """The steps of a JSON path.

    Args:
        text: The path; one that does not start with ``$`` is taken as a name path (``a.b`` is ``$.a.b``).
        where: Configuration path for the error.

    Raises:
        ConfigurationError: It is not a definite JSON path.
    """
    path = text if text.startswith("$") else "$." + text
    steps: list[Step] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ConfigurationError(
                f"not a JSON path: {text!r}", path=where, hint="write it like $.a.b, $['a b'] or $.list[0]"
            )
        name, single, double, index = match.groups()
        steps.append(
            int(index) if index is not None else next(s for s in (name, single, double) if s is not None)
        )
        at = match.end()
    return tuple(steps)


def find(document: Any, steps: tuple[Step, ...]) -> Any:
    """What stands at a path, or ABSENT."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return ABSENT
            document = document[step]
        else:
            if not isinstance(document, list) or step >= len(document):
                return ABSENT
            document = document[step]
    return document


class Template(msgspec.Struct, frozen=True):
    """A compiled template.

    Attributes:
        parts: Literals (str), topic placeholders (`Placeholder`) and payload paths (`PayloadPath`) in order.
    """

    parts: tuple[str | Placeholder | PayloadPath, ...]

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the topic placeholders it uses."""
        return frozenset(part.name for part in self.parts if isinstance(part, Placeholder))

    @property
    def needs_payload(self) -> bool:
        """Whether any part is taken from the payload."""
        return any(isinstance(part, PayloadPath) for part in self.parts)

    def bind(self, found: dict[str, str]) -> Template:
        """The template with its topic placeholders filled in."""
        return Template(
            _merged(found[part.name] if isinstance(part, Placeholder) else part for part in self.parts)
        )

    @property
    def literal(self) -> str:
        """The text of a template without open parts."""
        return "".join(part for part in self.parts if isinstance(part, str))


class Placeholder(msgspec.Struct, frozen=True):
    """`{name}`, taken from the topic."""

    name: str


class PayloadPath(msgspec.Struct, frozen=True):
    """`{$.path}`, taken from the payload."""

    text: str
    steps: tuple[Step, ...]


def compile_template(text: str, known: frozenset[str], *, where: str) -> Template:
    """A template whose topic placeholders are all in `known`.

    Raises:
        ConfigurationError: A placeholder is unknown, or a brace is open.
    """
    parts: list[str | Placeholder | PayloadPath] = []
    at = 0
    for match in _FIELD.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        field = match.group(1)
        if match.group() in ("{{", "}}"):
            parts.append(match.group()[0])
        elif field is None:
            raise ConfigurationError(
                f"a brace without its pair in {text!r}", path=where, hint="write {{ for a brace"
            )
        elif field.startswith("$"):
            parts.append(PayloadPath(field, compile_path(field, where=where)))
        elif field in known:
            parts.append(Placeholder(field))
        else:
            raise ConfigurationError(
                f"unknown placeholder {{{field}}} in {text!r}",
                path=where,
                hint="known here: " + (", ".join(sorted(known)) or "none"),
            )
    parts.append(text[at:])
    return Template(_merged(parts))


def _merged(parts: Any) -> tuple[str | Placeholder | PayloadPath, ...]:
    merged: list[str | Placeholder | PayloadPath] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)
