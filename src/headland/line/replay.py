"""One recovered frame, read in the order in which the live line wrote it.

Rows of one class keep their order; the order of held rows against operations is the position that each operation
carries. Kept rows change nothing that held rows change, except in mixed plans, where an operation notes their place.
"""

from __future__ import annotations

from collections.abc import Callable

from headland.line.filtering.shape import HOLD, KEEP, Row
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Columns, RowClass, RowFlag, RowKind

NORTH = (RowClass.CRITICAL, RowClass.HIGH, RowClass.NORMAL, RowClass.LOW)

ApplyRow = Callable[[Row, int, bool], None]
"""Row, verdict, and whether its place among the held rows is known."""
ApplyDerived = Callable[[int, bytes], None]
"""Series and value of a window or features row."""


class FrameRows:
    """Cursor over the rows of a frame."""

    def __init__(
        self, rows: dict[RowClass, Columns], node_ns: int, row: ApplyRow, derived: ApplyDerived
    ) -> None:
        self._rows = {cls: rows[cls] for cls in (*NORTH, RowClass.HELD) if cls in rows}
        self._node_ns = node_ns
        self._apply_row = row
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
            self._apply(cls, index, noted=True)

    def finish(self) -> None:
        """Apply all that is left."""
        for cls, columns in self._rows.items():
            self._advance(cls, len(columns.sid))

    def _advance(self, cls: RowClass, end: int) -> None:
        if cls in self._rows:
            end = min(end, len(self._rows[cls].sid))
            for index in range(self._at[cls], end):
                self._apply(cls, index, noted=cls == RowClass.HELD)
            self._at[cls] = max(self._at[cls], end)

    def _apply(self, cls: RowClass, index: int, *, noted: bool) -> None:
        columns = self._rows[cls]
        sid, ts, value = columns.sid[index], columns.ts[index], columns.value[index]
        kind = RowKind.READING if columns.kind is None else columns.kind[index]
        if kind in (RowKind.WINDOW, RowKind.FEATURES) and isinstance(value, bytes):
            self._apply_derived(sid, value)
        flags = 0 if columns.flags is None else columns.flags[index]
        if kind == RowKind.READING and not flags & RowFlag.TIME_IMPLAUSIBLE:
            row = Row(
                sid,
                ts,
                self._node_ns if ts == NO_TIME else ts,
                value,
                0 if columns.size is None else columns.size[index],
                NO_SEQUENCE if columns.seq is None else columns.seq[index],
                flags,
            )
            self._apply_row(row, HOLD if cls == RowClass.HELD else KEEP, noted)


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
