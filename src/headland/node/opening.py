"""From a data directory to a node: checkpoint, frames, and the operations that make the recovery durable."""

from __future__ import annotations

import msgspec

from headland.blocks.header import decode_alone
from headland.blocks.wire import Reader
from headland.journal import (
    DiskOp,
    DiskReader,
    Draft,
    Frame,
    SectionType,
    decode_rows,
    decode_state,
    recover,
    section_refs,
)
from headland.journal.outbox_files import path_of
from headland.journal.recovery import Damage
from headland.journal.segment import Mark
from headland.line.formats import Mapping
from headland.line.ledger import Ledger, decode_deltas
from headland.line.line import Line
from headland.line.outbox import Outbox
from headland.link import received
from headland.link.children import Children, ChildrenSettings
from headland.link.stored import StoredAbove
from headland.link.uplink import Uplink, UplinkSettings
from headland.link.verdicts import OWNER as VERDICTS
from headland.mqtt import Authenticator, Broker
from headland.node.ageing import OWNER as AGEING
from headland.node.core import Entropy, Node, Parts
from headland.node.intake import Intake
from headland.node.kept_files import FILES
from headland.node.mending import mend, opens_epoch
from headland.node.names import Names
from headland.node.north import North
from headland.node.pushing import OWNER as HTTP
from headland.node.pushing import Pushing
from headland.node.quarantine import OWNER as QUARANTINE
from headland.node.quarantine import Quarantine
from headland.node.reloading import OWNER as CONFIG
from headland.node.sealing import NORTH, Sealing
from headland.node.section_index import Places
from headland.node.settings import Base, NodeSettings
from headland.node.shelf import FORGOTTEN, StoreNote
from headland.node.shelving import Shelving
from headland.node.snapshot import restore_snapshot
from headland.node.south import South
from headland.sources.http_push import PushConfig, PushHandler
from headland.vocabulary import Columns, HeadlandError, Instant, Priority, RowClass, SeriesTable

HELD_AND_NORTH = (*NORTH, RowClass.HELD)
STORE_BYTES = 16
PUSH = PushConfig(max_readings=20_000)
"""A push is one commit, and a commit's rows of one class are one block of at most 65,536."""


class Opening(msgspec.Struct, frozen=True):
    """A node, and what has to be executed (and synced) before it may start.

    Attributes:
        node: Not started yet.
        ops: Operations of the recovery.
        damage: What is missing from the log.
        frames: Commits that were replayed.
        cut: Unfinished writes that were cut off the end.
        newest_ns: Node time of the newest commit, ns UTC; it cannot be earlier than that. 0 if there is none.
    """

    node: Node
    ops: list[DiskOp]
    damage: list[Damage]
    frames: int
    cut: int
    newest_ns: int


def open_node(
    disk: DiskReader,
    settings: NodeSettings,
    auth: Authenticator,
    entropy: Entropy,
    now: Instant,
    base: Base | None = None,
) -> Opening:
    """Recover a node from its disk, be it empty, clean or crashed.

    Args:
        disk: Its data directory.
        settings: What it is told; where the journal says that an intent counts more, that is put in force.
        auth: Who may connect.
        entropy: Chance.
        now: The moment.
        base: The file that the settings are from; without it no intent can be applied.

    Raises:
        StorageDamage: What is there cannot be read at all.
        OSError: The disk cannot be read.
    """
    found = recover(disk, settings.journal)
    parts = _parts(settings, auth, entropy)
    replay = _Replay(parts, now)
    if found.checkpoint is not None:
        restore_snapshot(parts, found.checkpoint, now)
        replay.epoch = parts.shelving.epoch
        replay.running_ms = parts.running_ms
        replay.last_n = found.last.n
    frames = 0
    for frame in found.frames():
        replay.frame(frame)
        frames += 1
    parts.journal = found.journal
    parts.last_epoch, parts.last_n = found.last.epoch, found.last.n
    if parts.last_epoch == bytes(16):
        parts.last_epoch = b""
    parts.running_ms = replay.running_ms + parts.ageing.opened(now)
    ops, damage = list(found.plan), list(found.damage)
    for files in parts.shelving.files.by_directory.values():
        ops += files.reconcile(disk)
        damage += [_lost_file(files.directory, number) for number in files.lost]
    node = Node(settings, parts, now)
    _resume(node, replay, now)
    parts.reloading.resume(node, base if base is not None else Base(settings=settings), now)
    return Opening(node, ops, damage, frames, len(found.cut), max(replay.newest_ns, parts.ageing.node_ns))


def _lost_file(directory: str, number: int) -> Damage:
    return Damage("file of blocks", Mark(), Mark(), f"{path_of(directory, number)} is missing or cut short")


def _parts(settings: NodeSettings, auth: Authenticator, entropy: Entropy) -> Parts:
    table = SeriesTable(settings.labels)
    names = Names(settings.name, table)
    line = Line(settings.line, table)
    mapping = Mapping(settings.mappings, table, settings.limits)
    outbox = uplink = None
    if settings.has_parent:
        outbox = Outbox(settings.name, settings.outbox, entropy)
        up = UplinkSettings(node=settings.name, metered=settings.metered)
        uplink = Uplink(up, outbox, names.key, entropy)
    store_id = entropy.randbytes(STORE_BYTES)
    # Blocks of this node's own name come from nobody else: they would be taken for its own.
    children = Children(
        ChildrenSettings(node=settings.name, store=store_id, together=settings.credit_bytes),
        lambda _child, origin: origin != settings.name,
    )
    if outbox is not None:
        children.stored = StoredAbove()
    return Parts(
        broker=Broker(settings.mqtt, auth),
        names=names,
        intake=Intake(table, mapping, line, Quarantine()),
        ledger=Ledger(),
        journal=None,  # type: ignore[arg-type]
        sealing=Sealing(settings.outbox),
        places=Places(),
        north=North(outbox, uplink),
        south=South(children),
        shelving=Shelving(settings.name, outbox, settings.file_bytes),
        pushing=Pushing(PushHandler(table, PUSH, settings.limits, mapping)),
        epoch=entropy.randbytes(16),
        last_epoch=b"",
        last_n=0,
        running_ms=0,
        positions={},
        store_id=store_id,
    )


class _Replay:
    """Applies recovered frames to the machines, in order."""

    def __init__(self, parts: Parts, now: Instant) -> None:
        self._parts = parts
        self._now = now
        self.running_ms = parts.running_ms
        self.newest_ns = 0
        self.epoch = b""
        self.new_store = True
        self.last_n = 0
        self.holed = False

    def frame(self, frame: Frame) -> None:
        """One commit after the checkpoint."""
        parts, n = self._parts, frame.n
        shelving, outbox = parts.shelving, parts.north.outbox
        self.running_ms = frame.running_ms
        self.newest_ns = max(self.newest_ns, frame.node_ns)
        parts.ageing.node_ns = frame.node_ns
        self.holed = self.holed or (0 < self.last_n != n - 1)
        self.last_n = n
        if frame.epoch != self.epoch:
            if outbox is not None and not opens_epoch(frame):
                outbox.open_epoch(frame.epoch, self.epoch, n - 1, None)
            self.epoch = shelving.epoch = frame.epoch
            shelving.k = [0, 0, 0, 0]
            parts.intake.line.begin_epoch(frame.epoch)
        if self.holed:
            _rows_begin(parts.places, frame)
        parts.places.add(n, frame.sections, section_refs(frame.segment, frame.offset, frame.sections))
        rows: dict[RowClass, Columns] = {}
        line_states: list[bytes] = []
        for section in frame.sections:
            if section.type == SectionType.SERIES:
                parts.names.replay(section.data)
            elif section.type == SectionType.ROWS:
                cls, columns = decode_rows(section.data)
                if cls in rows:
                    rows[cls].extend(columns)
                else:
                    rows[cls] = columns
        for cls in NORTH:
            if cls in rows:
                parts.sealing.take(cls, rows[cls], n, frame.node_ns, frame.running_ms, self._now)
        for index, section in enumerate(frame.sections):
            data = section.data
            match section.type:
                case SectionType.STATE:
                    self._state(data, line_states)
                case SectionType.LEDGER:
                    parts.ledger.apply(decode_deltas(data), frame.node_ns)
                case SectionType.RECEIVED:
                    parts.south.children.replay_received(data)
                    if outbox is None:
                        self._shelve(data, n, index, frame.node_ns)
                case SectionType.SEALS:
                    parts.sealing.sealed(Priority(data[0] & 3))
                    if outbox is None:
                        shelving.replay_seal(data, n, index, frame.node_ns)
                case _:
                    pass
            if outbox is not None:
                self._outbox(outbox, section.type, data, n, index, frame.running_ms)
        parts.intake.line.replay_frame(
            {cls: columns for cls, columns in rows.items() if cls in HELD_AND_NORTH},
            line_states,
            n,
            frame.node_ns,
            self._now,
        )

    def _outbox(self, outbox: Outbox, kind: int, data: bytes, n: int, index: int, running_ms: int) -> None:
        """One section; behind missing commits, what speaks of something that they had made is passed over."""
        try:
            outbox.replay_section(kind, data, n, index, running_ms)
        except (HeadlandError, LookupError):
            if not self.holed:
                raise

    def _shelve(self, data: bytes, n: int, index: int, node_ns: int) -> None:
        shelf = self._parts.shelving.shelf
        item = received.decode(data)
        if isinstance(item, received.ReceivedGap):
            shelf.missing.tell(item.child, item.ranges)
        else:
            shelf.put(item.header, (n, index), node_ns, own=False, child=item.child, body=item.body)

    def _state(self, data: bytes, line_states: list[bytes]) -> None:
        parts = self._parts
        owner, body = decode_state(data)
        match owner:
            case "line":
                line_states.append(body)
            case "mqtt":
                parts.broker.replay(body)
            case "link":
                parts.south.children.replay(body)
            case "source":
                name, position = msgspec.msgpack.decode(body, type=tuple[str, bytes])
                parts.positions[name] = position
            case "node":
                parts.store_id = body
            case "store":
                parts.shelving.shelf.spilled(msgspec.msgpack.decode(body, type=StoreNote).blocks)
            case _ if owner == FORGOTTEN:
                parts.shelving.shelf.forget(msgspec.msgpack.decode(body, type=list[tuple[str, bytes]]))
            case _ if owner == FILES:
                parts.shelving.files.replay(body)
            case _ if owner == AGEING:
                parts.ageing.replay(body)
            case _ if owner == VERDICTS:
                parts.verdicts.replay(body)
            case _ if owner == HTTP:
                parts.pushing.handler.replay(body)
            case _ if owner == QUARANTINE:
                parts.intake.quarantine.replay(body)
            case _ if owner == CONFIG:
                parts.reloading.replay(body, parts)
            case _:
                pass


def _rows_begin(places: Places, frame: Frame) -> None:
    """Behind missing commits a block's own header says with which commit its rows begin."""
    for section in frame.sections:
        if section.type == SectionType.SEALS:
            header = decode_alone(Reader(section.data))
            places.begins(header.priority, header.runs[0].n)


def _resume(node: Node, replay: _Replay, now: Instant) -> None:
    """Everything is applied: settle what depends on the moment of this start."""
    parts, draft = node.parts, node.draft
    children, outbox = parts.south.children, parts.north.outbox
    if parts.last_n == 0:
        draft.state("node", parts.store_id)
    children.settings = msgspec.structs.replace(children.settings, store=parts.store_id)
    children.recovered()
    parts.names.table.take_new()
    if outbox is not None:
        outbox.boot(parts.running_ms, now)
        outbox.recovered()
    if replay.holed:
        mend(node, now)
    _inherit(parts, replay)
    parts.broker.committed(parts.last_n, now)
    parts.intake.line.recovered(now, draft, parts.epoch)


def _inherit(parts: Parts, replay: _Replay) -> None:
    """Rows that no block holds become blocks of the process that took them, where its numbers are known."""
    outbox, shelving = parts.north.outbox, parts.shelving
    if outbox is not None and outbox.epoch == shelving.epoch:
        shelving.k = [outbox.state.k.get(one, 0) for one in Priority]
    if shelving.epoch and shelving.epoch == parts.last_epoch and not replay.holed:
        parts.sealing.inherit(shelving.epoch, shelving.k)


__all__ = ["Draft", "Opening", "open_node"]
