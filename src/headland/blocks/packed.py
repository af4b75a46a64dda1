"""Rows as machine arrays: the step between `Columns` and every byte form of them.

A value is one of six kinds; rows of all kinds keep their common order in `kinds`, and the values of each kind
stand in a stream of their own, in row order:

====  =====  ==========================================================================
code  kind   stream
====  =====  ==========================================================================
0     float  IEEE 754 binary64, bit for bit (NaN payloads, -0.0, infinities)
1     int    signed 64 bit
2     bool   one byte, 0 or 1
3     str    UTF-8 (lone surrogates pass unchanged)
4     bytes  as they are
5     int    beyond 64 bit: two's complement, little-endian, shortest form
====  =====  ==========================================================================
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import cast, overload

import msgspec
import numpy as np
import numpy.typing as npt

from headland.vocabulary import NO_SEQUENCE, Columns, DefectError, PeerError, Value

MAX_ROWS = 65_536
"""Rows in one encoded unit; more are refused on both sides."""
MAX_BYTES = 64 << 20
"""Bytes that one encoded unit may unfold to."""

FLOAT, INT, BOOL, STR, BYTES, BIG = range(6)

_CODE: dict[type, int] = {float: FLOAT, int: INT, bool: BOOL, str: STR, bytes: BYTES}
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1
_BIG_ENDIAN = sys.byteorder == "big"


Ints = Sequence[int] | npt.NDArray[np.int64]
"""A column of integers: as values where rows are few, as a machine array where it pays."""
Floats = Sequence[float] | npt.NDArray[np.float64]


class Packed(msgspec.Struct, gc=False):
    """`Columns` taken apart by kind of value.

    Attributes:
        rows: Number of rows, 0 to MAX_ROWS.
        sid: Series ids.
        ts: Device times, ns.
        kind: The one kind of all values, or -1 when they are mixed.
        kinds: One code a row, empty unless mixed.
        floats: Stream of kind 0.
        ints: Stream of kind 1.
        bools: Stream of kind 2.
        texts: Streams of kinds 3, 4 and 5 together, in row order.
        extras: The optional columns seq, kind, flags, size, in this order; None where all are default.
    """

    rows: int
    sid: Ints
    ts: Ints
    kind: int
    kinds: bytes
    floats: Floats
    ints: Ints
    bools: bytes
    texts: list[bytes]
    extras: tuple[Ints | None, Ints | None, Ints | None, Ints | None]


EXTRA_DEFAULTS = (NO_SEQUENCE, 0, 0, 0)


def pack(columns: Columns) -> Packed:
    """Take `columns` apart.

    Raises:
        DefectError: columns of unequal length, more than MAX_ROWS rows or MAX_BYTES of texts, or a value of
            another type.
    """
    rows = len(columns.sid)
    extras = (columns.seq, columns.kind, columns.flags, columns.size)
    if rows > MAX_ROWS:
        raise DefectError(f"{rows} rows in one unit (at most {MAX_ROWS})")
    lengths = {len(columns.ts), len(columns.value), *(len(extra) for extra in extras if extra is not None)}
    if lengths != {rows}:
        raise DefectError("columns of unequal length")
    packed = Packed(rows, columns.sid, columns.ts, FLOAT, b"", (), (), b"", [], _without_defaults(extras))
    _pack_values(packed, columns.value)
    if packed.texts and sum(map(len, packed.texts)) > MAX_BYTES:
        raise DefectError("more than 64 MiB of texts in one unit")
    return packed


def solidify(packed: Packed) -> None:
    """Turn its columns into arrays in place: worth it when they will be converted more than once."""
    packed.sid, packed.ts = array("q", packed.sid), array("q", packed.ts)
    packed.floats, packed.ints = array("d", packed.floats), array("q", packed.ints)


def unpack(packed: Packed) -> Columns:
    """Put columns together again.

    Raises:
        PeerError: a text is not UTF-8.
    """
    seq, kind, flags, size = packed.extras
    return Columns(
        sid=listed(packed.sid),
        ts=listed(packed.ts),
        value=_unpack_values(packed),
        seq=None if seq is None else listed(seq),
        kind=None if kind is None else listed(kind),
        flags=None if flags is None else listed(flags),
        size=None if size is None else listed(size),
    )


@overload
def listed(column: Ints) -> list[int]: ...
@overload
def listed(column: Floats) -> list[float]: ...
def listed(column: Ints | Floats) -> list[int] | list[float]:
    """The values of a column."""
    if isinstance(column, list):
        return column
    if isinstance(column, np.ndarray | array):
        return column.tolist()
    return list(column)


def canonical(packed: Packed) -> bool:
    """Leave out what is default, as `pack` does; False where that takes a look at the values themselves."""
    if packed.kind > BOOL or packed.texts or not packed.rows:
        return False
    if packed.kind < 0 and packed.kinds.count(packed.kinds[0]) == packed.rows:
        packed.kind, packed.kinds = packed.kinds[0], b""
    seq, kind, flags, size = (
        None if column is None or bool((np.asarray(column) == default).all()) else column
        for column, default in zip(packed.extras, EXTRA_DEFAULTS, strict=True)
    )
    packed.extras = seq, kind, flags, size
    return True


def join(parts: Sequence[Packed]) -> Packed | None:
    """The rows of several, each as `pack` makes it, one after the other.

    None where that takes a look at the values: other than numbers of one kind, or too many.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    rows = sum(part.rows for part in parts)
    if rows > MAX_ROWS or any(part.kind != first.kind for part in parts) or not FLOAT <= first.kind <= BOOL:
        return None
    seq, kind, flags, size = (
        _joined_extra(parts, index, default) for index, default in enumerate(EXTRA_DEFAULTS)
    )
    return Packed(
        rows=rows,
        sid=_joined_ints([part.sid for part in parts]),
        ts=_joined_ints([part.ts for part in parts]),
        kind=first.kind,
        kinds=b"",
        floats=np.concatenate([np.asarray(part.floats, np.float64) for part in parts]),
        ints=_joined_ints([part.ints for part in parts]),
        bools=b"".join(part.bools for part in parts),
        texts=[],
        extras=(seq, kind, flags, size),
    )


def _joined_ints(columns: Sequence[Ints]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.asarray(column, np.int64) for column in columns])


def _joined_extra(parts: Sequence[Packed], index: int, default: int) -> Ints | None:
    columns = [part.extras[index] for part in parts]
    if all(column is None for column in columns):
        return None
    return _joined_ints(
        [
            np.full(part.rows, default) if column is None else column
            for part, column in zip(parts, columns, strict=True)
        ]
    )


def floats_of(data: bytes | memoryview) -> array[float]:
    """Little-endian binary64 values."""
    return _swapped(array("d", bytes(data)))


def ints_of(data: bytes | memoryview, code: str) -> array[int]:
    """Little-endian integers of array type `code`."""
    return _swapped(array(code, bytes(data)))


def raw(code: str, values: Ints | Floats) -> bytes | memoryview:
    """Values as little-endian bytes of array type `code` (B H I Q q d; q and d where they are an array).

    Raises:
        OverflowError: one does not fit.
    """
    if isinstance(values, np.ndarray):
        return values.astype("<i8" if code == "q" else "<f8", copy=False).data
    return _swapped(array(code, values)).tobytes()


def _swapped(values: array) -> array:  # type: ignore[type-arg]
    if _BIG_ENDIAN:
        values.byteswap()
    return values


def _without_defaults(
    extras: tuple[list[int] | None, ...],
) -> tuple[list[int] | None, list[int] | None, list[int] | None, list[int] | None]:
    seq, kind, flags, size = (
        None if column is None or _all_are(default, column) else column
        for column, default in zip(extras, EXTRA_DEFAULTS, strict=True)
    )
    return seq, kind, flags, size


def _all_are(default: int, column: list[int]) -> bool:
    return not column or (column[0] == default and column.count(default) == len(column))


def _pack_values(packed: Packed, values: list[Value]) -> None:
    found = set(map(type, values))
    if found == {float} or not found:
        packed.floats = values  # type: ignore[assignment]
        return
    if not found <= _CODE.keys():
        raise DefectError(f"values of type {found - _CODE.keys()} cannot be stored")
    if found == {int} and min(values) >= _INT_MIN and max(values) <= _INT_MAX:  # type: ignore[operator]
        packed.kind, packed.ints = INT, values  # type: ignore[assignment]
        return
    codes = bytearray(_CODE[type(value)] for value in values)
    floats: list[float] = []
    ints: list[int] = []
    bools = bytearray()
    for index, value in enumerate(values):
        match value:
            case float():
                floats.append(value)
            case bool():
                bools.append(value)
            case int():
                if _INT_MIN <= value <= _INT_MAX:
                    ints.append(value)
                else:
                    codes[index] = BIG
                    packed.texts.append(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
            case str():
                packed.texts.append(value.encode("utf-8", "surrogatepass"))
            case bytes():
                packed.texts.append(value)
    packed.floats, packed.ints, packed.bools = floats, ints, bytes(bools)
    if codes.count(codes[0]) == len(codes):
        packed.kind = codes[0]
    else:
        packed.kind, packed.kinds = -1, bytes(codes)


def _unpack_values(packed: Packed) -> list[Value]:
    match packed.kind:
        case 0:
            return cast("list[Value]", listed(packed.floats))
        case 1:
            return cast("list[Value]", listed(packed.ints))
        case 2:
            return [bool(value) for value in packed.bools]
        case 4:
            return list(packed.texts)
        case _:
            pass
    try:
        if packed.kind == STR:
            return [str(text, "utf-8", "surrogatepass") for text in packed.texts]
        floats, ints = iter(listed(packed.floats)), iter(listed(packed.ints))
        bools, texts = iter(packed.bools), iter(packed.texts)
        out: list[Value] = []
        for code in packed.kinds or bytes((packed.kind,)) * packed.rows:
            if code == FLOAT:
                out.append(next(floats))
            elif code == INT:
                out.append(next(ints))
            elif code == BOOL:
                out.append(bool(next(bools)))
            elif code == STR:
                out.append(str(next(texts), "utf-8", "surrogatepass"))
            elif code == BYTES:
                out.append(next(texts))
            else:
                out.append(int.from_bytes(next(texts), "little", signed=True))
    except UnicodeDecodeError:
        raise PeerError("a text value is not UTF-8") from None
    return out


def stream_counts(kind: int, kinds: bytes, rows: int) -> tuple[int, int, int, int]:
    """How many floats, ints, bools and texts a unit holds.

    Raises:
        PeerError: an unknown kind.
    """
    if kind >= 0:
        counts = [0] * 6
        if kind > BIG:
            raise PeerError(f"value kind {kind}")
        counts[kind] = rows
    else:
        counts = [kinds.count(code) for code in range(6)]
        if sum(counts) != rows:
            raise PeerError("unknown value kind in a mixed unit")
    return counts[FLOAT], counts[INT], counts[BOOL], counts[STR] + counts[BYTES] + counts[BIG]
