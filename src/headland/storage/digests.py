"""What the newest blocks were: enough of each digest to tell a repeat from a fork.

A column for each (origin, epoch, class): for each k from its first on 8 bytes of the digest and the number of
rows (u32), zeros where nothing has come. All columns together have at most `ENTRIES` entries (50 MB): few
origins are remembered `PER_COLUMN` blocks back, many at least `PER_COLUMN_LEAST`; what is older is not
compared any more. 8 bytes: two blocks that differ by accident are told apart but for one case in 10^19; a
child that makes two on purpose has been let in by its certificate.
"""

from __future__ import annotations

import struct

import msgspec

from headland.storage.applied import Identity

FORMAT = 2
"""Of a snapshot: [2, columns, forks]; before it, [columns, forks], and entries without the number of rows."""
BYTES = 8
ENTRY = struct.Struct("<8sI")
UNKNOWN = bytes(BYTES)
ENTRIES = 1 << 22
PER_COLUMN = 16_384
PER_COLUMN_LEAST = 64
COLUMNS = ENTRIES // PER_COLUMN_LEAST
FORKS_MAX = 4_096
"""Forked blocks that are known, so that each is kept once."""


class Digests:
    """Digests of blocks that were applied, and of others of the same identity."""

    def __init__(self) -> None:
        self._columns: dict[Identity, tuple[int, bytearray]] = {}
        self._entries = 0
        self._forks: dict[tuple[Identity, int, bytes], None] = {}

    def add(self, identity: Identity, k: int, digest: bytes, rows: int) -> None:
        """A block was applied for the first time, or another that begins with what was applied before."""
        first, column = self._columns.pop(identity, (k, bytearray()))
        before = len(column)
        if k >= first + len(column) // ENTRY.size + PER_COLUMN:
            first, column = k, bytearray()  # nothing of it would be among the newest
        elif first - PER_COLUMN < k < first:
            column[:0] = bytes((first - k) * ENTRY.size)
            first = k
        at = (k - first) * ENTRY.size
        if at >= 0:
            column += bytes(max(0, at - len(column)))
            column[at : at + ENTRY.size] = ENTRY.pack(digest[:BYTES], rows)
        self._columns[identity] = _newest(first, column, PER_COLUMN + PER_COLUMN // 8, PER_COLUMN)
        self._entries += (len(self._columns[identity][1]) - before) // ENTRY.size
        if len(self._columns) > COLUMNS:
            _, oldest = self._columns.pop(next(iter(self._columns)))
            self._entries -= len(oldest) // ENTRY.size
        if self._entries > ENTRIES:
            self._shrink()

    def _shrink(self) -> None:
        """Every column gives up what is beyond its share, and an eighth more, so that this is seldom."""
        share = ENTRIES // len(self._columns) * 7 // 8
        self._columns = {key: _newest(*kept, share, share) for key, kept in self._columns.items()}
        self._count()

    def _count(self) -> None:
        self._entries = sum(len(column) for _, column in self._columns.values()) // ENTRY.size

    def known(self, identity: Identity, k: int) -> tuple[bytes, int] | None:
        """Digest (its first `BYTES`) and rows of the block that was applied; None when that is not known.

        The rows are 0 where an earlier version noted it.
        """
        first, column = self._columns.get(identity, (k, bytearray()))
        at = (k - first) * ENTRY.size
        if not 0 <= at < len(column):
            return None
        digest, rows = ENTRY.unpack_from(column, at)
        return None if digest == UNKNOWN else (digest, rows)

    def differs(self, identity: Identity, k: int, digest: bytes) -> bool | None:
        """Whether a block that was applied was another than this; None when that is not known any more."""
        known = self.known(identity, k)
        return None if known is None else known[0] != digest[:BYTES]

    def fork(self, identity: Identity, k: int, digest: bytes) -> bool:
        """Another block of an identity is here: whether for the first time."""
        key = identity, k, digest[:BYTES]
        if key in self._forks:
            return False
        self._forks[key] = None
        if len(self._forks) > FORKS_MAX:
            del self._forks[next(iter(self._forks))]
        return True

    def forked(self, identity: Identity, k: int, digest: bytes) -> bool:
        """Whether this other block is kept already."""
        return (identity, k, digest[:BYTES]) in self._forks

    def forget(self, epochs: set[tuple[str, bytes]]) -> None:
        """Nothing can be said of these epochs any more."""
        self._columns = {key: kept for key, kept in self._columns.items() if key[:2] not in epochs}
        self._forks = {key: None for key in self._forks if key[0][:2] not in epochs}
        self._count()

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        columns = [(*identity, first, bytes(column)) for identity, (first, column) in self._columns.items()]
        return msgspec.msgpack.encode([FORMAT, columns, list(self._forks)])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        version, *rest = msgspec.msgpack.decode(data)
        columns, forks = msgspec.convert(
            rest if version == FORMAT else [version, *rest],
            tuple[list[tuple[str, bytes, int, int, bytes]], list[tuple[Identity, int, bytes]]],
        )
        load = bytearray if version == FORMAT else _without_rows
        self._columns = {(o, epoch, cls): (first, load(raw)) for o, epoch, cls, first, raw in columns}
        self._forks = dict.fromkeys(forks)
        self._count()


def _newest(first: int, column: bytearray, beyond: int, keep: int) -> tuple[int, bytearray]:
    """A column of more than `beyond` entries without those before its newest `keep`."""
    surplus = len(column) // ENTRY.size - keep
    if len(column) // ENTRY.size <= beyond:
        return first, column
    return first + surplus, column[surplus * ENTRY.size :]


def _without_rows(digests: bytes) -> bytearray:
    """Entries of an earlier version."""
    return bytearray().join(ENTRY.pack(digests[at : at + BYTES], 0) for at in range(0, len(digests), BYTES))
