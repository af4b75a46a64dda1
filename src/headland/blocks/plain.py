"""PLAIN: a few rows in few bytes, for the live blocks of a slow series. About 8 bytes for a 1-row block.

```
u8 0x80 | rows (1-127), then for each row
u8 tag: bits 0-2 form of the value, bit 3 optional columns follow, bits 4-5 u: time in units of 10^(3u) ns,
        bit 6 same series as the row before, bit 7 no device time
varint sid (unless the same) | signed varint (ts - previous ts) / unit (unless none)
value by form:
  0 float  8 B            1 float as decimal: u8 e, signed varint m; value = m / 10^e
  2 int    signed varint  3 false  4 true
  5 str    varint length, UTF-8   6 bytes varint length, bytes   7 int beyond 64 bit: two's complement
optional columns: u8 present (bits 0-3: seq, kind, flags, size), a signed varint each
```
The first row's time is relative to the unit's base (a block's base is its `ts_min`).
"""

from __future__ import annotations

import struct
from typing import assert_never

from headland.blocks.packed import MAX_BYTES
from headland.blocks.wire import Reader, put_signed, put_varint
from headland.vocabulary import NO_SEQUENCE, NO_TIME, Columns, PeerError, Value

CODE = 0x80
MAX_PLAIN_ROWS = 127

_DOUBLE = struct.Struct("<d")
_UNITS = (1, 10**3, 10**6, 10**9)
_EXACT = float(1 << 53)
_MAX_EXPONENT = 12
_TIME_SHIFT, _EXTRAS, _SAME, _TIMELESS = 4, 0x08, 0x40, 0x80


def encode(columns: Columns, base_ns: int) -> bytes:
    """The byte form of 1 to 127 rows; times are written relative to `base_ns`."""
    out = bytearray((CODE | len(columns),))
    before_sid, before_ts = -1, base_ns
    seq, kind, flags, size = columns.seq, columns.kind, columns.flags, columns.size
    for row, (sid, ts, value) in enumerate(zip(columns.sid, columns.ts, columns.value, strict=True)):
        form, body = _value(value)
        tag, step = form, 0
        if ts == NO_TIME:
            tag |= _TIMELESS
        else:
            step = ts - before_ts
            scale = 3 if step % 10**9 == 0 else 2 if step % 10**6 == 0 else 1 if step % 10**3 == 0 else 0
            step //= _UNITS[scale]
            before_ts = ts
            tag |= scale << _TIME_SHIFT
        if sid == before_sid:
            tag |= _SAME
        optional = (
            NO_SEQUENCE if seq is None else seq[row],
            0 if kind is None else kind[row],
            0 if flags is None else flags[row],
            0 if size is None else size[row],
        )
        if optional != _ABSENT:
            tag |= _EXTRAS
        out.append(tag)
        if sid != before_sid:
            put_varint(out, sid)
            before_sid = sid
        if ts != NO_TIME:
            put_wide(out, step)
        out += body
        if tag & _EXTRAS:
            _put_optional(out, optional)
    return bytes(out)


_ABSENT = (NO_SEQUENCE, 0, 0, 0)


def decode(rows: int, reader: Reader, base_ns: int) -> Columns:
    """`rows` rows from what follows the codec byte.

    Raises:
        PeerError: malformed or out of bounds.
    """
    if not rows:
        raise PeerError("a plain unit without rows")
    columns = Columns()
    sid, before_ts = -1, base_ns
    for _ in range(rows):
        tag = reader.byte()
        if not tag & _SAME:
            sid = reader.varint((1 << 63) - 1)
        elif sid < 0:
            raise PeerError("the first row has no series")
        ts = NO_TIME
        if not tag & _TIMELESS:
            ts = before_ts = before_ts + take_wide(reader) * _UNITS[tag >> _TIME_SHIFT & 3]
            if not -(1 << 63) < ts < 1 << 63:
                raise PeerError("a time is beyond 64 bit")
        value = _take_value(tag & 7, reader)
        if tag & _EXTRAS:
            columns.append(sid, ts, value, *_take_optional(reader))
        else:
            columns.append(sid, ts, value)
    return columns


def put_wide(out: bytearray, value: int) -> None:
    """A signed varint of up to 65 bits (a difference of two 64-bit times)."""
    value = value << 1 if value >= 0 else (-value << 1) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def take_wide(reader: Reader) -> int:
    """What `put_wide` wrote.

    Raises:
        PeerError: cut short or longer than 10 bytes.
    """
    value = shift = 0
    while True:
        byte = reader.byte()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7
        if shift > 63:
            raise PeerError("a varint is longer than 10 bytes")


def _value(value: Value) -> tuple[int, bytes]:
    match value:
        case bool():
            return (4 if value else 3), b""
        case float():
            return _float(value)
        case int():
            out = bytearray()
            if -(1 << 63) <= value < 1 << 63:
                put_signed(out, value)
                return 2, bytes(out)
            return 7, _sized(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
        case str():
            return 5, _sized(value.encode("utf-8", "surrogatepass"))
        case bytes():
            return 6, _sized(value)
        case _:
            assert_never(value)


def _float(value: float) -> tuple[int, bytes]:
    exact = _DOUBLE.pack(value)
    for exponent in range(_MAX_EXPONENT + 1):
        scaled = value * 10.0**exponent
        if not -_EXACT < scaled < _EXACT:
            break
        mantissa = round(scaled)
        if _DOUBLE.pack(mantissa / 10**exponent) == exact:
            out = bytearray((exponent,))
            put_signed(out, mantissa)
            return (1, bytes(out)) if len(out) < 8 else (0, exact)
    return 0, exact


def _sized(data: bytes) -> bytes:
    out = bytearray()
    put_varint(out, len(data))
    return bytes(out) + data


def _take_value(form: int, reader: Reader) -> Value:
    match form:
        case 0:
            exact: float = _DOUBLE.unpack(reader.take(8))[0]
            return exact
        case 1:
            exponent = reader.byte()
            if exponent > _MAX_EXPONENT:
                raise PeerError(f"decimal exponent {exponent}")
            decimal: float = reader.signed() / 10**exponent
            return decimal
        case 2:
            return reader.signed()
        case 3:
            return False
        case 4:
            return True
        case _:
            data = reader.take(reader.varint(MAX_BYTES))
    if form == 6:
        return data
    if form == 7:
        return int.from_bytes(data, "little", signed=True)
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise PeerError("a text value is not UTF-8") from None


def _put_optional(out: bytearray, optional: tuple[int, int, int, int]) -> None:
    out.append(sum(1 << bit for bit in range(4) if optional[bit] != _ABSENT[bit]))
    for value, absent in zip(optional, _ABSENT, strict=True):
        if value != absent:
            put_signed(out, value)


def _take_optional(reader: Reader) -> tuple[int, int, int, int]:
    present = reader.byte()
    seq, kind, flags, size = (
        reader.signed() if present >> bit & 1 else absent for bit, absent in enumerate(_ABSENT)
    )
    return seq, kind, flags, size
