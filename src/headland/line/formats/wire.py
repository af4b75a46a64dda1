"""The protobuf wire format, as much as a reader of known messages needs.

Source: protobuf.dev/programming-guides/encoding.

A message is fields ``key value``, key = varint(number << 3 | type). Types: 0 varint, 1 eight bytes, 2
length and bytes, 5 four bytes; little-endian. Types 3 and 4 (groups) are not accepted. A varint has at most
10 bytes and is cut to 64 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from headland.line.formats.rejection import RejectReason, Unfit

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_MASK: Final = (1 << 64) - 1
_float: Final = struct.Struct("<f").unpack
_double: Final = struct.Struct("<d").unpack


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Fields of a message in order: (number, wire type, value). Fixed-width values come as their bytes.

    Raises:
        Unfit: The bytes are not a message.
    """
    at, end = 0, len(message)
    while at < end:
        key = message[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(message, at - 1)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _bad("field number 0", at)
        if kind == VARINT:
            if at < end and message[at] < 0x80:
                yield number, kind, message[at]
                at += 1
            else:
                value, at = _varint(message, at)
                yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind == FIXED32:
            size = 4
        elif kind == FIXED64:
            size = 8
        else:
            raise _bad(f"wire type {kind}", at)
        if size > end - at:
            raise _bad(f"{size} bytes announced, {end - at} there", at)
        yield number, kind, message[at : at + size]
        at += size


def as_float(value: int | bytes) -> float:
    """A 32-bit float field.

    Raises:
        Unfit: The field has another wire type.
    """
    if not isinstance(value, bytes) or len(value) != 4:
        raise _bad("expected a 32-bit float", 0)
    return float(_float(value)[0])


def as_double(value: int | bytes) -> float:
    """A 64-bit float field.

    Raises:
        Unfit: The field has another wire type.
    """
    if not isinstance(value, bytes) or len(value) != 8:
        raise _bad("expected a 64-bit float", 0)
    return float(_double(value)[0])


def as_int(value: int | bytes) -> int:
    """A varint field, unsigned 64 bits.

    Raises:
        Unfit: The field has another wire type.
    """
    if not isinstance(value, int):
        raise _bad("expected a varint", 0)
    return value


def as_bytes(kind: int, value: int | bytes) -> bytes:
    """A length-delimited field.

    Raises:
        Unfit: The field has another wire type.
    """
    if kind != BYTES or not isinstance(value, bytes):
        raise _bad("expected bytes", 0)
    return value


def as_text(kind: int, value: int | bytes) -> str:
    """A string field.

    Raises:
        Unfit: The field has another wire type, or is not UTF-8.
    """
    try:
        return as_bytes(kind, value).decode()
    except UnicodeDecodeError as error:
        raise Unfit(RejectReason.INVALID_UTF8, error.reason) from error


def varint(value: int) -> bytes:
    """Encode an unsigned integer below 2^64."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes) -> bytes:
    """Encode one varint or length-delimited field."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + 10, len(message))):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, position + 1
        shift += 7
    raise _bad("a varint without its end", at)


def _bad(message: str, at: int) -> Unfit:
    return Unfit(RejectReason.NOT_PROTOBUF, message, path=f"byte {at}" if at else "")
