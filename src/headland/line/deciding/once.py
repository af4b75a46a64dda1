"""Readings that were decided on and not taken, for want of room: when they come again, nothing is done twice.

    turned away ─► decided on, noted          `first`
    sent again, still no room ─► known: not decided on again
    sent again, taken ─► filtered and stored, not decided on again; forgotten         `taken`

Only the reading itself proves that it is the same one: series, device time or declared sequence, and value.
One with neither is decided on as often as it comes: an actuation is at least once while its reading is young.

Bound: the newest `NOTED_MAX` readings of series that a rule watches. An older one that comes again stands
behind newer ones of its series, and does nothing more for that (`Deciders`: an old reading only tells).
Nothing is written: a restart forgets, and the latches, which are on disk, say what has been raised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet

from headland.line.filtering.shape import Rows
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Value

NOTED_MAX = 16_384

Key = tuple[int, int, int, type, Value]


class Once:
    """Keys of readings that have been decided on and may come again."""

    def __init__(self) -> None:
        self._noted: OrderedDict[Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def first(self, rows: Rows, watched: AbstractSet[int]) -> Rows:
        """Those of rows that are turned away that have not been decided on; they are noted as decided on."""
        if watched.isdisjoint(rows.sid):
            return rows
        noted, fresh = self._noted, []
        for i, sid in enumerate(rows.sid):
            if sid not in watched:
                continue
            key = _key(rows, i)
            if key is not None:
                if key in noted:
                    continue
                noted[key] = None
            fresh.append(i)
        while len(noted) > NOTED_MAX:
            noted.popitem(last=False)
        return rows if len(fresh) == len(rows.sid) else rows.take(fresh)

    def taken(self, rows: Rows) -> Rows:
        """Those of rows that are taken that have not been decided on; the others need not be known longer."""
        noted = self._noted
        if not noted:
            return rows
        keys = (_key(rows, i) for i in range(len(rows.sid)))
        fresh = [i for i, key in enumerate(keys) if key is None or noted.pop(key, rows) is rows]
        return rows if len(fresh) == len(rows.sid) else rows.take(fresh)

    def clear(self) -> None:
        """Other rules: they have decided on nothing."""
        self._noted.clear()


def _key(rows: Rows, i: int) -> Key | None:
    seq = NO_SEQUENCE if rows.seq is None else rows.seq[i]
    if rows.ts[i] == NO_TIME and seq == NO_SEQUENCE:
        return None
    value = rows.value[i]
    # The type too: to Python, True, 1 and 1.0 are one key.
    return rows.sid[i], rows.ts[i], seq, type(value), value if value == value else "nan"
