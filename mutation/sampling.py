"""A sample that anyone can draw again, and what it says about all mutants."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

Z_95 = 1.96


def stratified(mutants: Mapping[str, Sequence[str]], size: int, seed: int) -> list[str]:
    """About `size` mutants, of every module its share and at least one.

    Args:
        mutants: Module -> names of its mutants, in a fixed order.
        size: How many in all; rounding to whole mutants of a module may add or take a few.
        seed: The same seed draws the same mutants of a module, whatever became of other modules.
    """
    total = sum(map(len, mutants.values()))
    drawn: list[str] = []
    for module, names in mutants.items():
        share = min(len(names), max(1, round(size * len(names) / total))) if names else 0
        drawn += random.Random(f"{seed}:{module}").sample(sorted(names), share)
    return drawn


def wilson(killed: int, run: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927). Of a stratified sample it is wider than needed."""
    if not run:
        return 0.0, 1.0
    share, z2 = killed / run, Z_95 * Z_95
    middle = share + z2 / (2 * run)
    spread = Z_95 * math.sqrt(share * (1 - share) / run + z2 / (4 * run * run))
    return max(0.0, (middle - spread) / (1 + z2 / run)), min(1.0, (middle + spread) / (1 + z2 / run))
