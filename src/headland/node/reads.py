"""Executing the core's questions to the disk.

The same functions on a thread of the real node and in a simulation.
"""

from __future__ import annotations

from headland.journal import DiskReader
from headland.node import events as ev
from headland.node.blocks_on_disk import Block, read_block, read_page
from headland.vocabulary import HeadlandError


def read_blocks(disk: DiskReader, ask: ev.ReadBlocks) -> ev.BlocksRead:
    """Execute `ReadBlocks`."""
    blocks: list[Block | None] = []
    error = ""
    for ref in ask.refs:
        try:
            blocks.append(read_block(disk, ref))
        except (HeadlandError, OSError) as damage:
            blocks.append(None)
            error = error or str(damage)
    return ev.BlocksRead(ask.token, tuple(blocks), error)


def read_headers(disk: DiskReader, ask: ev.ReadPage) -> ev.PageRead:
    """Execute `ReadPage`."""
    try:
        page, error = read_page(disk, ask.path, ask.number, ask.at, ask.end, ask.count, around=ask.around)
        return ev.PageRead(ask.token, page, error)
    except (HeadlandError, OSError) as damage:
        return ev.PageRead(ask.token, (), str(damage))
