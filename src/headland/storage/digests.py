"""What the newest blocks were: enough of each digest to tell a repeat from a fork.

A column for each (origin, epoch, class): for each k from its first on 8 bytes of the digest and the number of
rows (u32), zeros where nothing has come. The newest `PER_COLUMN` numbers of a column stay, and the `COLUMNS`
that something has come of last; what is older is not compared any more. 8 bytes: two blocks that differ by
accident are told apart but for one case in 10^19; a child that makes two on purpose has been let in by its
certificate.
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
PER_COLUMN = 16_384
COLUMNS = 256
FORKS_MAX = 4_096
"""Forked blocks that are known, so that each is kept once."""


class Digests:
    """Digests of blocks that were applied, and of others of the same identity."""

    def __init__(self) -> None:
        self._columns: dict[Identity, tuple[int, bytearray]] = {}
        self._forks: dict[tuple[Identity, int, bytes], None] = {}

    def add(self, identity: Identity, k: int, digest: bytes, rows: int) -> None:
        """A block was applied for the first time, or another that begins with what was applied before."""
        first, column = self._columns.pop(identity, (k, bytearray()))
        at = (k - first) * ENTRY.size
        if at < 0 or k - first >= 2 * PER_COLUMN:
            first, column, at = k, bytearray(), 0
        if at > len(column):
            column += bytes(at - len(column))
        column[at : at + ENTRY.size] = ENTRY.pack(digest[:BYTES], rows)
        surplus = len(column) // ENTRY.size - PER_COLUMN
        if surplus > PER_COLUMN // 8:
            del column[: surplus * ENTRY.size]
            first += surplus
        self._columns[identity] = first, column
        if len(self._columns) > COLUMNS:
            del self._columns[next(iter(self._columns))]

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


def _without_rows(digests: bytes) -> bytearray:
    """Entries of an earlier version."""
    return bytearray().join(ENTRY.pack(digests[at : at + BYTES], 0) for at in range(0, len(digests), BYTES))
