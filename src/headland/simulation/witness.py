"""What an observer outside the nodes has seen: who published what, which block took it, where it went.

It watches hosts as `world.Observer` and holds what the laws are judged by. It shares the digest with the
nodes and nothing else: whether a commit is durable it knows from the disk, not from the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from headland.blocks.digest import digest as digest_of
from headland.blocks.header import BlockHeader
from headland.journal import DiskOp
from headland.journal.plan import Create, Rename, Truncate, Write
from headland.link import actions as link
from headland.link.contract import StreamKey
from headland.link.received import ReceivedBlock, ReceivedGap
from headland.node import events as ev
from headland.node.core import Node
from headland.node.open_blocks import OpenBlock
from headland.node.opening import Opening, open_node
from headland.simulation.device import Published
from headland.simulation.durable import DurableReadings
from headland.simulation.filtered import Treatment
from headland.simulation.observer import Observer
from headland.simulation.readings import Identity, Reading, label
from headland.simulation.world import Everybody, Host, World
from headland.vocabulary import Columns, HeadlandError, Instant, Reason, RowKind

STORY_LINES = 400
LOOK_EVERY_COMMITS = 100
"""So often it is tried whether a power cut would leave all that was committed."""


class Violation(msgspec.Struct, frozen=True):
    """A law was broken.

    Attributes:
        seed: Of the run.
        step: At which it was seen.
        law: Its name.
        story: What happened, in order, to whatever it was broken for; the first line says what is wrong.
    """

    seed: int
    step: int
    law: str
    story: tuple[str, ...]


class Sealed(msgspec.Struct):
    """A block of an origin.

    Attributes:
        host: Machine that sealed it.
        life: Process on it.
        n: Commit that sealed it.
        digests: Of its rows; several where a copy of the node sealed what it had as the same block.
        readings: (series, sequence) of the readings in it.
        derived: Whether there are other rows in it too.
        durable: Its commit has been executed, or was found at recovery.
        taken: Machines that received it or a tombstone for it, and when (ns).
        stored: Machines that have had it in a commit on disk.
    """

    host: str
    life: int
    n: int
    digests: set[bytes]
    readings: tuple[tuple[str, int], ...]
    derived: bool = False
    durable: bool = False
    taken: list[tuple[str, int]] = []
    stored: set[str] = set()


class Witness(Observer):
    """See the module.

    Attributes:
        readings: By (series, sequence).
        blocks: Everything that was ever sealed.
        violations: What was broken so far.
        rewinds: A parent has gone back, or a child has another one.
        given_up: Blocks in whose place a tombstone has come: what comes all the same was sent again.
        rotten: Machines on whose disks something was overwritten.
        released: Machines whose operator made dead letters of a stopped stream.
        recording: Whether the story is kept: (time, machine, what, about).
        treatment: What may happen to a reading.
    """

    def __init__(
        self,
        world: World,
        *,
        recording: bool = False,
        treatment: Callable[[Reading], Treatment] = lambda _: Treatment("keep"),
    ) -> None:
        self.world = world
        self.treatment = treatment
        self.readings: dict[tuple[str, int], Reading] = {}
        self.blocks: dict[Identity, Sealed] = {}
        self.violations: list[Violation] = []
        self.recording = recording
        self.story: list[tuple[int, str, str, frozenset[object]]] = []
        self.requeued: set[Identity] = set()
        self.rotten: set[str] = set()
        self.released: set[str] = set()
        self.given_up: set[Identity] = set()
        self.rewinds = False
        self._waiting: dict[str, set[int]] = {}
        self._taken_in: dict[tuple[str, int, int], list[Identity]] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._answered: dict[tuple[str, int, StreamKey], int] = {}
        self._in_commit: dict[tuple[str, int, int], list[Identity]] = {}
        self._in_flight: dict[str, int] = {}
        self._durable = DurableReadings()
        self._spent: Counter[tuple[str, Identity]] = Counter()
        self._dead: dict[tuple[str, int], set[int]] = {}
        world.observer = self

    # ── story ──────────────────────────────────────────────────────────────────────────────────────
    def tell(self, who: str, what: str, *about: object) -> None:
        """Add to the story; what is about nothing in particular is part of every story."""
        if self.recording:
            self.story.append((self.world.now_ns, who, what, frozenset(about)))

    def break_law(self, law: str, text: str, *about: object) -> None:
        """A law is broken: note it with everything known about its subjects."""
        subjects = set(about)
        for one in about:
            if isinstance(one, tuple) and one in self.readings:
                subjects.update(self.readings[one].blocks)
            if isinstance(one, tuple) and one in self.blocks:
                subjects.update(self.blocks[one].readings[:1])
        lines = [
            f"{at / 1e9:9.4f} s  {who:<14} {what}"
            for at, who, what, whom in self.story
            if not whom or whom & subjects
        ]
        if len(lines) > STORY_LINES:
            lines = [f"({len(lines) - STORY_LINES} earlier lines)", *lines[-STORY_LINES:]]
        self.violations.append(Violation(self.world.seed, self.world.steps, law, (text, *lines)))

    # ── devices ────────────────────────────────────────────────────────────────────────────────────
    def published(self, host: Host, client: str, reading: Published) -> None:
        """A device has sent a reading, perhaps again."""
        key = (reading.series, reading.seq)
        if key not in self.readings:
            self.readings[key] = Reading(host.name, client, reading, self.world.now_ns)
        if self.recording:
            self.tell(client, f"publishes {key} = {reading.value}, time {reading.sent}", key)

    def acknowledged(self, host: Host, client: str, reading: Published) -> None:
        """Nothing is acknowledged before a commit that began after it arrived is on disk."""
        key = (reading.series, reading.seq)
        known = self.readings[key]
        known.acked_ns = self.world.now_ns
        if self.recording:
            self.tell(client, f"is acknowledged {key}", key)
        lacks = self._durable.missing(known, self.treatment(known), went_back=self.rewinds)
        if lacks:
            self.break_law("durable_before_ack", f"{key} was acknowledged by {host.name}: {lacks}", key)

    def disordered(self, host: Host, client: str, reading: Published) -> None:
        """Acknowledgements leave in arrival order on each connection (MQTT 4.6)."""
        key = (reading.series, reading.seq)
        self.break_law("acknowledged_in_order", f"{host.name} acknowledges {key} out of turn", key)

    # ── commits ────────────────────────────────────────────────────────────────────────────────────
    def opened(self, host: Host, opening: Opening) -> None:
        """What the last process had in flight may have reached the disk."""
        node = opening.node
        last_n = node.parts.last_n
        if 0 < self._in_flight.pop(host.name, 0) <= last_n:
            self.world.count("last_frame_from_page_cache")
        self._durable.on_disk(host, last_n, self.world.now_ns)
        for (name, life, at_n), identities in list(self._in_commit.items()):
            if name == host.name:
                del self._in_commit[(name, life, at_n)]
                for identity in identities:
                    known = self.blocks[identity]
                    others = known.durable and (known.host, known.life) != (name, life)
                    known.durable = others or at_n <= last_n
            elif name == host.name.removesuffix("#clone") and at_n <= last_n:
                for identity in identities:
                    self.blocks[identity].durable = True  # in the copy, which has just been made durable
        for name, life, at_n in [key for key in self._taken_in if key[0] == host.name]:
            for identity in self._taken_in.pop((name, life, at_n)):
                if at_n <= last_n:
                    self.blocks[identity].stored.add(name)
        self.tell(host.name, f"starts at commit {last_n}, {opening.frames} frames, {opening.cut} cut")
        self._is_durable("recovery_is_durable", host, last_n)
        self._watch_blocks(host, node)

    def _is_durable(self, law: str, host: Host, n: int) -> None:
        """A crash now, that loses everything unsynced, leaves commit n and all before it, whole."""
        try:
            again = open_node(host.disk.power_cut(), host.settings, Everybody(), Random(0), host.now())
        except (HeadlandError, OSError) as error:
            self.break_law(law, f"{host.name} at commit {n}: {error}")
            return
        if again.node.parts.last_n < n or (again.damage and host.name not in self.rotten):
            left = f"a power cut leaves {again.node.parts.last_n} {again.damage}"
            self.break_law(law, f"{host.name} believes commit {n}, {left}")

    def _watch_blocks(self, host: Host, node: Node) -> None:
        shelving = node.parts.shelving
        receive, seal = shelving.receive, shelving.seal

        def watched_receive(node: Node, deliver: link.Deliver, now: Instant) -> None:
            receive(node, deliver, now)
            if isinstance(deliver.item, ReceivedBlock):
                self._received(host, node.draft.n, deliver.item.header)
            else:
                self._told_gone(host, node.draft.n, deliver.item)

        def watched_seal(node: Node, block: OpenBlock, now: Instant) -> None:
            columns, priority, of = block.columns, block.priority, block.of
            seal(node, block, now)
            numbers = shelving.k if shelving.outbox is None else shelving.outbox.state.k
            epoch, k = of or (shelving.epoch, numbers[priority])
            identity = (node.settings.name, epoch, int(priority), k)
            self._sealed(host, node, identity, columns)

        shelving.receive = watched_receive  # type: ignore[method-assign]
        shelving.seal = watched_seal  # type: ignore[method-assign]

    def committing(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """Commit n is handed to the disk."""
        self._in_flight[host.name] = n
        self._durable.committing(host, n, ops)

    def committed(self, host: Host, n: int, ops: Sequence[DiskOp]) -> None:
        """Whatever a commit has written is durable when it is reported."""
        written = {op.path for op in ops if isinstance(op, Write | Create | Truncate)}
        for op in ops:
            if isinstance(op, Rename) and op.source in written:
                written.remove(op.source)
                written.add(op.target)
        for path in sorted(written):
            if not host.disk.settled(path):
                self.break_law("commit_is_durable", f"commit {n} of {host.name} left {path} unsynced")
        self._in_flight.pop(host.name, None)
        self._durable.on_disk(host, n, self.world.now_ns)
        if n % LOOK_EVERY_COMMITS == 0:
            self._is_durable("committed_stays", host, n)
        for identity in self._in_commit.pop((host.name, host.life, n), ()):
            self.blocks[identity].durable = True
        for identity in self._taken_in.pop((host.name, host.life, n), ()):
            self.blocks[identity].stored.add(host.name)
        if self.recording:
            self.tell(host.name, f"commit {n} is on disk", (host.name, n))

    def crashed(self, host: Host) -> None:
        """A process vanishes."""
        assert host.node is not None
        self._is_durable("committed_stays", host, host.node.commits.durable_n)
        self.tell(host.name, "crashes")
        self._waiting.pop(host.name, None)

    def told(self, host: Host, level: str, event: str, fields: dict[str, str | int | float]) -> None:
        """Alarms are part of the story. No disk rots here: what cannot be read is a node's own doing."""
        if level == "alarm" and event == "corrupt" and host.name not in self.rotten:
            self.break_law("nothing_becomes_unreadable", f"{host.name}: {fields}")
        if self.recording:
            text = " ".join(f"{key}={value}" for key, value in fields.items())
            self.tell(host.name, f"{level}: {event} {text}")

    # ── blocks ─────────────────────────────────────────────────────────────────────────────────────
    def _received(self, host: Host, n: int, header: BlockHeader) -> None:
        """A block came to a host; it is in the open commit n."""
        identity = (header.origin, header.epoch, int(header.priority), header.k)
        known = self.blocks.get(identity)
        if self.recording:
            what = f"receives {label(identity)} in commit {n}, lane {int(header.lane)}"
            self.tell(host.name, what, identity, (host.name, n))
        if known is not None:
            known.taken.append((host.name, self.world.now_ns))
            self._taken_in.setdefault((host.name, host.life, n), []).append(identity)
        if known is None:
            self.break_law("seal_before_send", f"{host.name} has {label(identity)}, never sealed", identity)
        elif not known.durable:
            text = f"{host.name} has {label(identity)}, whose commit {known.n} is not on disk at {known.host}"
            self.break_law("seal_before_send", text, identity)
        elif header.digest not in known.digests:
            self.break_law("one_content", f"{label(identity)} has two contents", identity)

    def _told_gone(self, host: Host, n: int, gap: ReceivedGap) -> None:
        """A tombstone came to a host: in place of a block it is as good an answer."""
        taken_in = self._taken_in.setdefault((host.name, host.life, n), [])
        for one in gap.ranges:
            for k in range(one.k_from, one.k_to + 1):
                identity = (one.origin, one.epoch, one.priority, k)
                self.given_up.add(identity)
                if identity in self.blocks:
                    taken_in.append(identity)
                    self.blocks[identity].taken.append((host.name, self.world.now_ns))

    def _sealed(self, host: Host, node: Node, identity: Identity, columns: Columns) -> None:
        """A block was sealed, in the commit that is being closed."""
        n, digest = node.draft.n, digest_of(columns)
        known = self.blocks.get(identity)
        if known is not None and known.durable and not self.rewinds:
            text = f"{host.name} seals {label(identity)} in commit {n}, and {known.host} did in {known.n}"
            self.break_law("one_content", text, identity)
        table = node.parts.names.table
        kinds = columns.kind or [0] * len(columns)
        seqs = columns.seq or [-1] * len(columns)
        readings = tuple(
            (table.key(sid).name, seq)
            for sid, seq, kind in zip(columns.sid, seqs, kinds, strict=True)
            if kind == RowKind.READING
        )
        if known is not None and known.durable:
            known.digests.add(digest)
            known.readings = tuple(dict.fromkeys((*known.readings, *readings)))
        else:
            # What a crash took from this machine may be on a copy of its disk.
            copied = known.digests if known is not None and self.rewinds else set()
            self.blocks[identity] = Sealed(
                host.name, host.life, n, {digest, *copied}, readings, derived=len(readings) < len(columns)
            )
        self._in_commit.setdefault((host.name, host.life, n), []).append(identity)
        for key in readings:
            if key in self.readings:
                self.readings[key].blocks.append(identity)
        if self.recording:
            what = f"seals {label(identity)} in commit {n}: {len(columns)} rows"
            self.tell(host.name, what, identity, (host.name, n), *readings)

    def handled(self, host: Host, event: ev.Event) -> None:
        """Every step: the books, and who waits for another attempt."""
        if host.node is not None and host.node.parts.north.outbox is not None:
            self._note_waiting(host)
            self._note_dead(host)
            if isinstance(event, ev.Received):
                self._look_at_answers(host)
        if host.node is not None and not host.node.healthy:
            failed = host.node.parts.ledger.check()
            host.node.healthy = True
            self.break_law("books_balance", f"{host.name}: {failed}")

    def _look_at_answers(self, host: Host) -> None:
        """What a parent has answered as committed is in a commit on its disk."""
        assert host.node is not None
        assert host.node.parts.north.outbox is not None
        state = host.node.parts.north.outbox.state
        numbers = self._numbers.get((host.name, host.life), state.next_number)
        self._numbers[(host.name, host.life)] = state.next_number
        for stream in state.streams():
            key = (host.name, host.life, stream.key)
            before = self._answered.get(key)
            self._answered[key] = stream.acked
            if before is None or before >= stream.acked or host.parent is None:
                continue
            for p in range(before + 1, stream.acked + 1):
                rows = stream.rows_at(p)
                if rows is None:
                    continue
                row = rows.row(p)
                identity = (*state.idents[row.ident], stream.key.priority, row.k)
                known = self.blocks.get(identity)
                if state.next_number > numbers:
                    self.requeued.add(identity)  # some of them were put aside, perhaps only for a moment
                if known is None or identity in self.requeued or host.parent in known.stored:
                    continue
                text = f"{host.parent} has answered {label(identity)} to {host.name} before its commit"
                self.break_law("durable_before_answer", text, identity)

    def _note_waiting(self, host: Host) -> None:
        assert host.node is not None
        assert host.node.parts.north.outbox is not None
        state = host.node.parts.north.outbox.state
        before = self._waiting.get(host.name)
        if not state.waiting and not before:
            return
        now = set(state.waiting)
        for number in now - (before or set()):
            item = state.waiting[number]
            letter = item.letter
            identity = (letter.origin, letter.epoch, int(item.priority), letter.row.k)
            self.requeued.add(identity)
            self.tell(host.name, f"puts {label(identity)} aside: reason {item.reason}", identity)
        back = len((before or set()) - now - set(state.dead))
        if back:
            self.world.count("later_requeued", back)
        self._waiting[host.name] = now

    # ── attempts ───────────────────────────────────────────────────────────────────────────────────
    def attempt_spent(self, child: str, identity: Identity) -> None:
        """A parent answers a block with a `Later` that spends one of its attempts."""
        self._spent[child, identity] += 1
        self.tell(child, f"is told Later of {label(identity)}, an attempt is spent", identity)

    def _note_dead(self, host: Host) -> None:
        """A block is given up as a dead letter only when more attempts were spent than it has retries."""
        assert host.node is not None
        assert host.node.parts.north.outbox is not None
        outbox = host.node.parts.north.outbox
        key = (host.name, host.life)
        if outbox.state.dead.keys() == self._dead.get(key, set()):
            return
        seen = self._dead.get(key, set())
        self._dead[key] = set(outbox.state.dead)
        for number, item in outbox.state.dead.items():
            retries = outbox.settings.classes[item.priority].max_retries
            letter = item.letter
            identity = (letter.origin, letter.epoch, int(item.priority), letter.row.k)
            if number in seen or item.reason != Reason.DEAD_LETTER or retries is None:
                continue
            if host.name in self.released:
                continue
            self.world.count("dead_letter")
            spent = self._spent[host.settings.name, identity]
            if spent <= retries:
                text = f"{host.name} gives {label(identity)} up: {spent} attempts spent, {retries} retries"
                self.break_law("dead_only_after_its_retries", text, identity)
