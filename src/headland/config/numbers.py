"""Numbers that no node can mean: not finite, beyond 64 bits, or a duration of more than a hundred years.

What a key measures stands at the end of its name, so the bounds hold for every section, filters and sources
of other packages too. They keep nanoseconds within 64 bits and powers within a double.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from headland.vocabulary import ConfigurationError

BOUNDS: dict[str, float] = {
    "_s": 3.2e9,
    "_ms": 3.2e12,
    "_us": 3.2e15,
    "_hz": 1e9,
    "_factor": 1e3,
    "_per_gb": 1e12,
}
"""Largest amount by the end of a key's name; a rate (`_per_s`) has none but being finite."""


def first_impossible_number(tree: dict[str, Any]) -> ConfigurationError | None:
    """The first number in a tree of TOML values that cannot be meant, as an error with its path."""
    return next(_impossible(tree, "", ""), None)


def _impossible(value: Any, path: str, name: str) -> Iterator[ConfigurationError]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _impossible(inner, f"{path}.{key}" if path else key, key)
        case list():
            for i, inner in enumerate(value):
                yield from _impossible(inner, f"{path}[{i}]", name)
        case bool():
            return
        case int() if not -(1 << 63) <= value < 1 << 63:
            yield ConfigurationError("a whole number beyond 64 bits", path=path)
        case float() if not isfinite(value):
            yield ConfigurationError(f"{value} is no number that can be meant", path=path)
        case int() | float():
            bound = _bound(name)
            if bound is not None and abs(value) > bound:
                yield ConfigurationError(f"{value:g} is too large", path=path, hint=f"at most {bound:g}")
        case _:
            return


def _bound(name: str) -> float | None:
    if name.endswith("_per_s"):
        return None
    return next((bound for end, bound in BOUNDS.items() if name.endswith(end)), None)
