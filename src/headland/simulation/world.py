"""A simulated world: hosts with disks, clocks and processes, wires between them, and one seed.

`Host` executes the actions of the same `headland.node.core.Node` that the real event loop runs. Every disk
operation is a step of its own, so a crash falls between any two; the disk then loses what was not synced.
Same seed, same `World.trace` hash.
"""

from __future__ import annotations

import errno
import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b

from headland.journal import DiskOp
from headland.journal.checkpoint import encode_file
from headland.line.stages import Stages
from headland.mqtt import Claim, Peer, Principal
from headland.node import events as ev
from headland.node.core import Node
from headland.node.forwarding import budgets_ms
from headland.node.opening import open_node
from headland.node.reads import read_blocks, read_headers
from headland.node.settings import Base, NodeSettings
from headland.simulation.disk import SimulatedDisk
from headland.simulation.observer import Observer
from headland.simulation.wire import Path, Weather, Wire
from headland.vocabulary import DefectError, Instant, StorageDamage

START_WALL_NS = 1_767_225_600_000_000_000
"""2026-01-01 UTC: where every simulation begins."""
WRITE_NS = (5_000, 80_000)
SYNC_NS = (100_000, 4_000_000)
RESTART_NS = (50_000_000, 500_000_000)
START_AGAIN_NS = 1_000_000_000
"""The supervisor starts a process again that could not start."""
DIAL_TIMEOUT_NS = 10_000_000_000
STILL_MAX = 2_000
"""Steps at one moment after which time has stopped: a real node would burn its processor."""


class World:
    """Time, chance, the network, and who lives in it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ns = 0
        self.steps = 0
        self.hosts: dict[str, Host] = {}
        self.paths: dict[tuple[str, str], Path] = {}
        self.wires: dict[tuple[str, str], list[Wire]] = {}
        self.counts: dict[str, int] = {}
        self.observer = Observer()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._still = 0
        self._hash = blake2b(digest_size=16)

    # ── time and chance ────────────────────────────────────────────────────────────────────────────
    def after(self, delay_ns: int, work: Callable[[], None]) -> None:
        """Do `work` later."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ns + max(0, delay_ns), self._order, work))

    def uniform(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return self.rng.randint(low, high)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.rng.random() < share

    def nothing_done(self) -> None:
        """The step in hand was needless since an earlier wake: it counts as none that somebody asked for."""
        self._still = max(0, self._still - 1)

    def run(self, until_ns: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until `until_ns`, or until `stop` says so (asked every 200 steps)."""
        while self._heap and self._heap[0][0] <= until_ns:
            due, _, work = heapq.heappop(self._heap)
            self._still = self._still + 1 if due == self.now_ns else 0
            if self._still > STILL_MAX:
                raise DefectError(
                    f"{STILL_MAX} steps at {due} ns: somebody asks to be woken at once, for ever"
                )
            self.now_ns = due
            self.steps += 1
            work()
            if self.steps % 200 == 0 and stop():
                return
        self.now_ns = max(self.now_ns, until_ns) if not stop() else self.now_ns

    def note(self, *what: object) -> None:
        """Add to the trace."""
        self._hash.update(repr((self.now_ns, *what)).encode())

    @property
    def trace(self) -> str:
        """Hash of everything noted so far."""
        return self._hash.hexdigest()

    def count(self, what: str, times: int = 1) -> None:
        """Count that something worth proving was hit."""
        self.counts[what] = self.counts.get(what, 0) + times

    # ── network ────────────────────────────────────────────────────────────────────────────────────
    def path(self, one: str, other: str) -> Path:
        """The way between two names (the same in both directions)."""
        key = (min(one, other), max(one, other))
        return self.paths.setdefault(key, Path())

    def connect(self, key: tuple[str, str], wire: Wire) -> None:
        """Remember a wire, so that it can be cut."""
        alive = [known for known in self.wires.get(key, ()) if not known.dead]
        self.wires[key] = [*alive, wire]

    def cut(self, one: str, other: str, weather: Weather) -> None:
        """Change the weather between two names; REFUSED also resets what is connected."""
        self.path(one, other).weather = weather
        self.note("cut", one, other, weather)
        if weather is Weather.REFUSED:
            self.reset(one, other)

    def reset(self, one: str, other: str) -> None:
        """Reset every connection between two names."""
        for key in ((one, other), (other, one)):
            for wire in self.wires.pop(key, ()):
                wire.reset()


class Everybody:
    """Lets every device in: who may do what is not what is simulated."""

    def authenticate(
        self, client_id: str, username: str | None, password: bytes | None, peer: Peer
    ) -> Principal:
        """Whoever it is."""
        return Principal(client_id)

    def proven(self, claim: Claim, right: bool) -> Principal | None:
        """Nobody's password is checked."""
        return Principal(claim.name) if right else None

    def may_publish(self, principal: Principal, topic: str) -> bool:
        """Yes."""
        return True

    def may_subscribe(self, principal: Principal, filter: str) -> bool:  # noqa: A002 - the protocol's word
        """Yes."""
        return True

    def holds(self, principal: Principal, peer: Peer | None) -> bool:
        """Yes."""
        return True


class Host:
    """One machine: its disk, its clock, and the process on it while it lives."""

    def __init__(
        self, world: World, name: str, settings: NodeSettings, parent: str | None, disk: SimulatedDisk
    ) -> None:
        self.world = world
        self.name = name
        self.settings = settings
        self.base: Base | None = None
        self.parent = parent
        self.disk = disk
        self.node: Node | None = None
        self.life = 0
        self.wall_offset_ns = 0
        self.trusted = True
        self.paused: dict[int, list[bytes]] = {}
        self.file_bytes = 0
        self.boot_ns = world.now_ns
        self.unsynced_acks = 0
        self.alarms: list[str] = []
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.actuated: list[ev.Actuate] = []
        self.sync_slow_ns = 0
        self.wires: dict[int, tuple[Wire, int]] = {}
        self._connection = 0
        self._workers: dict[str, deque[tuple[int, Callable[[], None]]]] = {
            "commit": deque(),
            "beside": deque(),
            "read": deque(),
        }
        self._busy: set[str] = set()
        self._tick_ns: int | None = None
        self._queue: deque[ev.Event] = deque()
        self._feeding = False
        self._token = 0
        world.hosts[name] = self

    # ── life ───────────────────────────────────────────────────────────────────────────────────────
    def now(self) -> Instant:
        """What this machine's clocks say."""
        passed = self.world.now_ns
        return Instant(passed - self.boot_ns + 1, START_WALL_NS + passed + self.wall_offset_ns, self.trusted)

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.node is not None

    def start(self) -> None:
        """Start the process: recover, make the recovery durable, open."""
        assert self.node is None
        self.life += 1
        try:
            opening = open_node(self.disk, self.settings, Everybody(), self.world.rng, self.now(), self.base)
        except StorageDamage as error:
            self.world.note("start refused", self.name, str(error))
            self.disk.rescue()
            self.restart(START_AGAIN_NS)
            return
        for op in opening.ops:
            if self.world.observer.trap(self, "recovery"):
                self._lose_power()
                self.restart()
                return
            try:
                self.disk.apply(op)
            except OSError:
                self.world.note("start failed", self.name)
                self._lose_power()
                self.restart(START_AGAIN_NS)
                return
        self.node = opening.node
        if self.file_bytes:
            for files in self.node.parts.shelving.files.by_directory.values():
                files.file_bytes = self.file_bytes
        self.node.stages = Stages(self.settings.tier, budgets_ms(self.settings))
        self.world.observer.opened(self, opening)
        self._tick_ns = None
        self.world.note("start", self.name)
        self._execute(self.node.start(self.now()))
        self._drain()

    def crash(self) -> None:
        """SIGKILL or power loss: the process is gone, the disk keeps what was synced (or more)."""
        if self.node is None:
            return
        self.world.note("crash", self.name)
        self.world.observer.crashed(self)
        self.node = None
        self.life += 1
        self.paused.clear()
        self._queue.clear()
        for worker in self._workers.values():
            worker.clear()
        self._busy.clear()
        for wire, side in self.wires.values():
            wire.vanish(side)
        self.wires.clear()
        self._lose_power()

    def _lose_power(self) -> None:
        """Half of the time anything of what was not synced is left, else nothing or everything."""
        self.life += 1
        match self.world.uniform(0, 3):
            case 0:
                self.disk = self.disk.power_cut()
            case 1:
                self.disk = self.disk.process_kill()
            case _:
                self.disk = self.disk.crash(self.world.rng)

    def _trapped(self, where: str) -> bool:
        if not self.world.observer.trap(self, where):
            return False
        self.crash()
        self.restart()
        return True

    def restart(self, delay_ns: int | None = None) -> None:
        """Start again after a while."""
        life = self.life
        delay = self.world.uniform(*RESTART_NS) if delay_ns is None else delay_ns

        def again() -> None:
            if self.node is None and self.life == life:
                self.start()

        self.world.after(delay, again)

    def ask(self, what: str, **arguments: str) -> int:
        """Ask the node something; the answer appears in `answers` under the token returned."""
        self._token += 1
        self.feed(ev.Asked(self._token, what, dict(arguments)))
        return self._token

    def push(self, principal: str, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        """Make an HTTP request; the answer appears in `answers` under the token returned."""
        self._token += 1
        self.feed(ev.Pushed(self._token, principal, method, path, headers, body))
        return self._token

    # ── feeding and executing ──────────────────────────────────────────────────────────────────────
    def feed(self, event: ev.Event) -> None:
        """Give one event to the node, now or right after the one in hand."""
        if self.node is None:
            return
        self._queue.append(event)
        if not self._feeding:
            self._drain()

    def _drain(self) -> None:
        self._feeding = True
        try:
            while self._queue and self.node is not None:
                event = self._queue.popleft()
                self.world.note(self.name, type(event).__name__)
                self._execute(self.node.handle(event, self.now()))
                self.world.observer.handled(self, event)
        finally:
            self._feeding = False
        self._arm()

    def _arm(self) -> None:
        if self.node is None:
            return
        due = self.node.next_wake()
        if due is None:
            return
        at = max(self.world.now_ns, due + self.boot_ns - 1)
        if self._tick_ns is not None and self._tick_ns <= at:
            return
        self._tick_ns = at
        life = self.life

        def tick() -> None:
            if self.life == life and self._tick_ns == at:
                self._tick_ns = None
                self.feed(ev.Tick())
            else:
                self.world.nothing_done()

        self.world.after(at - self.world.now_ns, tick)

    def _execute(self, actions: Sequence[ev.Action]) -> None:
        for action in actions:
            match action:
                case ev.Send(connection, data):
                    if connection in self.wires:
                        wire, side = self.wires[connection]
                        wire.send(side, data)
                        if self._trapped("send"):
                            return
                case ev.Commit(n, ops):
                    self.world.observer.committing(self, n, ops)
                    self._work(
                        "commit",
                        ops,
                        lambda n=n, ops=ops: self._committed(n, ops),  # type: ignore[misc]
                        lambda n=n: self.feed(ev.NoSpace(n)),  # type: ignore[misc]
                    )
                case ev.Beside(token, ops):
                    self._work(
                        "beside",
                        ops,
                        lambda token=token: self.feed(ev.SideWorkDone(token)),  # type: ignore[misc]
                        lambda token=token: self.feed(ev.SideWorkDone(token, "no space")),  # type: ignore[misc]
                    )
                case ev.ReadBlocks():
                    self._later("read", lambda ask=action: self.feed(read_blocks(self.disk, ask)))  # type: ignore[misc]
                case ev.Pack(token, info, snapshot):
                    packed = ev.Packed(token, encode_file(info, snapshot))
                    self._later("beside", lambda packed=packed: self.feed(packed))  # type: ignore[misc]
                case ev.ReadPage():
                    self._later("read", lambda ask=action: self.feed(read_headers(self.disk, ask)))  # type: ignore[misc]
                case ev.Close(connection):
                    if connection in self.wires:
                        wire, side = self.wires.pop(connection)
                        wire.close(side)
                        self._queue.append(ev.Closed(connection, "closed here"))
                case ev.Dial():
                    self._dial()
                case ev.Reply(token, status, body):
                    self.answers[token] = (status, body)
                case ev.Actuate():
                    self.actuated.append(action)
                case ev.Say(level, event, fields):
                    self.world.observer.told(self, level, event, fields)
                    if level in ("error", "alarm"):
                        self.alarms.append(event)
                case ev.Exit():
                    self.crash()
                    self.restart()
                    return
                case ev.Pause(connection, paused):
                    self._pause(connection, paused)
                case ev.Verify(connection, claim):
                    self._queue.append(ev.Verified(connection, claim, True))
                case ev.Believe(wall_ns):
                    self.wall_offset_ns += wall_ns - self.now().wall_ns
                    self.trusted = True
                case ev.Confirm() | ev.Established():
                    pass

    # ── disk ───────────────────────────────────────────────────────────────────────────────────────
    def _work(
        self, worker: str, ops: Sequence[DiskOp], done: Callable[[], None], no_space: Callable[[], None]
    ) -> None:
        remaining = deque(ops)

        def step() -> None:
            if not remaining:
                done()
                return
            op = remaining.popleft()
            try:
                self.disk.apply(op)
            except OSError as error:
                remaining.clear()
                if error.errno == errno.ENOSPC:
                    no_space()
                else:
                    self.feed(ev.DiskFailed(str(error)))
                return
            if self._trapped(f"{worker}:{type(op).__name__}"):
                return
            if remaining:
                self._later(worker, step, front=True, cost=self._cost(remaining[0]))
            else:
                done()

        self._later(worker, step, cost=self._cost(ops[0]) if ops else 1000)

    def _committed(self, n: int, ops: Sequence[DiskOp]) -> None:
        self.world.observer.committed(self, n, ops)
        self.feed(ev.Committed(n))

    def _pause(self, connection: int, paused: bool) -> None:
        if paused:
            self.paused.setdefault(connection, [])
            return
        for data in self.paused.pop(connection, ()):
            self._queue.append(ev.Received([(connection, data)]))

    def _cost(self, op: DiskOp) -> int:
        slow = type(op).__name__ in ("Sync", "SyncDir")
        return self.world.uniform(*(SYNC_NS if slow else WRITE_NS)) + self.sync_slow_ns * slow

    def _later(
        self, worker: str, job: Callable[[], None], *, front: bool = False, cost: int = 50_000
    ) -> None:
        queue = self._workers[worker]
        if front:
            queue.appendleft((cost, job))
        else:
            queue.append((cost, job))
        if worker not in self._busy:
            self._run_next(worker)

    def _run_next(self, worker: str) -> None:
        queue = self._workers[worker]
        if not queue:
            return
        cost, job = queue.popleft()
        self._busy.add(worker)
        life = self.life

        def run() -> None:
            if self.life != life:
                return
            self._busy.discard(worker)
            job()
            if self.life == life and worker not in self._busy:
                self._run_next(worker)

        self.world.after(cost, run)

    # ── network ────────────────────────────────────────────────────────────────────────────────────
    def number(self) -> int:
        """A number for a connection, never used twice on this machine."""
        self._connection += 1
        return self._connection

    def _dial(self) -> None:
        world, parent, life = self.world, self.parent, self.life
        assert parent is not None
        path = world.path(self.name, parent)

        def connect() -> None:
            if self.life != life or self.node is None:
                return
            target = world.hosts[parent]
            if path.weather is Weather.BLACK_HOLE:
                world.after(
                    DIAL_TIMEOUT_NS,
                    lambda: self.feed(ev.DialFailed("timed out")) if self.life == life else None,
                )
            elif path.weather is Weather.REFUSED or not target.up:
                self.feed(ev.DialFailed("connection refused"))
            else:
                mine, theirs = self.number(), target.number()
                wire = Wire(world, path, ((self, mine), (target, theirs)))
                world.connect((self.name, parent), wire)
                self.wires[mine] = (wire, 0)
                target.wires[theirs] = (wire, 1)
                target.feed(ev.Opened(theirs, "link", self.name, tls=True, peer_name=self.settings.name))
                self.feed(ev.Opened(mine, "parent", parent, tls=True, peer_name=target.settings.name))

        world.after(world.uniform(*path.latency_ns) * 2, connect)

    def wire_received(self, connection: int, data: bytes) -> None:
        """Bytes came."""
        if connection in self.paused:
            self.paused[connection].append(data)
        elif connection in self.wires:
            self.feed(ev.Received([(connection, data)]))

    def wire_closed(self, connection: int, reason: str) -> None:
        """A connection is gone."""
        if self.wires.pop(connection, None) is not None:
            self.feed(ev.Closed(connection, reason))
