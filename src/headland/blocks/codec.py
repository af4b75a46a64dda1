"""Rows as bytes, and bodies of blocks compressed by class.

The first byte of an encoded unit says how it is encoded; better codecs are new values, old stay readable:

===========  ==========================================================================
0x02         FAST: journal sections, uncompressed (`blocks.fast`)
0x03         COLUMNAR: block bodies (`blocks.columnar`)
0x80 | rows  PLAIN: 1 to 127 rows, compact without compression (`blocks.plain`)
===========  ==========================================================================

A block body is `u8 compression` and then

=====  ===============================================================================
0      the encoded unit as it is
1      varint length of the unit, LZ4 block
2      varint length of the unit, Zstandard frame
=====  ===============================================================================

Bounds: 65,536 rows; 64 MiB unfolded. Whatever does not decode raises `PeerError`, never anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from typing import Generic, TypeVar

import lz4.block
import numpy as np
import zstandard

from headland.blocks import columnar, fast, plain
from headland.blocks.packed import MAX_BYTES, Packed, canonical, join, listed, pack, unpack
from headland.blocks.wire import Reader, put_varint
from headland.vocabulary import Columns, PeerError, Priority


class Codec(IntEnum):
    """How to encode; AUTO is PLAIN for a few rows and COLUMNAR for more."""

    AUTO = 0
    PLAIN = 1
    FAST = 2
    COLUMNAR = 3


PLAIN_UP_TO = 20
"""Rows up to which AUTO writes PLAIN."""
COMPRESS_FROM = 64
"""Encoded bytes below which no class compresses."""

T = TypeVar("T")
_NONE, _LZ4, _ZSTD = range(3)
_LEVELS = {Priority.NORMAL: 3, Priority.LOW: 9}


def encode(columns: Columns, codec: Codec = Codec.AUTO, base_ns: int = 0) -> bytes:
    """The byte form of `columns`; `decode` needs the same `base_ns` (UTC ns).

    Raises:
        DefectError: columns of unequal length, too many rows, or a value that is none of ours.
    """
    if codec is Codec.AUTO:
        codec = Codec.PLAIN if 0 < len(columns) <= PLAIN_UP_TO else Codec.COLUMNAR
    if codec is Codec.PLAIN and 0 < len(columns) <= plain.MAX_PLAIN_ROWS:
        return plain.encode(columns, base_ns)
    return encode_packed(pack(columns), codec)


def encode_packed(packed: Packed, codec: Codec) -> bytes:
    """The byte form, FAST or COLUMNAR, of rows already taken apart."""
    if codec is Codec.FAST or not packed.rows:
        return fast.encode(packed)
    return columnar.encode(packed)


def decode(data: bytes | memoryview, base_ns: int = 0) -> Columns:
    """Rows from their byte form.

    Raises:
        PeerError: anything but what `encode` can have written.
    """
    reader = Reader(data)
    code = reader.byte()
    if code >= plain.CODE:
        columns = plain.decode(code & 0x7F, reader, base_ns)
    elif code == fast.CODE:
        columns = unpack(_numbered(fast.decode(reader)))
    elif code == columnar.CODE:
        columns = unpack(_numbered(columnar.decode(reader)))
    else:
        raise PeerError(f"codec {code:#x} is unknown")
    reader.end()
    return columns


def decode_packed(data: bytes | memoryview, base_ns: int = 0) -> Packed:
    """As `decode`, but left apart, as `pack` would make it of the same rows.

    Raises:
        PeerError: anything but what `encode` can have written.
    """
    reader = Reader(data)
    code = reader.byte()
    if code != fast.CODE and code != columnar.CODE:
        return pack(decode(data, base_ns))
    packed = _numbered(fast.decode(reader) if code == fast.CODE else columnar.decode(reader))
    reader.end()
    return packed if canonical(packed) else pack(unpack(packed))


def _numbered(packed: Packed) -> Packed:
    """`packed`, whose series have numbers that every codec can write."""
    sid = packed.sid
    if packed.rows and (sid.min() if isinstance(sid, np.ndarray) else min(sid)) < 0:
        raise PeerError("a series with a number below 0")
    return packed


def encode_again(units: Sequence[bytes | memoryview], base_ns: int = 0) -> tuple[bytes, int, frozenset[int]]:
    """What `encode` makes of the rows of several units, one after the other.

    Returns:
        The byte form, the number of rows, and the series in it.

    Raises:
        PeerError: one of the units does not decode.
    """
    parts = [part for unit in units if (part := decode_packed(unit, base_ns)).rows]
    if sum(part.rows for part in parts) > PLAIN_UP_TO:
        packed = join(parts)
        if packed is not None:
            return columnar.encode(packed), packed.rows, frozenset(listed(packed.sid))
    columns = Columns()
    for part in parts:
        columns.extend(unpack(part))
    return encode(columns, base_ns=base_ns), len(columns), frozenset(columns.sid)


def compress(priority: Priority, unit: bytes) -> bytes:
    """A block body from an encoded unit: none for critical, LZ4 for high, Zstandard 3 and 9 below."""
    if priority is not Priority.CRITICAL and len(unit) >= COMPRESS_FROM:
        head = bytearray((_LZ4 if priority is Priority.HIGH else _ZSTD,))
        put_varint(head, len(unit))
        if priority is Priority.HIGH:
            packed: bytes = lz4.block.compress(unit, store_size=False)
        else:
            with _compressors[_LEVELS[priority]].one() as compressor:
                packed = compressor.compress(unit)
        if len(head) + len(packed) <= len(unit):
            return bytes(head) + packed
    return bytes((_NONE,)) + unit


def decompress(body: bytes | memoryview) -> bytes:
    """The encoded unit in a block body.

    Raises:
        PeerError: unknown compression, a length that does not hold, or more than 64 MiB.
    """
    reader = Reader(body)
    how = reader.byte()
    if how == _NONE:
        return reader.take(reader.left)
    if how not in (_LZ4, _ZSTD):
        raise PeerError(f"compression {how} is unknown")
    length = reader.varint(MAX_BYTES)
    data = reader.take(reader.left)
    try:
        if how == _LZ4:
            unit: bytes = lz4.block.decompress(data, uncompressed_size=length)
        else:
            if zstandard.frame_content_size(data) != length:
                raise PeerError("a Zstandard frame of another length than announced")
            with _decompressors.one() as decompressor:
                unit = decompressor.decompress(data, max_output_size=length, allow_extra_data=False)
    except (zstandard.ZstdError, lz4.block.LZ4BlockError, ValueError) as error:
        raise PeerError(f"a block body does not decompress: {error}") from None
    if len(unit) != length:
        raise PeerError("a block body of another length than announced")
    return unit


class _Pool(Generic[T]):
    """Objects of zstandard that one thread at a time may use: taken out, used, put back.

    Taking and putting back are one operation each of a list, so no lock is needed.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: list[T] = []

    @contextmanager
    def one(self) -> Iterator[T]:
        """An object for this use alone."""
        try:
            held = self._idle.pop()
        except IndexError:
            held = self._make()
        yield held
        self._idle.append(held)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(
        level=level, write_content_size=True, write_checksum=False, write_dict_id=False
    )


_compressors = {level: _Pool(partial(_compressor, level)) for level in _LEVELS.values()}
_decompressors: _Pool[zstandard.ZstdDecompressor] = _Pool(zstandard.ZstdDecompressor)
