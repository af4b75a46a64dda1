"""A node that does not run, opened to be looked at: books and rows as its next start would find them."""

from __future__ import annotations

from headland.config import Loaded
from headland.drivers.clock import Clock
from headland.drivers.randomness import generator
from headland.drivers.reading_disk import ReadingDisk
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
    found = query.answer(disk, where, node.parts.names, question)
    disk.still_free()
    return found


def _open(loaded: Loaded, disk: ReadingDisk) -> Node:
    base = base_of(loaded, loaded.config)
    nobody = CurrentUsers(Users([], {}, lambda: 0.0))
    opening = open_node(disk, base.settings, nobody, generator(), Clock().now(), base)
    for op in opening.ops:
        disk.apply(op)
    return opening.node
