"""What stands at the parent, against what was acknowledged: read from its files once it has stopped.

Every block that it applied is decoded, its own log and its store, without a look at any ledger. A connection
publishes to one series, numbers its readings from 0 and has its publishes acknowledged in order, so that its
n acknowledged readings are those with the sequences 0 to n - 1. Takes 9 bytes of memory a reading.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from headland.blocks import codec
from headland.config import Loaded
from headland.config.loading import load
from headland.drivers.reading_disk import ReadingDisk
from headland.node import offline, query
from headland.vocabulary import RowKind
from soak.site import PREFIX

Array = npt.NDArray[np.int64]
UNKNOWN = -1


class Arrived(msgspec.Struct):
    """What was found.

    Attributes:
        rows: Readings of the load, repeats included.
        blocks: That they came in.
        bytes: Payload bytes that they stand for.
        lost: Acknowledged and not there.
        duplicated: There more than once.
        reordered: Behind a later one of their series: on arrival by the same way, or by device time.
        unacknowledged: There, though no acknowledgement came.
        foreign: Rows that are not of the load: what nodes say of themselves.
        damage: What cannot be read.
    """

    rows: int = 0
    blocks: int = 0
    bytes: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    unacknowledged: int = 0
    foreign: int = 0
    damage: list[str] = []


class Count:
    """Takes blocks in order of arrival."""

    def __init__(self, acked: Sequence[int]) -> None:
        """`acked`: readings acknowledged of each series `soak/c0`, `soak/c1` ..."""
        self.found = Arrived()
        self._acked = np.asarray(acked, np.int64)
        self._first = np.concatenate([[0], np.cumsum(self._acked)]).astype(np.int64)
        self._numbers = {f"{PREFIX}/c{number}": number for number in range(len(acked))}
        self._times = np.full(int(self._first[-1]), np.iinfo(np.int64).min, np.int64)
        self._seen = np.zeros(int(self._first[-1]), np.bool_)
        self._newest: dict[tuple[str, int, int], Array] = {}

    def take(self, way: tuple[str, int, int], names: dict[int, str], rows: Rows) -> None:
        """A block that came by a way (origin, class, path of lanes); names of the series in it."""
        found = self.found
        sids, place = np.unique(rows.sid, return_inverse=True)
        known = np.array([self._numbers.get(names.get(int(sid), ""), UNKNOWN) for sid in sids], np.int64)
        series = known[place]
        ours = (series != UNKNOWN) & (rows.kind == RowKind.READING)
        found.foreign += int(len(ours) - ours.sum())
        if not ours.any():
            return
        series, seq, ts = series[ours], rows.seq[ours], rows.ts[ours]
        found.blocks += 1
        found.rows += len(series)
        found.bytes += int(rows.size[ours].sum())
        self._in_order(way, series, seq)
        promised = (seq >= 0) & (seq < self._acked[series])
        found.unacknowledged += int(len(promised) - promised.sum())
        at = self._first[series[promised]] + seq[promised]
        unique, first = np.unique(at, return_index=True)
        found.duplicated += len(at) - len(unique) + int(self._seen[unique].sum())
        self._seen[unique] = True
        self._times[unique] = ts[promised][first]

    def _in_order(self, way: tuple[str, int, int], series: Array, seq: Array) -> None:
        newest = self._newest.setdefault(way, np.full(len(self._acked), UNKNOWN, np.int64))
        order = np.argsort(series, kind="stable")
        series, seq = series[order], seq[order]
        before = np.empty_like(seq)
        before[0] = newest[series[0]]
        before[1:] = np.where(series[1:] == series[:-1], seq[:-1], newest[series[1:]])
        self.found.reordered += int((seq < before).sum())
        np.maximum.at(newest, series, seq)

    def done(self) -> Arrived:
        """What was found, once every block was taken."""
        self.found.lost = int(len(self._seen) - self._seen.sum())
        for number in range(len(self._acked)):
            part = slice(int(self._first[number]), int(self._first[number + 1]))
            times = self._times[part][self._seen[part]]
            self.found.reordered += int((np.diff(times) <= 0).sum())
        return self.found


class Rows(msgspec.Struct, frozen=True):
    """Columns of a block, as long as each other."""

    sid: Array
    ts: Array
    seq: Array
    kind: Array
    size: Array


def count(file: Path, acked: Sequence[int]) -> Arrived:
    """Read all that a stopped node stores.

    Args:
        file: Its configuration.
        acked: Readings acknowledged of each series.

    Raises:
        InUse: It runs.
        StorageDamage: Not even its log can be read.
    """
    loaded: Loaded = load(file, os.environ)
    disk = ReadingDisk(loaded.data_dir)
    node = offline._open(loaded, disk)
    where = query.plan(node)
    counting = Count(acked)
    assert where is not None
    for block in query._blocks(disk, where, node.parts.names, counting.found.damage):
        header = block.header
        names = {sid: key.name for sid, key in block.keys.items()}
        counting.take((header.origin, int(header.priority), header.path), names, _rows_of(block))
    return counting.done()


def _rows_of(block: query._Block) -> Rows:
    packed = codec.decode_packed(codec.decompress(block.body), block.header.base_ns)
    seq, kind, _, size = (
        np.full(packed.rows, default, np.int64) if column is None else np.asarray(column, np.int64)
        for column, default in zip(packed.extras, (UNKNOWN, 0, 0, 0), strict=True)
    )
    return Rows(np.asarray(packed.sid, np.int64), np.asarray(packed.ts, np.int64), seq, kind, size)
