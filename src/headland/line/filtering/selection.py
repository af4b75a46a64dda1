"""Which series a rule is about: globs and captures over names and labels.

A pattern is compared with the whole name. ``?`` is one character, ``*`` any run without ``/``, ``**`` any
run, ``{word}`` one non-empty segment that may be used again in a group template. Everything else is itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from headland.vocabulary import ConfigurationError, SeriesKey

_TOKEN = re.compile(r"\*\*|\*|\?|\{[A-Za-z_][A-Za-z0-9_]*\}|[^*?{]+|\{")
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern.

    Raises:
        ConfigurationError: a capture is used twice or a brace does not close.
    """
    parts: list[str] = []
    for part in _TOKEN.findall(pattern):
        if part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("{") and part.endswith("}"):
            parts.append(f"(?P<{part[1:-1]}>[^/]+)")
        elif part == "{":
            raise ConfigurationError(f"pattern {pattern!r}: a brace is not closed", hint="write {word}")
        else:
            parts.append(re.escape(part))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ConfigurationError(f"pattern {pattern!r}: {error}", hint="use each capture once") from None


def overlap(one: str, other: str) -> bool:
    """Whether some text fits both patterns."""
    left, right = _atoms(one), _atoms(other)
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        at = i, j = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        if i == len(left) and j == len(right):
            return True
        if i < len(left) and len(left[i]) == 2:
            todo.append((i + 1, j))
        if j < len(right) and len(right[j]) == 2:
            todo.append((i, j + 1))
        if i < len(left) and j < len(right) and _common(left[i][0], right[j][0]):
            todo += [
                (i + (len(left[i]) == 1), j + (len(right[j]) == 1)),
                (i + 1, j + (len(right[j]) == 1)),
                (i + (len(left[i]) == 1), j + 1),
            ]
    return False


def _atoms(pattern: str) -> list[str]:
    """A pattern as one character each: itself, NUL for any, SOH for any but /; with a star if repeated."""
    atoms: list[str] = []
    for part in _TOKEN.findall(pattern):
        if part == "**":
            atoms.append("\0*")
        elif part == "*":
            atoms.append("\1*")
        elif part == "?":
            atoms.append("\1")
        elif part.startswith("{"):
            atoms += ["\1", "\1*"]
        else:
            atoms += part
    return atoms


def _common(one: str, other: str) -> bool:
    """Whether one character can be both."""
    if "\0" in (one, other) or one == other:
        return True
    return (one == "\1" and other != "/") or (other == "\1" and one != "/")


def matched(key: SeriesKey, pattern: str, labels: Mapping[str, str]) -> dict[str, str] | None:
    """Captures of a series that fits name pattern and label patterns, or None when it does not fit."""
    fit = compiled(pattern).fullmatch(key.name)
    if fit is None:
        return None
    captures = dict(fit.groupdict())
    if labels:
        own = dict(key.labels)
        for label, wanted in labels.items():
            part = compiled(wanted).fullmatch(own.get(label, ""))
            if label not in own or part is None:
                return None
            captures.update(part.groupdict())
    return captures


def filled(template: str, key: SeriesKey, captures: Mapping[str, str], rule: str) -> str:
    """Fill ``{name}``, ``{rule}``, ``{label.x}`` and captures into a template; unknown ones are empty."""

    def value(field: re.Match[str]) -> str:
        word = field.group(1)
        if word == "name":
            return key.name
        if word == "rule":
            return rule
        if word.startswith("label."):
            return dict(key.labels).get(word[6:], "")
        return captures.get(word, "")

    return _FIELD.sub(value, template)
