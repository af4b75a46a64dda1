"""Readings and rows as columns: the hot path never makes one object per reading.

A `Batch` is what one read of a socket (or one poll of a source) brought. `Columns` are rows that a commit
makes durable. All columns of one value have the same length; optional columns are None when every entry is
absent (or zero), and are filled on first use.
"""

from __future__ import annotations

import msgspec

Value = float | int | bool | str | bytes

NO_TIME = -(1 << 63)
"""Device time of a reading that has none (ns since 1970 UTC otherwise)."""
NO_SEQUENCE = -1


class Batch(msgspec.Struct, gc=False):
    """Readings of one client as they arrived.

    Attributes:
        sid: Interned series ids of this node's `SeriesTable`.
        ts: Device time, ns UTC, or NO_TIME.
        value: One of float, int (64 bit), bool, str, bytes.
        size: Payload bytes accounted to each reading (sums to the payload's length).
        seq: Declared sequence numbers, or None when no reading has one.
        severity: RFC 5424 severity + 1 of log readings (0 = none), or None.
        message_ends: End index of each message (publish, HTTP request) in the columns, ascending; the last
            equals the length. A message may be empty (a payload that went to quarantine).
    """

    sid: list[int] = []
    ts: list[int] = []
    value: list[Value] = []
    size: list[int] = []
    seq: list[int] | None = None
    severity: list[int] | None = None
    message_ends: list[int] = []


class Columns(msgspec.Struct, gc=False):
    """Rows of one class in one commit, or in one block (then in commit order).

    Attributes:
        sid: Series ids in the origin's numbering.
        ts: Device time (windows: start), ns UTC, or NO_TIME.
        value: Values; WINDOW, EVENT, CONFIG and FEATURES rows hold msgpack bytes.
        seq: Declared sequences or None.
        kind: `RowKind` codes or None (all READING).
        flags: `RowFlag` bits or None (all 0).
        size: Payload bytes each row stands for in the books, or None (all 0: derived).
    """

    sid: list[int] = []
    ts: list[int] = []
    value: list[Value] = []
    seq: list[int] | None = None
    kind: list[int] | None = None
    flags: list[int] | None = None
    size: list[int] | None = None

    def __len__(self) -> int:
        return len(self.sid)

    def append(
        self,
        sid: int,
        ts: int,
        value: Value,
        seq: int = NO_SEQUENCE,
        kind: int = 0,
        flags: int = 0,
        size: int = 0,
    ) -> None:
        """Append one row, materialising an optional column on its first non-default entry."""
        before = len(self.sid)
        self.sid.append(sid)
        self.ts.append(ts)
        self.value.append(value)
        if self.seq is not None:
            self.seq.append(seq)
        elif seq != NO_SEQUENCE:
            self.seq = [NO_SEQUENCE] * before + [seq]
        if self.kind is not None:
            self.kind.append(kind)
        elif kind:
            self.kind = [0] * before + [kind]
        if self.flags is not None:
            self.flags.append(flags)
        elif flags:
            self.flags = [0] * before + [flags]
        if self.size is not None:
            self.size.append(size)
        elif size:
            self.size = [0] * before + [size]

    def part(self, start: int, end: int) -> Columns:
        """The rows from `start` up to `end`."""
        return Columns(
            self.sid[start:end],
            self.ts[start:end],
            self.value[start:end],
            None if self.seq is None else self.seq[start:end],
            None if self.kind is None else self.kind[start:end],
            None if self.flags is None else self.flags[start:end],
            None if self.size is None else self.size[start:end],
        )

    def extend(self, other: Columns) -> None:
        """Append all rows of `other`."""
        before, added = len(self.sid), len(other.sid)
        self.sid += other.sid
        self.ts += other.ts
        self.value += other.value
        self.seq = _joined(self.seq, before, other.seq, added, NO_SEQUENCE)
        self.kind = _joined(self.kind, before, other.kind, added, 0)
        self.flags = _joined(self.flags, before, other.flags, added, 0)
        self.size = _joined(self.size, before, other.size, added, 0)


def _joined(
    left: list[int] | None, before: int, right: list[int] | None, added: int, absent: int
) -> list[int] | None:
    if left is None and right is None:
        return None
    if left is None:
        left = [absent] * before
    left += [absent] * added if right is None else right
    return left
