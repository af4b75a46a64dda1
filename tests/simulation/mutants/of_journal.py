"""Errors in the journal: what is synced when, what recovery believes, what a checkpoint stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import google_crc32c
import msgspec
from tests.simulation.mutants.patching import Garden, Patch

from headland.journal import checkpoint, frame, recovery, segment
from headland.journal.commit import Journal, begin_ops
from headland.journal.frame import Frame
from headland.journal.outbox_files import BlockFiles
from headland.journal.plan import DiskOp, Sync, SyncDir, Truncate, Unlink
from headland.journal.recovery import Recovered
from headland.journal.segment import Mark

garden = Garden("journal")


def without(kind: type, ops: list[DiskOp]) -> list[DiskOp]:
    return [op for op in ops if not isinstance(op, kind)]


@garden.mutant(
    "2.1: an acknowledgement is released when its commit is durable; this commit is never synced", seeds=(1,)
)
def commit_is_not_synced(patch: Patch) -> None:
    def append(self: Journal, *arguments: Any) -> Any:
        appended = original(self, *arguments)
        return msgspec.structs.replace(appended, plan=without(Sync, appended.plan))

    original = patch.put(Journal, "append", append)


@garden.mutant("3.2: directory entries are fsynced; the name of a new segment is not", seeds=(1,))
def segment_name_is_not_synced(patch: Patch) -> None:
    original = begin_ops

    def begin(*arguments: Any) -> list[DiskOp]:
        return without(SyncDir, original(*arguments))

    patch.everywhere(begin_ops, begin)


@garden.mutant(
    "3.2: recovery never trusts the last frame; this one goes on behind it without rewriting it",
    scenario="crashes",
    seeds=(13,),
)
def last_frame_is_trusted(patch: Patch) -> None:
    def read(self: Any) -> Iterator[Frame]:
        start = self.checkpoint_info
        for found in self._chain.walk(self.last, start.place if start else None):
            self._log_bytes += found.length
            self.last = Mark(found.epoch, found.n)
            yield found

    def plan(self: Any) -> list[DiskOp]:
        self._finish()
        used = self._chain.used
        ops: list[DiskOp] = []
        for number in self._chain.ids:
            if number >= self._chain.started_at and number not in used:
                ops.append(Unlink(segment.path_of(number)))
        return ops + self._drop

    def journal(self: Any) -> Journal:
        self._finish()
        segments = self._chain.infos()
        known = [*self._old_checkpoints, *([self.checkpoint_info] if self.checkpoint_info else [])]
        return Journal(
            self._config, segments, self.last, self._new_segment, known, self._log_bytes,
            open_last=bool(segments),
        )  # fmt: skip

    patch.put(Recovered, "_read", read)
    patch.put(Recovered, "plan", property(plan))
    patch.put(Recovered, "journal", property(journal))


@garden.mutant(
    "3.2: the rewritten last frame is synced before any listener opens; this one is only written",
    scenario="crashes",
    seeds=(3,),
)
def rewritten_frame_is_not_synced(patch: Patch) -> None:
    original = vars(Recovered)["plan"]
    patch.put(Recovered, "plan", property(lambda self: without(Sync, original.fget(self))))


@garden.mutant(
    "3.2: a segment voids what stands behind its place; here the oldest branch of the log wins",
    scenario="recoveries",
    seeds=(2,),
)
def oldest_branch_wins(patch: Patch) -> None:
    def younger(self: Any, last: Mark, above: int) -> int | None:
        return next((one for one in self.ids if one > above and self._after_of(one) == last), None)

    patch.put(recovery._Chain, "_younger", younger)


@garden.mutant("3.2: a torn frame is cut; the CRC of this one covers the header alone", scenario="crashes")
def crc_skips_the_body(patch: Patch) -> None:
    def crc(number: int, epoch: bytes, head: bytes, body: bytes | memoryview) -> int:
        salt = number.to_bytes(8, "little") + epoch
        value: int = google_crc32c.value(salt + bytes(head[:12]) + bytes(head[16:]))
        return value

    patch.put(frame, "_crc", crc)


@garden.mutant(
    "1, commit: the CRC is salted with segment id and epoch; frames of a recycled file verify here",
    seeds=(1,),
)
def crc_without_salt(patch: Patch) -> None:
    def crc(number: int, epoch: bytes, head: bytes, body: bytes | memoryview) -> int:
        value: int = google_crc32c.value(bytes(head[:4]) + bytes(head[8:12]) + bytes(head[16:]) + bytes(body))
        return value

    def parse(number: int, data: bytes) -> Any:
        if len(data) < 8:
            return None
        return original(number, data[:4] + (number & 0xFFFFFFFF).to_bytes(4, "little") + data[8:])

    patch.put(frame, "_crc", crc)
    original = frame.parse_head
    patch.everywhere(frame.parse_head, parse)


@garden.mutant(
    "3.3: a checkpoint is synced before it is renamed; this one is renamed from the page cache", seeds=(1,)
)
def checkpoint_is_not_synced(patch: Patch) -> None:
    def write_ops(*arguments: Any) -> list[DiskOp]:
        return without(Sync, original(*arguments))

    original = patch.put(checkpoint, "write_ops", write_ops)


@garden.mutant("3.3: the directory is synced after the rename; here nobody does", seeds=(1,))
def checkpoint_name_is_not_synced(patch: Patch) -> None:
    def write_ops(*arguments: Any) -> list[DiskOp]:
        return without(SyncDir, original(*arguments))

    original = patch.put(checkpoint, "write_ops", write_ops)


@garden.mutant(
    "3.3: a segment may go when the older of two checkpoints has passed it; here all but the newest go",
    scenario="late",
    seeds=(1,),
)
def every_older_segment_is_recyclable(patch: Patch) -> None:
    def recyclable(self: Any) -> list[int]:
        return [info.id for info in self._segments[:-1]]

    patch.put(Journal, "recyclable", recyclable)


@garden.mutant(
    "3.1: a spilled block is synced before it is noted; here the note overtakes the sync", seeds=(1,)
)
def spill_is_noted_before_its_sync(patch: Patch) -> None:
    def flush(*arguments: Any) -> list[DiskOp]:
        return without(Sync, original(*arguments))

    original = patch.put(BlockFiles, "_flush", flush)


@garden.mutant("3.2: directory entries are fsynced; the name of a new outbox file is not", seeds=(1,))
def outbox_file_name_is_not_synced(patch: Patch) -> None:
    def append(self: BlockFiles, blocks: Any) -> Any:
        spilled = original(self, blocks)
        return msgspec.structs.replace(spilled, plan=without(SyncDir, spilled.plan))

    original = patch.put(BlockFiles, "append", append)


@garden.mutant(
    "3.1: an unnoted spill is repeated; here what is behind the note stays and is appended to", seeds=(1,)
)
def unnoted_spill_is_kept(patch: Patch) -> None:
    def reconcile(self: Any, disk: Any) -> list[DiskOp]:
        for op in original(self, disk):
            if isinstance(op, Truncate):
                number = next(n for n in self._files if op.path.endswith(f"{n:016x}.blk"))
                info = self._files[number]
                self._files[number] = msgspec.structs.replace(info, bytes=disk.size(op.path))
        return []

    original = patch.put(BlockFiles, "reconcile", reconcile)
