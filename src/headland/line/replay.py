"""One recovered frame, read in the order in which the live line wrote it.

Rows of one class keep their order; the order of held rows against operations is the position that each
operation carries. Kept rows change nothing that held rows change, except in mixed plans, where an operation
notes their place.
"""

from __future__ import annotations

from collections.abc import Callable

from headland.line.filtering.shape import HOLD, KEEP, Rows
from headland.vocabulary import NO_TIME, Columns, RowClass, RowFlag, RowKind

NORTH = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW)

ApplyRows = Callable[[Rows, int, bool], None]
"""Readings, their verdict, and whether their place among the held rows is known."""
ApplyDerived = Callable[[int, bytes], None]
"""Series and value of a window or features row."""


class FrameRows:
    """Cursor over the rows of a frame."""

    def __init__(
        self, rows: dict[RowClass, Columns], node_ns: int, apply: ApplyRows, derived: ApplyDerived
    ) -> None:
        self._rows = {cls: rows[cls] for cls in (*NORTH, RowClass.HELD) if cls in rows}
        self._node_ns = node_ns
        self._apply_rows = apply
        self._apply_derived = derived
        self._at = dict.fromkeys(self._rows, 0)

    def until(self, held: int) -> None:
        """Apply held rows before position `held`."""
        self._advance(RowClass.HELD, held)

    def kept_until(self, positions: dict[int, int]) -> None:
        """Apply kept rows before these positions."""
        for cls, position in positions.items():
            self._advance(RowClass(cls), position)

    def one(self, cls: RowClass, index: int) -> None:
        """Apply one kept row of a mixed plan."""
        if cls in self._rows and index < len(self._rows[cls].sid):
            self._apply(cls, index, index + 1, noted=True)

    def finish(self) -> None:
        """Apply all that is left."""
        for cls, columns in self._rows.items():
            self._advance(cls, len(columns.sid))

    def _advance(self, cls: RowClass, end: int) -> None:
        if cls in self._rows:
            start, end = self._at[cls], min(end, len(self._rows[cls].sid))
            if start < end:
                self._apply(cls, start, end, noted=cls == RowClass.HELD)
                self._at[cls] = end

    def _apply(self, cls: RowClass, start: int, end: int, *, noted: bool) -> None:
        columns = self._rows[cls]
        ts = columns.ts[start:end]
        flags = None if columns.flags is None else columns.flags[start:end]
        rows = Rows(
            columns.sid[start:end],
            ts,
            [self._node_ns if one == NO_TIME else one for one in ts] if NO_TIME in ts else ts,
            columns.value[start:end],
            [0] * (end - start) if columns.size is None else columns.size[start:end],
            None if columns.seq is None else columns.seq[start:end],
            flags,
        )
        kinds = None if columns.kind is None else columns.kind[start:end]
        if kinds is not None:
            for kind, sid, value in zip(kinds, rows.sid, rows.value, strict=True):
                if kind in (RowKind.WINDOW, RowKind.FEATURES) and isinstance(value, bytes):
                    self._apply_derived(sid, value)
        odd = RowFlag.TIME_IMPLAUSIBLE
        if any(kinds or ()) or (flags is not None and any(flag & odd for flag in flags)):
            rows = rows.take(
                [
                    i
                    for i in range(end - start)
                    if not (kinds is not None and kinds[i]) and not (flags is not None and flags[i] & odd)
                ]
            )
        if rows.sid:
            self._apply_rows(rows, HOLD if cls == RowClass.HELD else KEEP, noted)


def readings_of(columns: Columns) -> Columns:
    """The readings among the rows, without derived ones."""
    kind = columns.kind
    if kind is None:
        return columns
    where = [i for i, one in enumerate(kind) if one == RowKind.READING]
    return Columns(
        [columns.sid[i] for i in where],
        [columns.ts[i] for i in where],
        [columns.value[i] for i in where],
        None if columns.seq is None else [columns.seq[i] for i in where],
    )
