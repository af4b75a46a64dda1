"""What the journal wants of a disk: a short list of operations, executed in order by whoever owns one.

Paths are relative to the data directory, with "/" between parts. An operation is issued after the one before
it has returned; what a crash leaves of operations without a `Sync` or `SyncDir` is anybody's guess, and
the recovery is written for the worst guess.

A plan that a full disk stopped may be executed again from its beginning, unchanged: space runs out only in
`Create`, and everything before it is idempotent.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

JOURNAL = "journal"
CHECKPOINT = "checkpoint"
OUTBOX = "outbox"
STORE = "store"
DIRECTORIES = (
    JOURNAL,
    CHECKPOINT,
    OUTBOX,
    f"{OUTBOX}/critical",
    f"{OUTBOX}/high",
    f"{OUTBOX}/normal",
    f"{OUTBOX}/low",
    STORE,
)
"""Directories that exist, durably, before the first operation."""


class Create(msgspec.Struct, frozen=True, tag=True):
    """Make the file if it is not there, allocate `size` bytes, never shorten it. Space runs out only here."""

    path: str
    size: int


class Write(msgspec.Struct, frozen=True, tag=True):
    """Write all of `data` at `offset` of an existing file."""

    path: str
    offset: int
    data: bytes


class Sync(msgspec.Struct, frozen=True, tag=True):
    """Make the file's data durable (fdatasync)."""

    path: str


class SyncDir(msgspec.Struct, frozen=True, tag=True):
    """Make the names in a directory durable (fsync)."""

    path: str


class Rename(msgspec.Struct, frozen=True, tag=True):
    """Give a file another name; replaces what had it."""

    source: str
    target: str


class Unlink(msgspec.Struct, frozen=True, tag=True):
    """Remove a name; no error if it is not there."""

    path: str


class Truncate(msgspec.Struct, frozen=True, tag=True):
    """Cut a file at `size` bytes and give back what lies beyond."""

    path: str
    size: int


DiskOp = Create | Write | Sync | SyncDir | Rename | Unlink | Truncate


class DiskReader(Protocol):
    """What recovery needs of a disk."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file, fewer at its end.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def size(self, path: str) -> int:
        """Length of a file in bytes.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted; empty when there is no such directory."""
        ...
