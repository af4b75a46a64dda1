"""Sealing rows into a block, and opening one that came from elsewhere."""

from __future__ import annotations

from array import array

import numpy as np

from headland.blocks import codec
from headland.blocks.digest import digest as digest_of
from headland.blocks.digest import digest_packed
from headland.blocks.header import MAX_GROUPS, BlockHeader, Run
from headland.blocks.packed import Ints, listed, pack, solidify
from headland.vocabulary import NO_TIME, Columns, Lane, PeerError, Priority


def seal(
    columns: Columns,
    *,
    origin: str,
    epoch: bytes,
    priority: Priority,
    k: int,
    lane: Lane,
    runs: tuple[Run, ...],
    age_ms: int = 0,
    groups: tuple[str, ...] = (),
    with_body: bool = True,
) -> tuple[BlockHeader, bytes]:
    """Header and body of the block that these rows make; from here on neither changes.

    Args:
        columns: Its rows in commit order, at least one.
        origin: This node's name.
        epoch: 16 bytes, this node's epoch.
        priority: Its class: decides the compression.
        k: Next number of this class in this epoch.
        lane: Live or backlog, as of now.
        runs: Which commits brought how many of the rows.
        age_ms: Running time since the first row's commit.
        groups: Series groups in it; more than 16 are written as "any".
        with_body: Whether the body is wanted now; a block that will be read back from its rows needs none.

    Raises:
        DefectError: rows or runs break a bound.
    """
    packed = pack(columns)
    if packed.rows > codec.PLAIN_UP_TO:
        solidify(packed)
    ts_min, ts_max = _span(packed.ts)
    header = BlockHeader(
        origin=origin,
        epoch=epoch,
        priority=priority,
        k=k,
        lane=lane,
        rows=len(columns),
        size=sum(columns.size) if columns.size is not None else 0,
        runs=runs,
        ts_min=ts_min,
        ts_max=ts_max,
        age_ms=age_ms,
        digest=digest_packed(packed),
        groups=groups if len(groups) <= MAX_GROUPS else (),
    )
    if not with_body:
        return header, b""
    if len(columns) <= codec.PLAIN_UP_TO:
        unit = codec.encode(columns, codec.Codec.PLAIN, header.base_ns)
    else:
        unit = codec.encode_packed(packed, codec.Codec.COLUMNAR)
    return header, codec.compress(priority, unit)


def _span(ts: Ints) -> tuple[int, int]:
    """First and last of the times that are any."""
    if not isinstance(ts, array):
        timed = [one for one in ts if one != NO_TIME]
        return min(timed, default=NO_TIME), max(timed, default=NO_TIME)
    times = np.frombuffer(ts, np.int64)
    last = int(times.max())
    first = int(times.min())
    if first == NO_TIME != last:
        first = int(times[times != NO_TIME].min())
    return first, last


def open_block(header: BlockHeader, body: bytes | memoryview) -> tuple[Columns, bytes]:
    """Rows and digest of a block.

    Raises:
        PeerError: the body does not decode, or is not what its header says.
    """
    columns = codec.decode(codec.decompress(body), header.base_ns)
    found = digest_of(columns)
    _compare(header, len(columns), found)
    return columns, found


def check_block(header: BlockHeader, body: bytes | memoryview) -> frozenset[int]:
    """The series in a block, which is what its header says.

    Raises:
        PeerError: the body does not decode, or is not what its header says.
    """
    rows, found, sids = examine(body, header.base_ns)
    _compare(header, rows, found)
    return sids


def _compare(header: BlockHeader, rows: int, found: bytes) -> None:
    if rows != header.rows:
        raise PeerError(f"a block of {rows} rows whose header says {header.rows}")
    if header.digest and found != header.digest:
        name = f"{header.origin}/{header.priority.name.lower()}/{header.k}"
        raise PeerError(f"block {name}: its rows have another digest")


def examine(body: bytes | memoryview, base_ns: int) -> tuple[int, bytes, frozenset[int]]:
    """Number, digest and series of the rows in a block's body, without making values of them.

    Raises:
        PeerError: the body does not decode.
    """
    packed = codec.decode_packed(codec.decompress(body), base_ns)
    return packed.rows, digest_packed(packed), frozenset(listed(packed.sid))
