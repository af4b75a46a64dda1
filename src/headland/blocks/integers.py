"""Columns of 64-bit integers as byte planes, vectorised over the series that they are grouped by.

A *flat* column: `u8 width (0-8) | signed varint least value | planes of (value - least)`.

A *grouped* column, rows sorted by group: `rows of u8 (mode * 16 + width), one a group | flat bases |
flat steps, if a mode is 2 | planes`. Per group the mode with the fewest bits:

====  =====================================  ==========================
mode  item                                   base
====  =====================================  ==========================
0     value - base                           least value
1     zigzag(value - previous value)         first value
2     zigzag(change of that difference)      first value; step: first difference
====  =====================================  ==========================

Arithmetic is modulo 2^64. A plane is one byte of each item: first the lowest byte of all items whose group is
at least 1 wide, then the second of all items whose group is at least 2 wide, and so on.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from headland.blocks.wire import Reader, put_signed
from headland.vocabulary import PeerError

I64 = npt.NDArray[np.int64]
S = TypeVar("S", bound=np.generic)
U64 = npt.NDArray[np.uint64]

_OFFSET, _DELTA, _CURVE = range(3)
_WIDTH_FROM = np.array([1, *(1 << 8 * width for width in range(1, 8))], np.uint64)


class Groups:
    """Consecutive groups of rows.

    Attributes:
        rows: Rows in all.
        starts: First row of each group.
        counts: Rows of each group, at least 1.
    """

    __slots__ = ("counts", "rows", "starts")

    def __init__(self, rows: int, starts: I64) -> None:
        self.rows = rows
        self.starts = starts
        ends = np.empty_like(starts)
        ends[:-1], ends[-1] = starts[1:], rows
        self.counts = ends - starts

    def __len__(self) -> int:
        return len(self.starts)

    def spread(self, values: npt.NDArray[S]) -> npt.NDArray[S]:
        """One value a group, as one value a row."""
        return np.repeat(values, self.counts)


def put_flat(out: bytearray, values: I64) -> None:
    """Append a flat column."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    width = ((high - low).bit_length() + 7) // 8
    out.append(width)
    put_signed(out, low)
    if width:
        out += planes((values - low).view(np.uint64), width)


def take_flat(reader: Reader, rows: int) -> I64:
    """A flat column of `rows` values.

    Raises:
        PeerError: malformed.
    """
    width = reader.byte()
    low = reader.signed()
    if width > 8:
        raise PeerError(f"a column {width} bytes wide")
    items = from_planes(reader.take(width * rows), rows, width)
    return items.view(np.int64) + np.int64(low)


def put_grouped(out: bytearray, values: I64, groups: Groups, *, curve: bool = False) -> None:
    """Append a grouped column; `curve` allows mode 2, which suits time."""
    starts = groups.starts
    steps = np.empty_like(values)
    steps[1:] = values[1:] - values[:-1]
    steps[starts] = 0
    first_steps, bends = _bends(steps, groups) if curve else (None, None)
    if bends is not None and not bends.any():
        items, modes, bases = bends.view(np.uint64), np.full(len(groups), _CURVE), values[starts]
    else:
        items, modes, bases = _best(values, steps, bends, groups)
    widths = np.searchsorted(_WIDTH_FROM, np.maximum.reduceat(items, starts), side="right")
    out += (modes * 16 + widths).astype(np.uint8).tobytes()
    put_flat(out, bases)
    if first_steps is not None and (modes == _CURVE).any():
        put_flat(out, np.where(modes == _CURVE, first_steps, 0))
    widest = int(widths.max())
    if widest == int(widths.min()):
        out += planes(items, widest)
        return
    matrix = _bytes_of(items)
    row_widths = groups.spread(widths)
    for plane in range(widest):
        out += matrix[row_widths > plane, plane].tobytes()


def _bends(steps: I64, groups: Groups) -> tuple[I64, I64]:
    """First difference of each group, and the changes of the differences behind it."""
    bends = np.empty_like(steps)
    bends[1:] = steps[1:] - steps[:-1]
    bends[groups.starts] = 0
    first_steps = np.zeros(len(groups), np.int64)
    longer = groups.counts > 1
    second = groups.starts[longer] + 1
    first_steps[longer] = steps[second]
    bends[second] = 0
    return first_steps, bends


def _best(values: I64, steps: I64, bends: I64 | None, groups: Groups) -> tuple[U64, I64, I64]:
    """Items, mode of each group, base of each group."""
    least = np.minimum.reduceat(values, groups.starts)
    items = (values - groups.spread(least)).view(np.uint64)
    modes = np.zeros(len(groups), np.int64)
    cost = _bits(items, groups)
    for mode, changes in ((_DELTA, steps), (_CURVE, bends)):
        if changes is None:
            continue
        candidate = _zigzag(changes)
        bits = _bits(candidate, groups)
        better = bits < cost
        if better.all():
            items, cost = candidate, bits
            modes[:] = mode
        elif better.any():
            items = np.where(groups.spread(better), candidate, items)
            cost = np.where(better, bits, cost)
            modes[better] = mode
    bases = np.where(modes == _OFFSET, least, values[groups.starts]) if modes.any() else least
    return items, modes, bases


def take_grouped(reader: Reader, groups: Groups) -> I64:
    """A grouped column.

    Raises:
        PeerError: malformed.
    """
    shape = np.frombuffer(reader.take(len(groups)), np.uint8)
    modes, widths = (shape >> 4).astype(np.int64), (shape & 15).astype(np.int64)
    widest = int(widths.max())
    if widest > 8 or int(modes.max()) > _CURVE:
        raise PeerError("a grouped column of unknown shape")
    bases = take_flat(reader, len(groups))
    first_steps = take_flat(reader, len(groups)) if (modes == _CURVE).any() else None
    if widest == int(widths.min()):
        items = from_planes(reader.take(widest * groups.rows), groups.rows, widest)
    else:
        matrix = np.zeros((groups.rows, 8), np.uint8)
        row_widths = groups.spread(widths)
        for plane in range(widest):
            wanted = row_widths > plane
            matrix[wanted, plane] = np.frombuffer(reader.take(int(np.count_nonzero(wanted))), np.uint8)
        items = matrix.view("<u8").reshape(-1).astype(np.uint64, copy=False)
    if not modes.any():
        return items.view(np.int64) + groups.spread(bases)
    changes = (items >> np.uint64(1)).view(np.int64) ^ -(items & np.uint64(1)).view(np.int64)
    if first_steps is not None:
        bent = groups.spread(modes == _CURVE)
        steps = _running(changes, groups) + groups.spread(first_steps)
        changes = np.where(bent, steps, changes)
    changes[groups.starts] = 0
    values = _running(changes, groups)
    if not modes.all():
        values = np.where(groups.spread(modes == _OFFSET), items.view(np.int64), values)
    return values + groups.spread(bases)


def _running(changes: I64, groups: Groups) -> I64:
    """Sums within each group, its first item left out."""
    total = np.cumsum(changes)
    return total - groups.spread(total[groups.starts])


def _zigzag(values: I64) -> U64:
    return ((values << 1) ^ (values >> 63)).view(np.uint64)


def _bits(items: U64, groups: Groups) -> npt.NDArray[np.float32]:
    """About how many bits the items of each group need."""
    return np.add.reduceat(np.log2(items.astype(np.float32) + np.float32(1)), groups.starts)


def _bytes_of(items: U64) -> npt.NDArray[np.uint8]:
    return items.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)


def planes(items: U64, width: int) -> bytes:
    """The lowest `width` bytes of each item, plane by plane."""
    return _bytes_of(items)[:, :width].T.tobytes()


def from_planes(data: bytes, rows: int, width: int) -> U64:
    """What `planes` wrote."""
    matrix = np.zeros((rows, 8), np.uint8)
    if width:
        matrix[:, :width] = np.frombuffer(data, np.uint8).reshape(width, rows).T
    return matrix.view("<u8").reshape(-1).astype(np.uint64, copy=False)
