"""A file of sealed blocks: first byte's bit 0 puts checksums right wherever the magic stands."""

from __future__ import annotations

import struct

import google_crc32c

from fuzz.target import Target, hold
from fuzz.targets.block_headers import headers
from headland.blocks.header import encode_alone
from headland.journal.outbox_files import MAGIC, RECORD_HEADER_BYTES, BadRecord, read_blocks
from headland.journal.plan import Create, Sync, Write
from headland.simulation.disk import SimulatedDisk

PATH = "store/0000000000000001.blk"


def check(data: bytes) -> bytes:
    """Blocks and bad stretches cover the file without gap or overlap, and a block is what stands there."""
    image = _checked(data[1:]) if data[:1] and data[0] & 1 else data[1:]
    disk = SimulatedDisk()
    for op in (Create(PATH, len(image)), Write(PATH, 0, image), Sync(PATH)):
        disk.apply(op)
    at, story = 0, []
    for found in read_blocks(disk, PATH, 1, 0, len(image)):
        if isinstance(found, BadRecord):
            hold(at == found.offset < found.end <= len(image), f"{found} at {at} of {len(image)}")
            at = found.end
            story.append(f"bad to {at}")
            continue
        hold(found.ref.offset == at and found.ref.length >= RECORD_HEADER_BYTES, f"{found.ref} at {at}")
        at += found.ref.length
        hold(image[:at].endswith(found.body), "a body that does not stand there")
        hold(found.header.rows == sum(run.rows for run in found.header.runs), f"{found.header}")
        story.append(f"{found.header!r} {found.body!r}")
    hold(at == len(image), f"read to {at} of {len(image)}")
    return "\n".join(story).encode()


def _checked(image: bytes) -> bytes:
    out = bytearray(image)
    at = out.find(MAGIC)
    while at >= 0:
        front = bytes(out[at : at + 12])
        if len(front) == 12:
            header, body = struct.unpack_from("<II", front, 4)
            rest = bytes(out[at + 16 : at + 16 + header + body])
            crc = google_crc32c.extend(google_crc32c.value(PATH.encode() + front), rest)
            out[at + 12 : at + 16] = struct.pack("<I", crc)
        at = out.find(MAGIC, at + 1)
    return bytes(out)


def seeds() -> dict[str, bytes]:
    """Files of blocks: whole, torn, with a hole."""
    records = b""
    for header in headers():
        head = encode_alone(header)
        records += MAGIC + struct.pack("<III", len(head), 4, 0) + head + b"body"
    whole = _checked(records)
    return {
        "whole": b"\0" + whole,
        "checked": b"\1" + whole,
        "torn": b"\0" + whole[:-3],
        "hole": b"\1" + whole[:60] + bytes(20) + whole[80:],
        "none": b"\0",
    }


TARGET = Target(
    name="block_files",
    law="blocks and bad stretches cover a file without gap or overlap",
    check=check,
    seeds=seeds,
    words=(MAGIC, b"\xff\xff\xff\xff", b"\x00\x00\x01\x00"),
    rounds=800,
)
