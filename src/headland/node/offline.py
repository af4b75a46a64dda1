"""A node that does not run, opened to be looked at: books and rows as its next start would find them."""

from __future__ import annotations

import msgspec

from headland.config import Loaded
from headland.drivers.clock import Clock
from headland.drivers.randomness import generator
from headland.drivers.reading_disk import ReadingDisk
from headland.journal.outbox_files import BadRecord, path_of
from headland.node import query
from headland.node.core import Node
from headland.node.opening import open_node
from headland.node.status import Books, ledger_of
from headland.node.watching import CurrentUsers, base_of
from headland.trust.access import Users
from headland.vocabulary import HeadlandError


def books(loaded: Loaded, *, hours: bool) -> Books:
    """The books of a node that does not run; wire bytes are counted only while it runs.

    Raises:
        InUse: It runs.
        ConfigurationError: There is no data directory.
        StorageDamage: It cannot be read.
    """
    disk = ReadingDisk(loaded.data_dir)
    node = _open(loaded, disk)
    found = ledger_of(node, Clock().now(), hours=hours)
    disk.still_free()
    return found


def rows(loaded: Loaded, question: query.Question) -> bytes:
    """Rows that a node stores which does not run, as `/v1/query` gives them.

    Raises:
        InUse: It runs.
        HeadlandError: It stores nothing.
        CapacityError: The answer is too large.
        ConfigurationError: There is no data directory.
        StorageDamage: It cannot be read.
    """
    disk = ReadingDisk(loaded.data_dir)
    node = _open(loaded, disk)
    where = query.plan(node)
    if where is None:
        raise HeadlandError("this node sends north and stores nothing", hint="ask its parent")
    found = query.answer(disk, where, node.parts.names, question, [])
    disk.still_free()
    return found


class Files(msgspec.Struct, frozen=True):
    """What reading every file of blocks has found.

    Attributes:
        files: How many there are.
        bytes: Their noted lengths together.
        damage: What is missing or does not verify: path and bytes.
    """

    files: int
    bytes: int
    damage: list[str]


def files(loaded: Loaded) -> Files:
    """Read every file of blocks of a node that does not run, outbox or store.

    Raises:
        InUse: It runs.
        ConfigurationError: There is no data directory.
        StorageDamage: Not even its log can be read.
    """
    disk = ReadingDisk(loaded.data_dir)
    node = _open(loaded, disk)
    count = size = 0
    damage: list[str] = []
    for table in node.parts.shelving.files.by_directory.values():
        for info in table.files():
            path = path_of(table.directory, info.number)
            count, size = count + 1, size + info.bytes
            try:
                bad = [item for item in table.blocks(disk, info.number) if isinstance(item, BadRecord)]
            except OSError as error:
                damage.append(f"{path}: {error.strerror or error}")
            else:
                damage += [f"{path}: bytes {item.offset}-{item.end} do not verify" for item in bad]
    return Files(count, size, damage)


def _open(loaded: Loaded, disk: ReadingDisk) -> Node:
    base = base_of(loaded, loaded.config)
    nobody = CurrentUsers(Users([], {}, lambda: 0.0))
    opening = open_node(disk, base.settings, nobody, generator(), Clock().now(), base)
    for op in opening.ops:
        disk.apply(op)
    return opening.node
