"""What a node knows that a power cut may not change: its books, its numbers, where every stream stands."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from headland.line.outbox.stream import Gap
from headland.node.core import Node
from headland.node.sealing import NORTH
from headland.simulation.readings import Identity
from headland.vocabulary import Account


class Summary(msgspec.Struct, frozen=True):
    """State after a commit; equal for a node that runs and for one that was recovered.

    Attributes:
        books: Account, group, class, rule, readings, bytes.
        streams: Of an outbox: key, last position, chain value there, answered position.
        children: Of a parent: child, stream, position, chain value.
        files: Directory, number and length of every file of blocks.
        numbers: Last k of each class.
        unsealed: Rows of each class that stand in no block yet.
        resting: Blocks on the shelf of a root that are in no file.
        machines: Digests of what the smaller machines remember.
    """

    books: tuple[tuple[object, ...], ...]
    streams: tuple[tuple[object, ...], ...]
    children: tuple[tuple[object, ...], ...]
    files: tuple[tuple[str, int, int], ...]
    numbers: tuple[int, ...]
    unsealed: tuple[int, ...]
    resting: int
    machines: tuple[tuple[str, str], ...]


def summary(node: Node) -> Summary:
    """Of the state in memory."""
    parts = node.parts
    outbox, shelving = parts.north.outbox, parts.shelving
    books = tuple(
        (*key, *amount) for key, amount in sorted(parts.ledger.balances.items()) if amount != [0, 0]
    )
    streams = [] if outbox is None else list(outbox.state.streams())
    return Summary(
        books=books,
        streams=tuple(
            sorted(
                (one.key.epoch, one.key.priority, one.key.lane, one.tail, one.tail_chain, one.acked)
                for one in streams
                if one.tail  # one that nothing stands in is made when it is first asked for
            )
        ),
        children=tuple(
            sorted(
                (name, key.epoch, key.priority, key.lane, stream.p, stream.chain)
                for name, child in parts.south.children.positions.children.items()
                for key, stream in child.streams.items()
                if stream.p
            )
        ),
        files=tuple(
            (directory, info.number, info.bytes)
            for directory, files in sorted(shelving.files.by_directory.items())
            for info in files.files()
        ),
        numbers=tuple(shelving.k if outbox is None else outbox.state.k),
        unsealed=tuple(len(parts.sealing.open[cls]) for cls in NORTH),
        resting=len(shelving.shelf.resting),
        machines=_machines(node),
    )


def given_up(node: Node) -> Iterator[Identity]:
    """Blocks in whose place a tombstone stands."""
    outbox = node.parts.north.outbox
    for stream in () if outbox is None else outbox.state.streams():
        for piece in stream.pieces:
            for one in piece.ranges if isinstance(piece, Gap) else ():
                for k in range(one.k_from, one.k_to + 1):
                    yield one.origin, one.epoch, one.priority, k


def _machines(node: Node) -> tuple[tuple[str, str], ...]:
    """Those whose snapshots are the same bytes live and recovered: no moment of a start is in them."""
    parts = node.parts
    snapshots = {
        "names": parts.names.snapshot(),
        "quarantine": parts.intake.quarantine.snapshot(),
        "http": parts.pushing.handler.snapshot(),
        "config": parts.reloading.snapshot(),
        "verdicts": parts.verdicts.snapshot(),
    }
    return tuple((name, blake2b(data, digest_size=8).hexdigest()) for name, data in snapshots.items())


def difference(one: Summary, other: Summary) -> str:
    """Where two summaries differ, for people; "" where they do not."""
    for name in Summary.__struct_fields__:
        before, after = getattr(one, name), getattr(other, name)
        if before == after:
            continue
        if isinstance(before, tuple) and isinstance(after, tuple):
            less = [item for item in before if item not in after]
            more = [item for item in after if item not in before]
            return f"{name}: {_told(name, less)} became {_told(name, more)}"
        return f"{name}: {before} became {after}"
    return ""


def _told(name: str, items: list[tuple[object, ...]]) -> str:
    if name == "books":
        return str([(Account(int(str(item[0]))).name, *item[1:]) for item in items][:4])
    return str(items[:4])
