"""A data directory's log: what a start makes of any bytes in two segments and a checkpoint.

A byte, then chunks: segment 1, segment 2, the checkpoint. Bit 0 of the byte: checksums of segment headers and
frames are put right first, wherever their magic stands, so that mutation gets behind them; bit 1: there is a
checkpoint, its digest put right if bit 2.
"""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise

from fuzz.target import Script, Target, chunk, hold
from headland.journal import JournalConfig, Mark, Recovered, Section, recover
from headland.journal import frame as frames
from headland.journal import segment as segments
from headland.journal.checkpoint import CheckpointInfo, Place, encode_file
from headland.journal.checkpoint import path_of as checkpoint_path
from headland.journal.plan import Create, DiskOp, Sync, SyncDir, Write
from headland.simulation.disk import SimulatedDisk

EPOCH = bytes(range(16))
CONFIG = JournalConfig(segment_bytes=4_096, checkpoint_log_bytes=2_048, checkpoint_ratio=1)


def check(data: bytes) -> bytes:
    """What is found stands there byte for byte, in order; a second start finds the same."""
    script = Script(data)
    how = script.byte()
    files = {segments.path_of(number): script.chunk() for number in (1, 2)}
    if how & 1:
        files = {path: _checked(number + 1, image) for number, (path, image) in enumerate(files.items())}
    stored = dict(files)
    if how & 2:
        image = script.chunk()
        stored[checkpoint_path(1)] = _digested(image) if how & 4 else image
    disk = SimulatedDisk()
    for path, image in stored.items():
        for made in (
            Create(path, len(image)),
            Write(path, 0, image),
            Sync(path),
            SyncDir(path.partition("/")[0]),
        ):
            disk.apply(made)
    first = recover(disk, CONFIG)
    found = list(first.frames())
    for number, frame in enumerate(found):
        image = frames.encode_frame(1, frame.epoch, frame.n, frame.node_ns, frame.running_ms, frame.sections)[
            frames.HEADER_BYTES :
        ]
        hold(any(image in other for other in files.values()), f"frame {number} stands nowhere")
    told = repr((_told(found), first.damage, first.cut, first.last)).encode()
    for op in first.plan:
        disk.apply(op)
    second = _again(disk)
    again = list(second.frames())
    numbers = [(one.epoch, one.n) for one in found]
    ordered = all(one < other or one[0] != other[0] for one, other in pairwise(numbers))
    if how & 1 or not ordered or len(set(numbers)) < len(numbers):
        return told  # forged, or frames copied about: neither damage nor a crash makes such a log
    hold(_told(again) == _told(found), f"a second start finds {_told(again)}, the first {_told(found)}")
    hold(second.last == first.last and not second.cut, f"after the repair: {second.cut}, {second.last}")
    journal = second.journal
    n = second.last.n + 1
    ops: list[DiskOp] = [*second.plan, *journal.append(EPOCH, n, 1, 1, [Section(1, b"more")]).plan]
    for op in ops:
        disk.apply(op)
    third = _again(disk)
    more = list(third.frames())
    hold(
        _told(more)[:-1] == _told(found) and third.last == Mark(EPOCH, n),
        "what is committed next is not found",
    )
    return told


def _again(disk: SimulatedDisk) -> Recovered:
    return recover(disk.process_kill(), CONFIG)


def _told(found: list[frames.Frame]) -> list[tuple[bytes, int, int, int, tuple[Section, ...]]]:
    return [(one.epoch, one.n, one.node_ns, one.running_ms, one.sections) for one in found]


def _checked(segment: int, image: bytes) -> bytes:
    """The image with the checksums that its headers and frames should have."""
    out = bytearray(image)
    if len(out) >= segments.HEADER_BYTES:
        struct.pack_into("<I", out, 40, frames.crc32c(bytes(out[:40])))
    at = out.find(frames.MAGIC)
    while at >= 0:
        head = bytes(out[at : at + frames.HEADER_BYTES])
        parsed = frames.parse_head(segment, head)
        if parsed is not None:
            body = bytes(out[at + frames.HEADER_BYTES : at + frames.HEADER_BYTES + parsed.body_bytes])
            salted = struct.pack("<Q16s", segment, parsed.epoch) + head[:12] + head[16:] + body
            struct.pack_into("<I", out, at + 12, frames.crc32c(salted))
        at = out.find(frames.MAGIC, at + 1)
    return bytes(out)


def _digested(image: bytes) -> bytes:
    head, packed = image[:72], image[88:]
    state = hashlib.blake2b(head, digest_size=16)
    state.update(packed)
    return head + state.digest() + packed


def _segment(number: int, after: Mark, ns: range, epoch: bytes = EPOCH) -> bytes:
    out = segments.encode_header(number, after)
    for n in ns:
        sections = [Section(1, b"commit %d" % n), Section(200, b"", version=7)]
        out += frames.encode_frame(number, epoch, n, 1_000 + n, 10 * n, sections)
    return out


def seeds() -> dict[str, bytes]:
    """Logs as they are left: whole, torn, recycled, checkpointed."""
    one, two = _segment(1, Mark(), range(1, 5)), _segment(2, Mark(EPOCH, 4), range(5, 8))
    back = _segment(2, Mark(EPOCH, 2), range(3, 5))
    other = _segment(2, Mark(EPOCH, 4), range(1, 3), bytes(16))
    info = CheckpointInfo(1, Mark(EPOCH, 2), Place(1, 64 + 2 * 84))
    saved = encode_file(info, b"state " * 20)
    made = {
        "two": chunk(one) + chunk(two),
        "voided": chunk(one) + chunk(back),
        "epochs": chunk(one) + chunk(other),
        "torn": chunk(one[:-20]) + chunk(b""),
        "hole": chunk(one[:160] + bytes(40) + one[200:]) + chunk(two),
        "unbegun": chunk(one) + chunk(two[:64] + bytes(100)),
        "renamed": chunk(one) + chunk(one),
        "empty": chunk(b"") + chunk(b""),
    }
    plain = {name: bytes((index & 1,)) + data for index, (name, data) in enumerate(made.items())}
    with_state = {f"{name}-saved": b"\x07" + made[name] + chunk(saved) for name in ("two", "voided", "torn")}
    return plain | with_state


TARGET = Target(
    name="journal",
    law="what a start finds stands there byte for byte; a second one finds the same, and what is new",
    check=check,
    seeds=seeds,
    words=(
        frames.MAGIC,
        b"HLsegm1\n",
        b"HLckpt1\n",
        b"\xff\xff\xff\xff",
        EPOCH,
        bytes(16),
        b"\x01\x00\x00\x00",
    ),
    rounds=500,
)
