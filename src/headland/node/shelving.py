"""Where blocks rest between their commit and their end: the journal first, then files, until they may go.

Blocks enter here, sealed or received. What happens to them afterwards: `spilling` moves them from the
journal to files, `checkpointing` lets segments go, `budget` says what must leave the disk, `kept_files` is
the table of files, and a root has a `shelf` in place of an outbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headland.blocks.block import seal as seal_block
from headland.blocks.header import decode_alone, encode_alone
from headland.blocks.wire import Reader
from headland.journal import SectionType
from headland.journal.outbox_files import outbox_directory
from headland.line.outbox import Outbox
from headland.link import actions as link
from headland.link import received
from headland.link.contract import Ref, StreamKey
from headland.node import events as ev
from headland.node import restores
from headland.node.budget import Budget
from headland.node.checkpointing import Checkpointing
from headland.node.kept_files import STORE, KeptFiles
from headland.node.open_blocks import OpenBlock
from headland.node.sealing import BodyCache
from headland.node.shelf import FORGOTTEN, Shelf
from headland.node.spilling import Spilling
from headland.storage import DEDUP_HORIZON_S
from headland.vocabulary import Account, DefectError, Instant, Lane, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

SECOND = 1_000_000_000
FORGET_EVERY_S = 3600
FORGET_AT_ONCE = 1000
"""Epochs that one commit may forget."""


class Shelving:
    """Blocks of one node; exactly one of `outbox` and the shelf is in use.

    Attributes:
        cache: Recent bodies.
        shelf: Blocks of a root.
        files: Files by directory: one for each class's outbox, or the store.
        k: Newest number of each class's own blocks in this epoch.
        epoch: Epoch of the newest own block.
    """

    def __init__(self, origin: str, outbox: Outbox | None, file_bytes: int) -> None:
        self.origin = origin
        self.outbox = outbox
        self.cache = BodyCache()
        self.shelf = Shelf()
        directories = [outbox_directory(one) for one in Priority] if outbox is not None else [STORE]
        self.files = KeptFiles(directories, file_bytes)
        self.budget = Budget(outbox, self.files)
        self.checkpointing = Checkpointing()
        self.spilling = Spilling(outbox, self.shelf, self.files, self.budget)
        self.k = [0, 0, 0, 0]
        self.epoch = b""
        self._forget_ns = 0

    @property
    def own_account(self) -> Account:
        """Where own rows go from their commit on."""
        return Account.PENDING if self.outbox is not None else Account.APPLIED

    # ── blocks come in ─────────────────────────────────────────────────────────────────────────────
    def open_epoch(self, node: Node, now: Instant) -> None:
        """This process makes its first commit."""
        self.epoch = node.parts.epoch
        self.k = [0, 0, 0, 0]
        if self.outbox is not None:
            self.outbox.open_epoch(self.epoch, node.parts.last_epoch, node.parts.last_n, node.draft)

    def seal(self, node: Node, block: OpenBlock, now: Instant) -> None:
        """Seal an open block in the draft that is being closed."""
        draft = node.draft
        if self.outbox is not None:
            sealed = self.outbox.seal(
                block.priority, block.columns, block.runs, (), block.born_ms, now, draft, block.of
            )
            header, body = sealed.header, sealed.body
            place = (draft.n, sealed.index)
        else:
            epoch, k = block.of or (self.epoch, self.k[block.priority] + 1)
            header, body = seal_block(
                block.columns,
                origin=self.origin,
                epoch=epoch,
                priority=block.priority,
                k=k,
                lane=Lane.LIVE,
                runs=tuple(block.runs),
                age_ms=max(0, node.running_ms(now) - block.born_ms),
                with_body=False,
            )
            place = (draft.n, draft.section(SectionType.SEALS, encode_alone(header)))
            if self.shelf.put(header, place, now.wall_ns, own=True).account is not Account.APPLIED:
                raise DefectError(f"own block {header.k} of class {header.priority} is here already")
        if block.of is None:
            self.k[block.priority] = header.k
        if body:
            self.cache.put(place, (header, body, frozenset(block.columns.sid)))

    def receive(self, node: Node, deliver: link.Deliver, now: Instant) -> None:
        """Make a child's block or tombstone durable in the open draft."""
        item, outbox = deliver.item, self.outbox
        if isinstance(item, received.ReceivedGap):
            if outbox is not None:
                self._relay_gap(outbox, node, item, now)
                return
            node.draft.section(SectionType.RECEIVED, received.encode(item))
            self.shelf.missing.tell(item.child, item.ranges)
            restores.asked(node, item.child, item.ranges)
        elif outbox is not None:
            self._relay(outbox, node, item, deliver, now)
        else:
            self._apply(node, item, now)

    def _apply(self, node: Node, item: received.ReceivedBlock, now: Instant) -> None:
        header, draft = item.header, node.draft
        index = draft.section(SectionType.RECEIVED, received.encode(item))
        came = self.shelf.put(
            header, (draft.n, index), now.wall_ns, own=False, child=item.child, body=item.body
        )
        name = f"block {header.k} of {header.origin}, class {header.priority}"
        if came.account is Account.UNAPPLIED:
            node.alarm("fork", f"{name}: {item.child} brought another than is here; it is kept beside")
        if came.unproven:
            node.alarm("uniqueness_unproven", f"{name}: its epoch was forgotten, it may have come before")
        restores.arrived(node, header)
        rows, size = came.known
        draft.book(Account.RECEIVED, "", header.priority, "", header.rows, header.size)
        draft.book(came.account, "", header.priority, "", header.rows - rows, header.size - size)
        if rows:
            draft.book(Account.DUPLICATE_RECEIVED, "", header.priority, "", rows, size)

    def _relay(
        self, outbox: Outbox, node: Node, item: received.ReceivedBlock, deliver: link.Deliver, now: Instant
    ) -> None:
        header, draft = item.header, node.draft
        lane = outbox.lane_of_seal(header.priority, now, Lane(item.stream.lane))
        outbox.stand(header.priority, lane, draft)
        data = received.encode(msgspec.structs.replace(item, lane=lane))
        index = draft.section(SectionType.RECEIVED, data)
        own, q = outbox.relay(header, Ref(draft.n, index, len(data)), lane, now, draft)
        self._hint(node, item, own, q)
        self.cache.put((draft.n, index), (header, item.body, deliver.sids))

    def _relay_gap(self, outbox: Outbox, node: Node, gap: received.ReceivedGap, now: Instant) -> None:
        draft = node.draft
        priority = Priority(gap.ranges[0].priority if gap.ranges else gap.stream.priority)
        lane = outbox.lane_of_seal(priority, now, Lane(gap.stream.lane))
        ranges = restores.passed_on(gap.ranges)
        relayed = msgspec.structs.replace(gap, lane=lane, ranges=ranges)
        if ranges:
            outbox.stand(ranges[0].priority, lane, draft)
        draft.section(SectionType.RECEIVED, received.encode(relayed))
        if ranges:
            self._hint(node, gap, *outbox.relay_gap(ranges, lane, draft))
            restores.asked(node, gap.child, gap.ranges)

    def _hint(
        self, node: Node, item: received.ReceivedBlock | received.ReceivedGap, own: StreamKey, q: int
    ) -> None:
        """A child's position stands at one of ours: it is stored above when ours is."""
        stored = node.parts.south.children.stored
        if stored is not None:
            stored.relayed((item.child, item.stream), item.p, own, q)

    # ── the commit cycle ───────────────────────────────────────────────────────────────────────────
    def closed(self, node: Node, n: int) -> None:
        """Commit n is on its way; the state in memory is that after it."""
        self.checkpointing.closed(node, n)

    def committed(self, node: Node, n: int, now: Instant) -> None:
        """Commit n is durable."""
        self.checkpointing.committed(node, n)
        for ops in self.files.committed(n):
            node.emit(ev.Beside(node.token(), ops))
        self.spilling.committed(node, n, now)
        self.budget.committed(node, now)
        if self.outbox is None and now.trusted and now.monotonic_ns >= self._forget_ns:
            self._forget(node, now)

    def _forget(self, node: Node, now: Instant) -> None:
        """Epochs beyond the horizon leave the key table, with the open commit."""
        old = self.shelf.applied.old(now.wall_ns - DEDUP_HORIZON_S * SECOND, FORGET_AT_ONCE)
        if old:
            node.draft.state(FORGOTTEN, msgspec.msgpack.encode(old))
            self.shelf.forget(old)
        more = len(old) == FORGET_AT_ONCE
        self._forget_ns = now.monotonic_ns + (SECOND if more else FORGET_EVERY_S * SECOND)

    def done(self, node: Node, token: int, error: str, now: Instant) -> None:
        """Operations beside the commits have ended."""
        if not self.checkpointing.done(node, token, error):
            self.spilling.done(node, token, error, now)

    # ── recovery ───────────────────────────────────────────────────────────────────────────────────
    def snapshot(self) -> bytes:
        """Everything that no other machine remembers, for a checkpoint."""
        return msgspec.msgpack.encode([self.files.snapshot(), self.shelf.snapshot(), self.k, self.epoch])

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        files, shelf, self.k, self.epoch = msgspec.msgpack.decode(
            data, type=tuple[bytes, bytes, list[int], bytes]
        )
        self.files.restore(files)
        self.shelf.restore(shelf)

    def replay_seal(self, data: bytes, n: int, index: int, node_ns: int) -> None:
        """A SEALS section of a recovered commit of a root."""
        header = decode_alone(Reader(data))
        if header.epoch == self.epoch:
            self.k[header.priority] = header.k
        self.shelf.put(header, (n, index), node_ns, own=True)
