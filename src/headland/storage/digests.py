"""What the newest blocks were: enough of each digest to tell a repeat from a fork.

A column for each (origin, epoch, class): 8 bytes for each k from its first on, zeros where nothing has come.
The newest `PER_COLUMN` numbers of a column stay, and the `COLUMNS` that something has come of last; what is
older is not compared any more. 8 bytes: two blocks that differ by accident are told apart but for one case in
10^19; a child that makes two on purpose has been let in by its certificate.
"""

from __future__ import annotations

import msgspec

from headland.storage.applied import Identity

BYTES = 8
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

    def add(self, identity: Identity, k: int, digest: bytes) -> None:
        """A block was applied for the first time."""
        first, column = self._columns.pop(identity, (k, bytearray()))
        at = (k - first) * BYTES
        if at < 0 or k - first >= 2 * PER_COLUMN:
            first, column, at = k, bytearray(), 0
        if at > len(column):
            column += bytes(at - len(column))
        column[at : at + BYTES] = digest[:BYTES]
        surplus = len(column) // BYTES - PER_COLUMN
        if surplus > PER_COLUMN // 8:
            del column[: surplus * BYTES]
            first += surplus
        self._columns[identity] = first, column
        if len(self._columns) > COLUMNS:
            del self._columns[next(iter(self._columns))]

    def differs(self, identity: Identity, k: int, digest: bytes) -> bool | None:
        """Whether a block that was applied was another than this; None when that is not known any more."""
        first, column = self._columns.get(identity, (k, bytearray()))
        at = (k - first) * BYTES
        known = bytes(column[at : at + BYTES]) if at >= 0 else b""
        return None if known in (b"", UNKNOWN) else known != digest[:BYTES]

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
        return msgspec.msgpack.encode([columns, list(self._forks)])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        columns, forks = msgspec.msgpack.decode(
            data, type=tuple[list[tuple[str, bytes, int, int, bytes]], list[tuple[Identity, int, bytes]]]
        )
        self._columns = {(o, epoch, cls): (first, bytearray(raw)) for o, epoch, cls, first, raw in columns}
        self._forks = dict.fromkeys(forks)
