"""What a checkpoint holds: the state of every machine after one commit, and how it is taken back.

msgpack: [version, store id, {machine: its snapshot}, unsealed rows by class, places, positions of sources,
running time in ms].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headland.blocks import codec
from headland.blocks.header import Run
from headland.vocabulary import Instant, Priority
from headland.vocabulary.stored import read_snapshot

if TYPE_CHECKING:
    from headland.node.core import Node, Parts

VERSION = 1


class Unsealed(msgspec.Struct, array_like=True):
    """The open block of one class."""

    rows: bytes
    runs: tuple[Run, ...]
    born_ms: int


class Snapshot(msgspec.Struct, array_like=True):
    """See the module."""

    version: int
    store_id: bytes
    machines: dict[str, bytes]
    unsealed: list[Unsealed]
    places: list[list[bytes]]
    positions: dict[str, bytes]
    running_ms: int


def take_snapshot(node: Node) -> bytes:
    """The state after the commit that was closed last; nothing of the open draft may be in it."""
    parts = node.parts
    machines = {
        "names": parts.names.snapshot(),
        "ledger": parts.ledger.snapshot(),
        "line": parts.intake.line.snapshot(),
        "quarantine": parts.intake.quarantine.snapshot(),
        "mqtt": parts.broker.snapshot(),
        "http": parts.pushing.handler.snapshot(),
        "link": parts.south.children.snapshot(),
        "shelving": parts.shelving.snapshot(),
        "config": parts.reloading.snapshot(),
        "verdicts": parts.verdicts.snapshot(),
        "clock": parts.ageing.snapshot(),
    }
    if parts.north.outbox is not None:
        machines["outbox"] = parts.north.outbox.snapshot()
    unsealed = [
        Unsealed(codec.encode(block.columns, codec.Codec.FAST), tuple(block.runs), block.born_ms)
        for block in parts.sealing.open
    ]
    return msgspec.msgpack.encode(
        Snapshot(
            VERSION,
            parts.store_id,
            machines,
            unsealed,
            parts.places.dump(),
            parts.positions,
            node.running_ms(node.now),
        )
    )


_snapshots = msgspec.msgpack.Decoder(Snapshot)


def restore_snapshot(parts: Parts, data: bytes, now: Instant) -> None:
    """Bring every machine to the state of a checkpoint.

    Raises:
        StorageDamage: It is not one, or a newer version's.
    """
    snapshot = read_snapshot(_snapshots, data, "checkpoint", VERSION)
    machines = snapshot.machines
    parts.store_id = snapshot.store_id
    parts.names.restore(machines["names"])
    parts.ledger.restore(machines["ledger"])
    parts.intake.line.restore(machines["line"], now)
    parts.intake.quarantine.restore(machines["quarantine"])
    parts.broker.restore(machines["mqtt"])
    parts.pushing.handler.restore(machines["http"])
    parts.south.children.restore(machines["link"])
    parts.shelving.restore(machines["shelving"])
    if "config" in machines:
        parts.reloading.restore(machines["config"])
    if "verdicts" in machines:
        parts.verdicts.restore(machines["verdicts"])
    if "clock" in machines:
        parts.ageing.restore(machines["clock"])
    if parts.north.outbox is not None and "outbox" in machines:
        parts.north.outbox.restore(machines["outbox"])
    elif parts.north.outbox is not None and parts.shelving.epoch:
        parts.north.outbox.begin_after(parts.shelving.epoch, parts.shelving.k)
    for priority, one in zip(Priority, snapshot.unsealed, strict=True):
        if one.runs:
            parts.sealing.resume(priority, codec.decode(one.rows), one.runs, one.born_ms, now)
    parts.places.load(snapshot.places)
    parts.positions.update(snapshot.positions)
    parts.running_ms = snapshot.running_ms
