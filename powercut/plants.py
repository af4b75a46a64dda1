"""Defects that the harness has to find: each is one small error, in the driver or in a plan, for a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from headland.drivers import disk as driver
from headland.journal import checkpoint
from headland.journal.commit import Journal, begin_ops
from headland.journal.outbox_files import BlockFiles
from headland.journal.plan import DiskOp, Rename, Sync, SyncDir
from headland.journal.recovery import Recovered

Put = Callable[[Any, str, Any], None]


def _without(kind: type, ops: Sequence[DiskOp]) -> list[DiskOp]:
    return [op for op in ops if not isinstance(op, kind)]


def directories_are_not_synced(put: Put) -> None:
    """The driver takes an fsync of a directory for needless."""
    put(driver, "_sync_directory", lambda path: None)


def frames_are_not_synced(put: Put) -> None:
    """A commit within a segment is written, and reported without its fdatasync."""
    original = Journal.append

    def append(self: Journal, *arguments: Any) -> Any:
        appended = original(self, *arguments)
        return msgspec.structs.replace(appended, plan=_without(Sync, appended.plan))

    put(Journal, "append", append)


def frames_are_synced_too_early(put: Put) -> None:
    """The fdatasync of a commit happens before its write."""
    original = Journal.append

    def append(self: Journal, *arguments: Any) -> Any:
        appended = original(self, *arguments)
        *rest, written, synced = appended.plan
        return msgspec.structs.replace(appended, plan=[*rest, synced, written])

    put(Journal, "append", append)


def segment_names_are_not_synced(put: Put) -> None:
    """A new segment's name, or that of a recycled file, is left to chance."""
    original = begin_ops

    def begin(*arguments: Any) -> list[DiskOp]:
        return _without(SyncDir, original(*arguments))

    for name, module in list(sys.modules.items()):
        if name.startswith("headland.") and vars(module).get("begin_ops") is original:
            put(module, "begin_ops", begin)


def checkpoint_is_renamed_too_early(put: Put) -> None:
    """A checkpoint has its name before its bytes are synced."""
    original = checkpoint.write_ops

    def write_ops(*arguments: Any) -> list[DiskOp]:
        ops = original(*arguments)
        renamed = next(op for op in ops if isinstance(op, Rename))
        rest = [op for op in ops if op is not renamed and not isinstance(op, Sync)]
        return [*rest[:2], renamed, Sync(renamed.target), *rest[2:]]

    put(checkpoint, "write_ops", write_ops)


def checkpoint_names_are_not_synced(put: Put) -> None:
    """Older segments go although the new checkpoint's name may go, too."""
    original = checkpoint.write_ops
    put(checkpoint, "write_ops", lambda *arguments: _without(SyncDir, original(*arguments)))


def spills_are_not_synced(put: Put) -> None:
    """Blocks are noted in a file that is not synced, and leave the journal."""
    original = vars(BlockFiles)["_flush"]
    put(BlockFiles, "_flush", lambda *arguments: _without(Sync, original(*arguments)))


def file_names_are_not_synced(put: Put) -> None:
    """A new file of blocks is noted, its name is left to chance."""
    original = BlockFiles.append

    def append(self: BlockFiles, blocks: Any) -> Any:
        spilled = original(self, blocks)
        return msgspec.structs.replace(spilled, plan=_without(SyncDir, spilled.plan))

    put(BlockFiles, "append", append)


def recovery_is_not_synced(put: Put) -> None:
    """The last frame, which may be in the page cache only, is written again and not synced."""
    original = vars(Recovered)["plan"]
    put(Recovered, "plan", property(lambda self: _without(Sync, original.fget(self))))


PLANTS: dict[str, Callable[[Put], None]] = {
    plant.__name__: plant
    for plant in (
        directories_are_not_synced,
        frames_are_not_synced,
        frames_are_synced_too_early,
        segment_names_are_not_synced,
        checkpoint_is_renamed_too_early,
        checkpoint_names_are_not_synced,
        spills_are_not_synced,
        file_names_are_not_synced,
        recovery_is_not_synced,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Within the block the defect is there."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, attribute: str, value: Any) -> None:
        undo.append((owner, attribute, vars(owner)[attribute]))
        setattr(owner, attribute, value)

    try:
        PLANTS[name](put)
        yield
    finally:
        for owner, attribute, value in reversed(undo):
            setattr(owner, attribute, value)
