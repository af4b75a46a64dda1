"""FAST: rows for the journal, quick to write and to read, not compressed. 10 to 14 bytes a float reading.

```
u8 0x02 | varint rows | u8 present (bits 0-3: seq, kind, flags, size; bit 7: kinds follow)
u8 kind, or rows x u8 kinds | column sid | column ts | present optional columns
floats: 8 B each | column of ints | bools: 1 B each | column of text lengths, texts back to back
```
A column of integers is `u8 form` and
```
0  constant          signed varint
1  u8, 2  u16, 3 u32 rows x width
4  i64               rows x 8
5  u8, 6  u16, 7 u32 signed varint base, u8 e, rows x width; value = base + item x 10^e (e = 0, 3, 6 or 9)
```
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from headland.blocks.packed import (
    MAX_BYTES,
    MAX_ROWS,
    Floats,
    Ints,
    Packed,
    floats_of,
    ints_of,
    listed,
    raw,
    stream_counts,
)
from headland.blocks.wire import Reader, put_signed, put_varint
from headland.vocabulary import PeerError

CODE = 0x02
_VECTOR_FROM = 24
"""Rows from which numpy's fixed cost pays."""
_WIDTHS = {1: ("B", 1), 2: ("H", 2), 3: ("I", 4), 4: ("q", 8), 5: ("B", 1), 6: ("H", 2), 7: ("I", 4)}
_SCALES = (9, 6, 3)


def encode(packed: Packed) -> bytes:
    """The byte form of `packed`."""
    out = bytearray((CODE,))
    put_varint(out, packed.rows)
    present = sum(1 << bit for bit, column in enumerate(packed.extras) if column is not None)
    out.append(present | (0x80 if packed.kind < 0 else 0))
    if packed.kind < 0:
        out += packed.kinds
    else:
        out.append(packed.kind)
    if not packed.rows:
        return bytes(out)
    _put_small(out, listed(packed.sid))
    _put_time(out, packed.ts)
    for column in packed.extras:
        if column is not None:
            _put_small(out, listed(column))
    if len(packed.floats):
        out += raw("d", packed.floats)
    if len(packed.ints):
        _put_time(out, packed.ints)
    out += packed.bools
    if packed.texts:
        _put_small(out, list(map(len, packed.texts)))
        out += b"".join(packed.texts)
    return bytes(out)


def decode(reader: Reader) -> Packed:
    """Rows from what follows the codec byte.

    Raises:
        PeerError: malformed or out of bounds.
    """
    rows = reader.varint(MAX_ROWS)
    present = reader.byte()
    kinds = reader.take(rows) if present & 0x80 else b""
    kind = -1 if present & 0x80 else reader.byte()
    floats, ints, bools, texts = stream_counts(kind, kinds, rows)
    if not rows:
        return Packed(0, [], [], 0, b"", (), (), b"", [], (None, None, None, None))
    sid = _column(reader, rows)
    ts = _column(reader, rows)
    extras = [_column(reader, rows) if present >> bit & 1 else None for bit in range(4)]
    return Packed(
        rows=rows,
        sid=sid,
        ts=ts,
        kind=kind,
        kinds=kinds,
        floats=_floats(reader.take(8 * floats), floats),
        ints=_column(reader, ints) if ints else (),
        bools=reader.take(bools),
        texts=take_texts(reader, listed(_column(reader, texts))) if texts else [],
        extras=(extras[0], extras[1], extras[2], extras[3]),
    )


def _floats(data: bytes, count: int) -> Floats:
    if count < _VECTOR_FROM:
        return floats_of(data)
    return np.frombuffer(data, "<f8").astype(np.float64, copy=False)


def take_texts(reader: Reader, lengths: list[int]) -> list[bytes]:
    """Texts of these lengths, back to back.

    Raises:
        PeerError: a negative length, or more than is there.
    """
    if min(lengths) < 0 or sum(lengths) > min(reader.left, MAX_BYTES):
        raise PeerError("text lengths exceed the data")
    blob = reader.take(sum(lengths))
    out, at = [], 0
    for length in lengths:
        out.append(blob[at : at + length])
        at += length
    return out


def _put_small(out: bytearray, values: Sequence[int]) -> None:
    """A column whose values are usually small and not negative."""
    try:
        narrow = bytes(values)
    except (ValueError, OverflowError):
        low, high = min(values), max(values)
        if low == high:
            out.append(0)
            put_signed(out, low)
        elif low < 0 or high >= 1 << 32:
            out.append(4)
            out += raw("q", values)
        elif high < 1 << 16:
            out.append(2)
            out += raw("H", values)
        else:
            out.append(3)
            out += raw("I", values)
        return
    if narrow.count(narrow[:1]) == len(narrow):
        out.append(0)
        put_signed(out, narrow[0])
    else:
        out.append(1)
        out += narrow


def _put_time(out: bytearray, column: Ints) -> None:
    """A column whose values are large and near each other, in round units."""
    if len(column) < _VECTOR_FROM:
        few = listed(column)
        _put_near(out, few, min(few), max(few))
        return
    values = column if isinstance(column, np.ndarray) else np.frombuffer(array("q", column), np.int64)
    low, high = int(values.min()), int(values.max())
    if low == high:
        out.append(0)
        put_signed(out, low)
        return
    if high - low >= 1 << 63:
        out.append(4)
        out += raw("q", values)
        return
    offsets = values - low
    exponent = 0
    for candidate in _SCALES:
        if not (offsets % 10**candidate).any():
            exponent = candidate
            offsets //= 10**candidate
            break
    top = (high - low) // 10**exponent
    if top >= 1 << 32:
        out.append(4)
        out += raw("q", values)
        return
    form, dtype = (5, "u1") if top < 1 << 8 else (6, "<u2") if top < 1 << 16 else (7, "<u4")
    out.append(form)
    put_signed(out, low)
    out.append(exponent)
    out += offsets.astype(dtype).tobytes()


def _put_near(out: bytearray, values: Sequence[int], low: int, high: int) -> None:
    if low == high:
        out.append(0)
        put_signed(out, low)
        return
    if high - low >= 1 << 63:
        out.append(4)
        out += raw("q", values)
        return
    exponent = 0
    for candidate in _SCALES:
        unit = 10**candidate
        if all((value - low) % unit == 0 for value in values):
            exponent = candidate
            break
    unit = 10**exponent
    top = (high - low) // unit
    if top >= 1 << 32:
        out.append(4)
        out += raw("q", values)
        return
    form, code = (5, "B") if top < 1 << 8 else (6, "H") if top < 1 << 16 else (7, "I")
    out.append(form)
    put_signed(out, low)
    out.append(exponent)
    out += raw(code, [(value - low) // unit for value in values])


def _column(reader: Reader, rows: int) -> Ints:
    form = reader.byte()
    if form == 0:
        value = reader.signed()
        return [value] * rows if rows < _VECTOR_FROM else np.full(rows, value)
    if form not in _WIDTHS:
        raise PeerError(f"integer column of form {form}")
    base, unit = 0, 1
    if form >= 5:
        base = reader.signed()
        exponent = reader.byte()
        if exponent not in (0, *_SCALES):
            raise PeerError(f"scale 10^{exponent}")
        unit = 10**exponent
    code, width = _WIDTHS[form]
    data = reader.take(rows * width)
    if rows < _VECTOR_FROM:
        items = ints_of(data, code)
        if form < 5:
            return items
        values = [base + item * unit for item in items]
        if max(values) >= 1 << 63:
            raise PeerError("an integer is beyond 64 bit")
        return values
    wide = np.frombuffer(data, f"<i{width}" if form == 4 else f"<u{width}").astype(np.int64)
    if form < 5:
        return wide
    if base + int(wide.max()) * unit >= 1 << 63:
        raise PeerError("an integer is beyond 64 bit")
    return wide * unit + base
