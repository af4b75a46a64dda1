"""The laws that are judged at rest: what the root's disk holds against what was promised.

The root is read as a stranger would: its power is cut, a fresh process opens what is durable, and every block
is read back from the journal or from `store/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headland.blocks.block import open_block
from headland.blocks.header import BlockHeader
from headland.journal.outbox_files import StoredBlock, path_of, read_blocks
from headland.line.outbox.rows import Rows
from headland.line.outbox.stream import Extent, Stream
from headland.link.contract import Ref, StreamKey
from headland.link.positions import ChildStream
from headland.node.blocks_on_disk import block_at, read_block
from headland.node.kept_files import STORE
from headland.node.opening import open_node
from headland.node.shelf import Stored
from headland.simulation.filtered import Row, judge_band, judge_windows
from headland.simulation.readings import Identity, Reading, label
from headland.simulation.witness import Witness
from headland.simulation.world import Everybody, Host
from headland.vocabulary import Account, HeadlandError, Priority, Reason, RowFlag, RowKind, Value

UNDER_WAY_NS = 1_000_000_000
"""So long an acknowledgement may be under way."""


class StoredRow(msgspec.Struct, frozen=True):
    """A row as the root holds it."""

    series: str
    ts: int
    seq: int
    value: Value
    kind: int
    flags: int
    block: Identity


class Contents(msgspec.Struct):
    """Everything that a root holds.

    Attributes:
        rows: Every row, in order of arrival.
        arrivals: Blocks in order of arrival, with the path of lanes that the query tells of each.
        tombstones: Reason of every block that will not come, by identity range.
    """

    rows: list[StoredRow]
    arrivals: list[tuple[Identity, int]]
    tombstones: list[tuple[str, bytes, int, int, int, Reason]]

    def tombstone(self, identity: Identity) -> Reason | None:
        """Why a block is not here, if that was told."""
        origin, epoch, cls, k = identity
        for at, at_epoch, at_cls, low, high, reason in self.tombstones:
            if (at, at_epoch, at_cls) == (origin, epoch, cls) and low <= k <= high:
                return reason
        return None


def read_root(host: Host) -> Contents:
    """Everything durable at a root.

    Raises:
        HeadlandError: Something of it cannot be read.
    """
    disk = host.disk.power_cut()
    opening = open_node(disk, host.settings, Everybody(), host.world.rng, host.now())
    for op in opening.ops:
        disk.apply(op)
    node = opening.node
    parts, shelving = node.parts, node.parts.shelving
    contents = Contents([], [], [])
    for info in shelving.files.by_directory[STORE].files():
        path = path_of("store", info.number)
        for block in read_blocks(disk, path, info.number, 0, info.bytes):
            if not isinstance(block, StoredBlock):
                raise HeadlandError(f"{path}: {block.offset}-{block.end} does not verify")
            stored = msgspec.msgpack.decode(block.body, type=Stored)
            names = {sid: name for sid, name, _ in stored.names}
            if not stored.forked:
                _add(contents, block.header, stored.body, names, stored.known)
    for resting in shelving.shelf.resting:
        place = block_at(parts.places, Ref(resting.n, resting.index), resting.priority)
        if place is None:
            raise HeadlandError(f"a block of commit {resting.n} is nowhere")
        header, body, sids = read_block(disk, place)
        names = {sid: parts.names.key(header.origin, header.epoch, sid).name for sid in sids}
        if not resting.forked:
            _add(contents, header, body, names, resting.known)
    for told in shelving.shelf.missing.told():
        one = told.info
        reason = Reason(one.reason)
        contents.tombstones.append((one.origin, one.epoch, one.priority, one.k_from, one.k_to, reason))
    return contents


def _add(contents: Contents, header: BlockHeader, body: bytes, names: dict[int, str], known: int) -> None:
    """An applied block; so many of its first rows are in a shorter one of its identity."""
    identity = (header.origin, header.epoch, int(header.priority), header.k)
    if not known:
        contents.arrivals.append((identity, header.path))
    columns = open_block(header, body)[0].part(known, header.rows)
    count = len(columns)
    seqs, kinds, flags = (
        columns.seq or [-1] * count,
        columns.kind or [0] * count,
        columns.flags or [0] * count,
    )
    for sid, ts, value, seq, kind, flag in zip(
        columns.sid, columns.ts, columns.value, seqs, kinds, flags, strict=True
    ):
        contents.rows.append(StoredRow(names[sid], ts, seq, value, kind, flag, identity))


class Forgiven(msgspec.Struct):
    """What faults that no node can undo take away: told by whoever did them.

    Attributes:
        windows: Machine -> times (ns) between a copy of its disk and its return: what it took then is gone.
        twice: Nodes of which a copy may have run on (restored, cloned): it had windows, dead bands and rings
            of its own.
        reordered: Nodes whose blocks may overtake each other (they or a relay of theirs moved or went back).
        uneven: The books of two neighbours need not agree (a parent went back, a child moved).
        moved: Nodes that got another parent: what their old one had taken, and lost, nobody can send again.
    """

    windows: dict[str, list[tuple[int, int]]] = {}
    twice: set[str] = set()
    reordered: set[str] = set()
    uneven: bool = False
    moved: set[str] = set()

    def gone(self, reading: Reading) -> bool:
        """Whether a reading may be gone with the disk of the machine that took it.

        An acknowledgement that was under way when the machine went is one of the process that is gone.
        """
        at_ns, first_ns = reading.acked_ns, reading.first_ns
        return at_ns is None or any(
            low <= at_ns <= high + UNDER_WAY_NS and first_ns <= high
            for low, high in self.windows.get(reading.host, ())
        )


class EndLaws:
    """Judges one run."""

    def __init__(self, witness: Witness, hosts: list[Host], root: Host, forgiven: Forgiven) -> None:
        self._witness = witness
        self._hosts = hosts
        self._root = root
        self._forgiven = forgiven
        self._frozen = {identity for host in hosts for identity in _in_frozen_streams(host)}

    def _excused(self, block: Identity) -> bool:
        """Whether a block rests in a frozen stream, or went with a disk that its sender no longer reaches."""
        if block in self._frozen:
            return True
        forgiven, sealed = self._forgiven, self._witness.blocks[block]
        return block[0] in forgiven.moved and any(
            low <= at_ns <= high
            for host, at_ns in sealed.taken
            for low, high in forgiven.windows.get(host, ())
        )

    def judge(self, judged: list[Reading]) -> Contents | None:
        """Every law; what is broken is in the witness. Returns what the root holds."""
        try:
            contents = read_root(self._root)
        except (HeadlandError, OSError) as error:
            self._witness.break_law("root_reads", str(error))
            return None
        self._applied_once(contents)
        self._nothing_lost(contents, judged)
        self._filters_keep_their_word(contents, judged)
        self._no_gap_without_reason(contents)
        self._critical_stays(contents)
        self._in_order(contents)
        self._books(contents)
        self._positions_agree()
        return contents

    def _applied_once(self, contents: Contents) -> None:
        blocks = Counter(identity for identity, _ in contents.arrivals)
        for identity, times in blocks.items():
            if times > 1:
                self._witness.break_law(
                    "applied_once", f"{label(identity)} is stored {times} times", identity
                )
        rows: dict[tuple[str, int, int], list[StoredRow]] = {}
        for row in contents.rows:
            if row.kind == RowKind.READING and row.seq >= 0:
                rows.setdefault((row.series, row.ts, row.seq), []).append(row)
        for (series, ts, seq), found in rows.items():
            rings = all(row.flags & RowFlag.BOOST for row in found)
            if len(found) > 1 and not (rings and found[0].block[0] in self._forgiven.twice):
                text = f"({series}, {ts}, {seq}) is stored in {[label(row.block) for row in found]}"
                about = [row.block for row in found]
                self._witness.break_law("applied_once", text, (series, seq), *about)

    def _nothing_lost(self, contents: Contents, judged: list[Reading]) -> None:
        held = {(row.series, row.seq): row for row in contents.rows if row.kind == RowKind.READING}
        for reading in judged:
            told = reading.published
            key = (told.series, told.seq)
            row = held.get(key)
            if row is not None:
                if row.value != told.value or row.ts // 1_000_000 != told.ts // 1_000_000:
                    text = f"{key} was {told.value} at {told.ts}, is {row.value!r} at {row.ts}"
                    self._witness.break_law("same_value", text, key)
                continue
            if not told.acked or self._witness.treatment(reading).kind != "keep":
                continue
            reasons = [contents.tombstone(block) for block in reading.blocks]
            if any(reason is not None for reason in reasons) or any(map(self._excused, reading.blocks)):
                continue
            if self._forgiven.gone(reading):
                continue
            blocks = ", ".join(label(block) for block in reading.blocks) or "no block"
            text = (
                f"{key}, acknowledged by {reading.host} at {(reading.acked_ns or 0) / 1e9:.3f} s, in {blocks}"
            )
            self._witness.break_law("nothing_lost", text, key)

    def _filters_keep_their_word(self, contents: Contents, judged: list[Reading]) -> None:
        """Series of which nothing was lost, with a reason or by what cannot be undone."""
        here = {identity for identity, _ in contents.arrivals}
        readings: dict[str, list[Reading]] = {}
        for reading in judged:
            readings.setdefault(reading.published.series, []).append(reading)
        rows: dict[str, list[Row]] = {}
        for row in contents.rows:
            rows.setdefault(row.series, []).append(Row(row.ts, row.seq, row.value, row.kind, row.flags))
        gone: set[str] = set()
        for identity, sealed in self._witness.blocks.items():
            if sealed.durable and identity not in here:
                gone.update(series for series, _ in sealed.readings)
                if sealed.derived:
                    gone.add(identity[0])
        for series, ones in readings.items():
            host, how = ones[0].host, self._witness.treatment(ones[0])
            if host in self._forgiven.windows or {host, series} & gone:
                continue
            if how.kind in ("band", "window"):
                self._witness.world.count(f"{how.kind}_judged")
            there = rows.get(series, [])
            wrong: list[str] = []
            if how.kind == "band" and len({one.client for one in ones}) == 1:
                wrong = judge_band(ones, there, how.bound)
            elif how.kind == "window":
                wrong = judge_windows(series, ones, there)
            if wrong:
                self._witness.break_law(
                    f"{how.kind}_keeps_its_word", "; ".join(wrong[:3]), *_keys(ones, wrong)
                )

    def _no_gap_without_reason(self, contents: Contents) -> None:
        here = {identity for identity, _ in contents.arrivals}
        for identity, sealed in self._witness.blocks.items():
            if not sealed.durable or identity in here or contents.tombstone(identity) is not None:
                continue
            if identity[0] in self._forgiven.twice or self._excused(identity):
                continue
            self._witness.break_law("no_gap_without_reason", f"{label(identity)} is not there", identity)

    def _critical_stays(self, contents: Contents) -> None:
        """Critical never expires, is never shed, and has no last attempt (but by an operator's order)."""
        forbidden = {Reason.EXPIRED, Reason.SHED}
        if not self._witness.released:
            forbidden.add(Reason.DEAD_LETTER)
        for origin, epoch, cls, low, high, reason in contents.tombstones:
            if cls == Priority.CRITICAL and reason in forbidden:
                text = f"{label((origin, epoch, cls, low))} to {high}: {reason.name.lower()}"
                self._witness.break_law("critical_stays", text, (origin, epoch, cls, low))

    def _in_order(self, contents: Contents) -> None:
        """First in, first out within one (origin, class, path of lanes), over all epochs of the origin.

        Left out is what was put aside for another attempt, or given up and sent again by an operator: it
        goes to the tail of its lane.
        """
        age = {identity: place for place, identity in enumerate(self._witness.blocks)}
        last: dict[tuple[str, int, int], Identity] = {}
        for identity, path in contents.arrivals:
            origin, _, cls, _ = identity
            again = identity in self._witness.requeued or identity in self._witness.given_up
            if again or identity not in age or origin in self._forgiven.reordered:
                continue
            before = last.setdefault((origin, cls, path), identity)
            if age[before] > age[identity]:
                text = f"{label(identity)} arrived after {label(before)} on path {path}"
                self._witness.break_law("in_order", text, identity, before)
            last[(origin, cls, path)] = identity

    def _books(self, contents: Contents) -> None:
        for host in self._hosts:
            if host.node is None:
                continue
            failed = host.node.parts.ledger.check()
            if failed:
                self._witness.break_law("books_balance", f"{host.name}: {failed}")
            pending = host.node.parts.ledger.total(Account.PENDING)
            if host.node.parts.north.outbox is not None and pending[0] and not _frozen(host):
                self._witness.break_law("books_balance", f"{host.name}: {pending} pending at rest")
        if self._forgiven.uneven:
            return
        for parent in self._hosts:
            children = [host for host in self._hosts if host.parent == parent.name]
            if not children or parent.node is None:
                continue
            committed = sum(_total(child, Account.COMMITTED) for child in children)
            if committed != _total(parent, Account.RECEIVED):
                received = _total(parent, Account.RECEIVED)
                text = f"children of {parent.name}: {committed} committed, {received} received"
                self._witness.break_law("hop_agrees", text)
        applied = _total(self._root, Account.APPLIED)
        if applied != len(contents.rows):
            text = f"{self._root.name}: {applied} applied, {len(contents.rows)} rows stored"
            self._witness.break_law("books_balance", text)

    def _positions_agree(self) -> None:
        for host in self._hosts:
            parent = next((one for one in self._hosts if one.name == host.parent), None)
            if host.node is None or parent is None or parent.node is None:
                continue
            outbox = host.node.parts.north.outbox
            child = parent.node.parts.south.children.positions.children.get(host.settings.name)
            if outbox is None or child is None:
                continue
            for stream in outbox.state.streams():
                self._agrees(host, stream, child.streams)

    def _agrees(self, host: Host, stream: Stream, there: Mapping[StreamKey, ChildStream]) -> None:
        other = there.get(stream.key)
        # A restored disk may know a stream, and none of the blocks that its lost future gave to it.
        empty = not stream.tail and host.name in self._forgiven.windows
        if other is None or stream.frozen or empty:
            return
        p, chain = other.p, other.chain
        if stream.acked != p or stream.acked_chain != chain:
            text = f"{host.name} {stream.key}: acknowledged {stream.acked}, the parent has {p}"
            self._witness.break_law("positions_agree", text)


def _keys(readings: Sequence[Reading], wrong: Sequence[str]) -> list[tuple[str, int]]:
    """The readings that the first complaint names, for the story."""
    keys = [(one.published.series, one.published.seq) for one in readings]
    return [key for key in keys if f"({key[0]}, {key[1]})" in wrong[0]][:1]


def _total(host: Host, account: Account) -> int:
    return host.node.parts.ledger.total(account)[0] if host.node is not None else 0


def _in_frozen_streams(host: Host) -> Iterator[Identity]:
    """What a node keeps and reports, tombstones too: its parent knows other blocks at these positions."""
    outbox = host.node.parts.north.outbox if host.node is not None else None
    if outbox is None:
        return
    for stream in outbox.state.streams():
        if not stream.frozen:
            continue
        for piece in stream.pieces:
            if isinstance(piece, Rows):
                for row in piece.rows_between(piece.first, piece.last):
                    yield (*outbox.state.idents[row.ident], stream.key.priority, row.k)
            else:
                for one in piece.info.ranges if isinstance(piece, Extent) else piece.ranges:
                    for k in range(one.k_from, one.k_to + 1):
                        yield one.origin, one.epoch, stream.key.priority, k


def _frozen(host: Host) -> bool:
    assert host.node is not None
    outbox = host.node.parts.north.outbox
    return outbox is not None and any(stream.frozen for stream in outbox.state.streams())
