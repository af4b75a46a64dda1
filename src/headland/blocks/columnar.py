"""COLUMNAR: rows of a block, column by column and series by series, for a compressor to finish.

```
u8 0x03 | varint rows | u8 present (bits 0-3: seq, kind, flags, size; 4: timeless rows; 7: kinds follow)
u8 kind, or rows x u8 kinds
varint series | flat column: first id, then steps to the next | planes of each row's series index, if several
bits of timeless rows, if any
u8 e | signed varint origin | grouped column of (ts - origin) / 10^(3e) ns
seq as a grouped column | kind, flags, size as flat columns; each if present
floats (`blocks.decimals`) | ints as a grouped column | bits of bools | texts
```
Everything after the index stands in the order of (series, row), which readers rebuild from the index.
Streams of one kind of value are grouped by the series of their rows. Texts are `u8 0 | flat lengths | texts`
or, where half of them repeat, `u8 1 | varint count | flat lengths | texts | planes of each row's text`.
"""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from headland.blocks.decimals import F64, put_floats, take_floats
from headland.blocks.fast import take_texts
from headland.blocks.integers import (
    I64,
    Groups,
    S,
    from_planes,
    planes,
    put_flat,
    put_grouped,
    take_flat,
    take_grouped,
)
from headland.blocks.packed import BOOL, FLOAT, INT, MAX_BYTES, MAX_ROWS, Floats, Ints, Packed, stream_counts
from headland.blocks.wire import Reader, put_signed, put_varint
from headland.vocabulary import NO_TIME, PeerError

CODE = 0x03
_TIMELESS, _MIXED = 0x10, 0x80
_UNITS = (1, 10**3, 10**6, 10**9)


class _Order:
    """Rows sorted by series.

    Attributes:
        rows: Row numbers, series by series.
        series: Index of the series of each of these.
        groups: Where each series begins.
    """

    __slots__ = ("groups", "rows", "series")

    def __init__(self, rows: I64, series: I64, groups: Groups) -> None:
        self.rows = rows
        self.series = series
        self.groups = groups

    @classmethod
    def of(cls, keys: npt.NDArray[np.integer]) -> _Order:
        """Rows sorted by `keys`, stable."""
        rows = np.argsort(keys, kind="stable")
        groups = _groups(keys[rows])
        return cls(rows, np.repeat(np.arange(len(groups)), groups.counts), groups)

    @classmethod
    def single(cls, rows: int) -> _Order:
        """Rows of one series."""
        return cls(np.arange(rows), np.zeros(rows, np.int64), Groups(rows, np.zeros(1, np.int64)))


def encode(packed: Packed) -> bytes:
    """The byte form of at least one row."""
    out = bytearray((CODE,))
    put_varint(out, packed.rows)
    ts = _ints(packed.ts)
    timeless = ts == NO_TIME if int(ts.min()) == NO_TIME else None
    present = sum(1 << bit for bit, column in enumerate(packed.extras) if column is not None)
    out.append(present | _TIMELESS * (timeless is not None) | _MIXED * (packed.kind < 0))
    if packed.kind < 0:
        out += packed.kinds
    else:
        out.append(packed.kind)
    order = _put_series(out, packed.sid)
    _put_time(out, ts, timeless, order)
    for name, column in enumerate(packed.extras):
        if column is not None:
            values = _ints(column)[order.rows]
            if name == 0:
                put_grouped(out, values, order.groups)
            else:
                put_flat(out, values)
    _put_values(out, packed, order)
    return bytes(out)


def decode(reader: Reader) -> Packed:
    """Rows from what follows the codec byte.

    Raises:
        PeerError: malformed or out of bounds.
    """
    rows = reader.varint(MAX_ROWS)
    if not rows:
        raise PeerError("a columnar unit without rows")
    present = reader.byte()
    kinds = reader.take(rows) if present & _MIXED else b""
    kind = -1 if present & _MIXED else reader.byte()
    counts = stream_counts(kind, kinds, rows)
    sid, order = _take_series(reader, rows)
    ts = _take_time(reader, order, bool(present & _TIMELESS))
    extras: list[I64 | None] = [None] * 4
    for name in range(4):
        if present >> name & 1:
            values = take_grouped(reader, order.groups) if name == 0 else take_flat(reader, rows)
            extras[name] = _placed(values, order.rows)
    packed = Packed(rows, sid, ts, kind, kinds, (), (), b"", [], (extras[0], extras[1], extras[2], extras[3]))
    _take_values(reader, packed, order, counts)
    return packed


def _ints(values: Ints) -> I64:
    if isinstance(values, np.ndarray):
        return values
    return np.frombuffer(array("q", values), np.int64)


def _floats(values: Floats) -> F64:
    if isinstance(values, np.ndarray):
        return values
    return np.frombuffer(array("d", values), np.float64)


def _keys(sids: Ints) -> npt.NDArray[np.integer]:
    """Series ids, two bytes wide where they allow it: those sort fastest."""
    wide = _ints(sids)
    return wide.astype(np.uint16) if int(wide.min()) >= 0 and int(wide.max()) < 1 << 16 else wide


def _groups(series: npt.NDArray[np.integer]) -> Groups:
    """Groups of rows whose sorted series index is equal."""
    changes = np.flatnonzero(series[1:] != series[:-1]) + 1
    return Groups(len(series), np.concatenate((np.zeros(1, np.int64), changes)))


def _placed(values: npt.NDArray[S], rows: I64) -> npt.NDArray[S]:
    """Sorted values back in row order."""
    out = np.empty_like(values)
    out[rows] = values
    return out


def _is_constant(values: Ints) -> bool:
    if isinstance(values, np.ndarray):
        return bool((values == values[0]).all())
    return values.count(values[0]) == len(values)


def _put_series(out: bytearray, sids: Ints) -> _Order:
    if _is_constant(sids):
        put_varint(out, 1)
        put_flat(out, np.array(sids[:1], np.int64))
        return _Order.single(len(sids))
    keys = _keys(sids)
    order = _Order.of(keys)
    known = keys[order.rows[order.groups.starts]].astype(np.int64)
    put_varint(out, len(known))
    known[1:] -= known[:-1].copy()
    put_flat(out, known)
    out += planes(_placed(order.series, order.rows).view(np.uint64), _index_width(len(known)))
    return order


def _take_series(reader: Reader, rows: int) -> tuple[I64, _Order]:
    count = reader.varint(rows)
    if not count:
        raise PeerError("rows without a series")
    known = np.cumsum(take_flat(reader, count))
    if count == 1:
        return np.full(rows, known[0]), _Order.single(rows)
    width = _index_width(count)
    index = from_planes(reader.take(rows * width), rows, width)
    if int(index.max()) >= count:
        raise PeerError("a row of a series that is not listed")
    return known[index], _Order.of(index.astype(np.uint16))


def _put_time(out: bytearray, ts: I64, timeless: npt.NDArray[np.bool_] | None, order: _Order) -> None:
    if timeless is not None:
        out += np.packbits(timeless[order.rows]).tobytes()
        timed = ts[~timeless]
        ts = np.where(timeless, timed[0] if len(timed) else 0, ts)
    low, high = int(ts.min()), int(ts.max())
    if high - low >= 1 << 63:
        unit, low = 0, 0
        steps = ts
    else:
        steps = ts - low
        unit = next((unit for unit in (3, 2, 1) if not (steps % _UNITS[unit]).any()), 0)
        if unit:
            steps //= _UNITS[unit]
    out.append(unit)
    put_signed(out, low)
    put_grouped(out, steps[order.rows], order.groups, curve=True)


def _take_time(reader: Reader, order: _Order, timeless: bool) -> I64:
    rows = order.groups.rows
    missing = None
    if timeless:
        missing = np.unpackbits(np.frombuffer(reader.take((rows + 7) // 8), np.uint8), count=rows).view(
            np.bool_
        )
    unit = reader.byte()
    if unit > 3:
        raise PeerError(f"time in units of 10^{3 * unit} ns")
    low = reader.signed()
    ts = take_grouped(reader, order.groups) * _UNITS[unit] + np.int64(low)
    if missing is not None:
        ts = np.where(missing, NO_TIME, ts)
    return _placed(ts, order.rows)


def _put_values(out: bytearray, packed: Packed, order: _Order) -> None:
    if packed.kind == FLOAT:
        put_floats(out, _floats(packed.floats)[order.rows], order.groups)
        return
    if packed.kind == INT:
        put_grouped(out, _ints(packed.ints)[order.rows], order.groups)
        return
    streams = _Streams(packed.kind, packed.kinds, order)
    if len(packed.floats):
        picked, groups = streams.of(FLOAT, FLOAT)
        put_floats(out, _floats(packed.floats)[picked], groups)
    if len(packed.ints):
        picked, groups = streams.of(INT, INT)
        put_grouped(out, _ints(packed.ints)[picked], groups)
    if packed.bools:
        picked, _ = streams.of(BOOL, BOOL)
        out += np.packbits(np.frombuffer(packed.bools, np.uint8)[picked]).tobytes()
    if packed.texts:
        picked, _ = streams.of(BOOL + 1, 255)
        _put_texts(out, [packed.texts[place] for place in picked.tolist()])


def _take_values(reader: Reader, packed: Packed, order: _Order, counts: tuple[int, int, int, int]) -> None:
    floats, ints, bools, texts = counts
    streams = _Streams(packed.kind, packed.kinds, order)
    if floats:
        picked, groups = streams.of(FLOAT, FLOAT)
        packed.floats = _placed(take_floats(reader, groups), picked)
    if ints:
        picked, groups = streams.of(INT, INT)
        packed.ints = _placed(take_grouped(reader, groups), picked)
    if bools:
        picked, _ = streams.of(BOOL, BOOL)
        bits = np.unpackbits(np.frombuffer(reader.take((bools + 7) // 8), np.uint8), count=bools)
        packed.bools = _placed(bits, picked).tobytes()
    if texts:
        picked, _ = streams.of(BOOL + 1, 255)
        placed = [b""] * texts
        for place, text in zip(picked.tolist(), _take_texts(reader, texts), strict=True):
            placed[place] = text
        packed.texts = placed


class _Streams:
    """Which places of a stream of one kind stand where, once sorted by series."""

    def __init__(self, kind: int, kinds: bytes, order: _Order) -> None:
        self._order = order
        self._kinds = None if kind >= 0 else np.frombuffer(kinds, np.uint8)

    def of(self, low: int, high: int) -> tuple[I64, Groups]:
        """Places in the stream of kinds `low` to `high`, sorted by series, and the groups of these."""
        order = self._order
        if self._kinds is None:
            return order.rows, order.groups
        wanted = (self._kinds >= low) & (self._kinds <= high)
        place = np.cumsum(wanted) - 1
        chosen = wanted[order.rows]
        return place[order.rows[chosen]], _groups(order.series[chosen])


def _put_texts(out: bytearray, texts: list[bytes]) -> None:
    known = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    if 2 * len(known) > len(texts):
        out.append(0)
        put_flat(out, np.array(list(map(len, texts)), np.int64))
        out += b"".join(texts)
        return
    out.append(1)
    put_varint(out, len(known))
    put_flat(out, np.array(list(map(len, known)), np.int64))
    out += b"".join(known)
    index = np.array([known[text] for text in texts], np.uint64)
    out += planes(index, _index_width(len(known)))


def _take_texts(reader: Reader, rows: int) -> list[bytes]:
    form = reader.byte()
    if form > 1:
        raise PeerError(f"texts of form {form}")
    count = reader.varint(rows) if form else rows
    if not count:
        raise PeerError("a dictionary of no texts")
    lengths = take_flat(reader, count)
    known = take_texts(reader, lengths.tolist())
    if not form:
        return known
    width = _index_width(count)
    index = from_planes(reader.take(rows * width), rows, width)
    if int(index.max()) >= count:
        raise PeerError("a text that is not in the dictionary")
    if int(lengths[index].sum()) > MAX_BYTES:
        raise PeerError("a dictionary that unfolds to more than 64 MiB")
    return [known[place] for place in index.tolist()]


def _index_width(count: int) -> int:
    return ((count - 1).bit_length() + 7) // 8
