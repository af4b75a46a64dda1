"""Applies a mutant and asks whether the simulator notices.

A mutant replaces one attribute of a module or class by something wrong:

    Mutant(
        name="ack before fsync",
        module="headland.node.committing",
        attribute="Committing.wait",
        replacement=lambda original: lambda self, needs_n, what: False,
    )

`replacement` gets the original and returns what stands there instead while the mutant lives. A mutant is
caught when a law is broken in one of `seeds`; a defect that ends a run counts as a broken law (`no_defect`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from headland.simulation.run import run_seed
from headland.simulation.scenario import Scenario
from headland.simulation.witness import Violation


class Mutant(NamedTuple):
    """One wrong version of the product.

    Attributes:
        name: What is wrong, as a sentence.
        module: Where.
        attribute: Dotted path from the module: a function, or a method of a class.
        replacement: Original -> what stands there instead.
        seeds: Which seeds are tried, in order, until one catches it.
        scenario: Changes the scenario, where a mutant needs its own.
        laws: The laws that may notice; empty for any.
    """

    name: str
    module: str
    attribute: str
    replacement: Callable[[Any], Any]
    seeds: Sequence[int] = range(1, 21)
    scenario: Callable[[Scenario], Scenario] = lambda scenario: scenario
    laws: tuple[str, ...] = ()


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The product with this defect."""
    owner: Any = importlib.import_module(mutant.module)
    *path, name = mutant.attribute.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = vars(owner)[name]
    inner = original.fget if isinstance(original, property) else getattr(original, "__func__", original)
    changed = mutant.replacement(inner)
    wrapped = (
        type(original)(changed) if isinstance(original, property | classmethod | staticmethod) else changed
    )
    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)


def caught(mutant: Mutant, scenario: Scenario) -> Violation | None:
    """The first violation that a seed finds, or None when the mutant survives all of them."""
    with applied(mutant):
        for seed in mutant.seeds:
            for violation in run_seed(mutant.scenario(scenario), seed).violations:
                if not mutant.laws or violation.law in mutant.laws:
                    return violation
    return None
