"""A mutant: one small programming error, planted by replacing attributes of the product, then taken out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec


class Patch:
    """Replaces attributes of modules and classes; `undo` restores every one of them.

    Attributes:
        replaced: Names of what was replaced, for reports.
    """

    def __init__(self) -> None:
        self.replaced: list[str] = []
        self._undo: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, value: Any) -> Any:
        """Let `owner.name` be `value`; returns what it was before."""
        where = sys.modules[getattr(owner, "__module__", None) or owner.__name__].__file__ or ""
        if where.endswith(".so"):
            raise RuntimeError(f"{owner!r} is compiled, and calls itself natively: set HEADLAND_PURE=1")
        before = vars(owner)[name]
        self._undo.append((owner, name, before))
        self.replaced.append(f"{getattr(owner, '__qualname__', owner.__name__)}.{name}")
        setattr(owner, name, value)
        return before

    def everywhere(self, function: Callable[..., Any], value: Callable[..., Any]) -> None:
        """Let every module of the product that has this function have `value` in its place."""
        name = function.__name__
        for module in [module for key, module in sys.modules.items() if key.startswith("headland.")]:
            if vars(module).get(name) is function:
                self.put(module, name, value)

    def undo(self) -> None:
        """Restore everything, last first."""
        while self._undo:
            owner, name, before = self._undo.pop()
            setattr(owner, name, before)


class Mutant(msgspec.Struct, frozen=True):
    """See the module.

    Attributes:
        name: What went wrong, in few words.
        room: The package that the error is in.
        rule: Which rule of the delivery contract it breaks.
        plant: Makes the error.
        scenario: The scenario that catches it: a folder of the examples, or a file beside this one.
        seeds: Seeds that were found to catch it; none for an error that no scenario here brings to light yet.
    """

    name: str
    room: str
    rule: str
    plant: Callable[[Patch], None]
    scenario: str = "line"
    seeds: tuple[int, ...] = ()


@contextmanager
def planted(mutant: Mutant) -> Iterator[Patch]:
    """The product with this error, for the time of the block."""
    patch = Patch()
    try:
        mutant.plant(patch)
        yield patch
    finally:
        patch.undo()


class Garden:
    """Collects the mutants of one room, in the order in which they are written down."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.mutants: list[Mutant] = []

    def mutant(
        self, rule: str, *, seeds: tuple[int, ...] = (), scenario: str = "line"
    ) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
        """Register the decorated function, which plants the error, under its name."""

        def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
            self.mutants.append(Mutant(plant.__name__, self.room, rule, plant, scenario, seeds))
            return plant

        return register
