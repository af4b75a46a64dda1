"""Which of the pending changes a power cut leaves: the telling choices, and some drawn by chance.

The telling ones: nothing; everything; everything but one; one alone; and, of each write that spans sectors,
its first part, its last part, or all but its middle, with the rest kept and with the rest lost. Sectors are
512 B (what a drive writes at once) and 4 KiB (a page, and the sector of newer drives).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from powercut.medium import ALL, Change, Kept, Pieces

SECTORS = (512, 4096)
ALONE_MAX = 12
"""Beyond so many pending changes only the youngest are taken alone or left out alone."""


def choices(pending: Sequence[Change], rng: random.Random, draws: int) -> Iterator[tuple[str, Kept]]:
    """What may be left, each with a word for how."""
    everything = {change.number: ALL for change in pending}
    yield "lost", {}
    if not pending:
        return
    yield "kept", everything
    for change in pending[-ALONE_MAX:]:
        number = change.number
        if len(pending) > 1:
            yield "reordered", {number: ALL}
            yield "reordered", {key: pieces for key, pieces in everything.items() if key != number}
        for pieces in tears(change):
            yield "torn", {**everything, number: pieces}
            if len(pending) > 1:
                yield "torn", {number: pieces}
    for _ in range(draws if len(pending) > 1 or len(boundaries(pending[0], SECTORS[0])) else 0):
        yield "drawn", draw(pending, rng)


def draw(pending: Sequence[Change], rng: random.Random) -> dict[int, Pieces]:
    """Anything that may be left."""
    return {change.number: drawn for change in pending if (drawn := _drawn(change, rng))}


def tears(change: Change) -> list[Pieces]:
    """Parts of a write that may be there without the rest."""
    out: list[Pieces] = []
    for sector in SECTORS:
        cuts = boundaries(change, sector)
        if not cuts:
            continue
        end = len(change.data)
        for cut in dict.fromkeys((cuts[0], cuts[len(cuts) // 2], cuts[-1])):
            out += [((0, cut),), ((cut, end),)]
        if len(cuts) > 1:
            out.append(((0, cuts[0]), (cuts[-1], end)))
    return list(dict.fromkeys(out))


def boundaries(change: Change, sector: int) -> list[int]:
    """Where sectors of the file begin inside a write, counted from its first byte."""
    if change.kind != "data":
        return []
    first = sector - change.offset % sector
    return list(range(first, len(change.data), sector))


def _drawn(change: Change, rng: random.Random) -> Pieces:
    if rng.random() < 0.3:
        return ()
    cuts = boundaries(change, rng.choice(SECTORS))
    if not cuts or rng.random() < 0.3:
        return ALL
    edges = [0, *cuts, len(change.data)]
    return tuple(pair for pair in pairwise(edges) if rng.random() < 0.5)
