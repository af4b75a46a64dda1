"""The common pair on one series, at column speed: a dead band sends changes, a summary counts every reading.

It gives exactly what row by row gives (a test compares them): kept by the dead band, else held for the
window. Kept rows are written before what the windows publish, and one operation notes the places of all of
them.
"""

from __future__ import annotations

from headland.line.filtering.deadband import DeadBandFilter
from headland.line.filtering.shape import Desk, Plan, Rows
from headland.line.filtering.summary import SummaryFilter

Pair = tuple[DeadBandFilter, SummaryFilter]


def pair_of(plan: Plan) -> Pair | None:
    """The pair, if a plan is one."""
    if len(plan.filters) != 2:
        return None
    bands = [one for one in plan.filters if isinstance(one, DeadBandFilter)]
    summaries = [one for one in plan.filters if isinstance(one, SummaryFilter)]
    return (bands[0], summaries[0]) if bands and summaries else None


def offer_pair(pair: Pair, rows: Rows, desk: Desk) -> bool:
    """Take whole columns; False (and nothing done) when some row cannot be folded in time."""
    band, summary = pair
    if not summary.takes_all(rows):
        return False
    kept, flags = band.scan(rows, desk.n)
    if not kept:
        summary.fold_in(rows, rows.size, desk)
        desk.hold(rows)
        return True
    owed = list(rows.size)
    for i in kept:
        owed[i] = -1
    desk.ops_kept([i - j for j, i in enumerate(kept)])
    desk.keep(rows.take(kept), flags)
    held = [i for i, size in enumerate(owed) if size >= 0]
    summary.fold_in(rows, owed, desk)
    desk.hold(rows.take(held))
    return True
