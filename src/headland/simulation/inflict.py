"""Doing what the plan of faults says, and undoing it at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

import msgspec

from headland.node import events as ev
from headland.node.settings import Base
from headland.simulation.device_port import DevicePort
from headland.simulation.disk import SimulatedDisk
from headland.simulation.faults import Fault
from headland.simulation.laws import Forgiven
from headland.simulation.operating import operate
from headland.simulation.strangers import confuse, knock
from headland.simulation.untrue import accept_again, forbid_for_a_while, lie, refuse_for_a_while
from headland.simulation.watching import Trap, Watching
from headland.simulation.wire import Path, Weather
from headland.simulation.world import Host, World
from headland.vocabulary import Account, Priority

if TYPE_CHECKING:
    from headland.simulation.scenario import Scenario

S = 1_000_000_000
MS = 1_000_000
HOUR = 3600 * S
PLENTY_BYTES = 1 << 40
PLACES = (
    "commit:Write",
    "commit:Write",
    "commit:Sync",
    "commit:Create",
    "commit:SyncDir",
    "beside:Create",
    "beside:Write",
    "beside:Sync",
    "beside:Rename",
    "beside:SyncDir",
    "beside:Unlink",
    "send",
    "send",
    "send",
)


class Inflict:
    """See the module.

    Attributes:
        forgiven: What the laws have to forgive because of it.
    """

    def __init__(
        self,
        world: World,
        witness: Watching,
        scenario: Scenario,
        hosts: list[Host],
        ports: list[DevicePort],
    ) -> None:
        self.forgiven = Forgiven({}, set(), set())
        self._world = world
        self._witness = witness
        self._scenario = scenario
        self._hosts = hosts
        self._ports = ports
        self._clones: list[Host] = []
        self._over = False
        self._with_devices = {spec.node for spec in scenario.device}

    def happen(self, fault: Fault) -> None:
        """One fault, now."""
        self._world.note("fault", fault)
        match fault:
            case Fault.CRASH:
                self._crash(self._any())
            case Fault.CRASH_AT_STEP:
                self._arm(self._any(), self._world.rng.choice(PLACES), self._world.uniform(0, 30))
            case Fault.CRASH_IN_SPILL:
                self._arm(self._any(), "spill", self._world.uniform(0, 6))
            case Fault.CRASH_IN_RECOVERY:
                host = self._any()
                self._crash(host)
                self._arm(host, "recovery", self._world.uniform(0, 4))
            case Fault.REFUSED:
                self._cut(Weather.REFUSED, 50 * MS, 4 * S)
            case Fault.BLACK_HOLE:
                self._cut(Weather.BLACK_HOLE, 1 * S, 8 * S)
            case Fault.LONG_CUT:
                weather = self._world.rng.choice((Weather.REFUSED, Weather.BLACK_HOLE))
                self._cut(weather, 5 * S, 9 * S)
            case Fault.RESET:
                self._world.reset(*self._link())
            case Fault.SLOW_NETWORK:
                self._slow_network()
            case Fault.SLOW_DISK:
                host = self._any()
                host.sync_slow_ns = self._world.uniform(10 * MS, 300 * MS)
                self._later(200 * MS, 4 * S, lambda: setattr(host, "sync_slow_ns", 0))
            case Fault.DISK_FULL:
                self._disk_full(self._any())
            case Fault.DISK_ERROR:
                host = self._any()
                host.disk.fail_at = host.disk.applied + self._world.uniform(0, 30)
            case Fault.CLOCK_JUMP:
                host = self._any()
                host.wall_offset_ns += self._world.uniform(-HOUR, HOUR)
                self._tell(host, f"clock is off by {host.wall_offset_ns / S:.0f} s")
            case Fault.CLOCK_UNTRUSTED:
                host = self._any()
                host.trusted, host.wall_offset_ns = False, -self._world.uniform(0, 24 * HOUR)
                self._crash(host)
            case Fault.PARENT_REFUSES:
                self._refuse(self._parent())
            case Fault.PARENT_DOWN:
                host = self._parent()
                host.crash()
                self._later(1 * S, 6 * S, lambda: self._up(host))
            case Fault.RESTORED_NODE:
                self._restore(self._leaf(), "restored_node")
            case Fault.RESTORED_PARENT:
                self._restore(self._parent(), "restored_parent")
            case Fault.EMPTY_PARENT:
                self._empty()
            case Fault.CLONE:
                self._clone(self._below())
            case Fault.NEW_PARENT:
                self._move(self._leaf())
            case Fault.RECONFIGURE:
                self._reconfigure(self._leaf())
            case Fault.STOP:
                self._any().feed(ev.Stop())
            case Fault.OPERATOR:
                operate(self._world, self._witness, self._any(), intents=self._scenario.intents)
            case Fault.DEVICE_CLOCK:
                self._set_device_clock(self._world.rng.choice(self._ports))
            case Fault.PARENT_SPENDS:
                refuse_for_a_while(self._world, self._witness, self._parent())
            case Fault.PARENT_LIES:
                lie(self._world, self._witness, self._parent())
            case Fault.PARENT_FORBIDS:
                forbid_for_a_while(self._world, self._witness, self._parent())
            case Fault.STRANGER:
                knock(self._world, self._witness, self._parent())
            case Fault.CONFUSED:
                confuse(self._world, self._witness, self._parent())
            case Fault.ROT:
                self._rot(self._any())
            case Fault.ROT_IN_LOG:
                self._rot_in_log(self._below())
            case _:
                assert_never(fault)

    def heal(self) -> None:
        """The last fault ends."""
        self._over = True
        self._world.note("heal")
        self._witness.traps.clear()
        for clone in self._clones:
            self._away(clone)
        for path in self._world.paths.values():
            healthy = Path()
            path.weather, path.latency_ns, path.bytes_per_s = (
                Weather.UP,
                healthy.latency_ns,
                healthy.bytes_per_s,
            )
        for host in self._hosts:
            host.sync_slow_ns = 0
            host.disk.capacity_bytes = PLENTY_BYTES
            host.disk.fail_at = None
            host.trusted, host.wall_offset_ns = True, 0
            if host.node is not None:
                host.node.parts.south.children.refusing = False
                accept_again(self._world, host)
            else:
                self._up(host)
        for port in self._ports:
            port.clock_offset_ns = 0
        self._witness.tell("world", "heals")

    # ── whom ───────────────────────────────────────────────────────────────────────────────────────
    def _any(self) -> Host:
        return self._world.rng.choice(self._hosts)

    def _parent(self) -> Host:
        parents = {host.parent for host in self._hosts}
        return self._world.rng.choice([host for host in self._hosts if host.name in parents])

    def _below(self) -> Host:
        return self._world.rng.choice([host for host in self._hosts if host.parent is not None])

    def _leaf(self) -> Host:
        parents = {host.parent for host in self._hosts}
        return self._world.rng.choice([host for host in self._hosts if host.name not in parents])

    def _descendants(self, host: Host) -> set[str]:
        names = {host.name}
        for _ in self._hosts:
            names |= {one.name for one in self._hosts if one.parent in names}
        return names

    def _link(self) -> tuple[str, str]:
        links = [(host.name, host.parent) for host in self._hosts if host.parent is not None]
        if self._world.chance(0.2):
            links = [key for key in self._world.wires if key[1] in self._with_devices] or links
        return self._world.rng.choice(links)

    # ── what ───────────────────────────────────────────────────────────────────────────────────────
    def _tell(self, host: Host, what: str) -> None:
        self._witness.tell(host.name, what)

    def _later(self, low: int, high: int, undo: Callable[[], None]) -> None:
        self._world.after(self._world.uniform(low, high), lambda: None if self._over else undo())

    def _crash(self, host: Host) -> None:
        host.crash()
        host.restart()

    def _up(self, host: Host) -> None:
        if host.node is None:
            host.start()

    def _arm(self, host: Host, where: str, skip: int) -> None:
        self._witness.traps.setdefault(host.name, []).append(Trap(where, skip))

    def _cut(self, weather: Weather, low: int, high: int) -> None:
        one, other = self._link()
        self._witness.tell("world", f"{one} - {other}: {weather}")
        self._world.cut(one, other, weather)

        def mend() -> None:
            self._witness.tell("world", f"{one} - {other}: up")
            self._world.cut(one, other, Weather.UP)

        self._later(low, high, mend)

    def _slow_network(self) -> None:
        path = self._world.path(*self._link())
        before = path.latency_ns, path.bytes_per_s
        path.latency_ns, path.bytes_per_s = (50 * MS, 500 * MS), 1e5

        def mend() -> None:
            path.latency_ns, path.bytes_per_s = before

        self._later(1 * S, 4 * S, mend)

    def _disk_full(self, host: Host) -> None:
        used = host.disk.capacity_bytes - host.disk.free_bytes()
        host.disk.capacity_bytes = used + self._world.uniform(0, 30_000)
        self._tell(host, "disk is full")
        self._later(1 * S, 5 * S, lambda: setattr(host.disk, "capacity_bytes", PLENTY_BYTES))

    def _refuse(self, host: Host) -> None:
        if host.node is not None:
            host.node.parts.south.children.refusing = True
            self._tell(host, "answers Later")

        def accept() -> None:
            if host.node is not None:
                host.node.parts.south.children.refusing = False

        self._later(200 * MS, 3 * S, accept)

    def _rot(self, host: Host) -> None:
        """Media damage: some bytes of a file at rest are others now."""
        found = [f"checkpoint/{name}" for name in host.disk.names("checkpoint")[-1:]]
        for priority in Priority:
            folder = f"outbox/{priority.name.lower()}"
            found += [f"{folder}/{name}" for name in host.disk.names(folder)]
        path = self._world.rng.choice(found) if found else ""
        size = host.disk.size(path) if path else 0
        if size < 64:
            return
        at = self._world.uniform(0, size - 32)
        self._damage(host, path, at)
        self._witness.rotten.add(host.name)
        self._world.count("rot")
        self._tell(host, f"{path} rots at {at}")

    def _damage(self, host: Host, path: str, at: int) -> None:
        """Some bytes are others now, or their page cannot be read at all.

        Of the log only where whole commits follow for certain: elsewhere a node refuses to start.
        """
        newest = [f"journal/{name}" for name in host.disk.names("journal")[-2:]]
        if self._world.chance(0.5) or path in newest:
            host.disk.overwrite(path, at, self._world.rng.randbytes(self._world.uniform(1, 32)))
        else:
            host.disk.wear(path, at)
            self._world.count(f"worn_{path.partition('/')[0]}")

    def _rot_in_log(self, host: Host) -> None:
        """The same in the log, in front of commits that are whole; the next process has to do without."""
        names = host.disk.names("journal")[:-1]
        if host.node is None or not names:
            return
        path = f"journal/{self._world.rng.choice(names)}"
        at = self._world.uniform(64, max(64, host.disk.size(path) - 64))
        self._damage(host, path, at)
        self._witness.rotten.add(host.name)
        self._forgive(host, 0)
        self._world.count("rot_in_log")
        self._tell(host, f"{path} rots at {at}")
        self._crash(host)

    def _set_device_clock(self, port: DevicePort) -> None:
        far = 3 * HOUR if self._world.chance(0.2) else 20 * S
        port.clock_offset_ns = self._world.uniform(-far, far)
        self._world.count("device_clock_jumped")
        self._witness.tell("world", f"a clock of devices is off by {port.clock_offset_ns / S:.3f} s")

    def _restore(self, host: Host, what: str) -> None:
        if host.node is None:
            return
        copy, since = host.disk.process_kill(), self._world.now_ns
        self._tell(host, "disk is copied")

        def back() -> None:
            host.crash()
            host.disk = copy
            host.disk.capacity_bytes = PLENTY_BYTES
            self._forgive(host, since)
            self._world.count(what)
            self._tell(host, f"gets its disk of {since / S:.4f} s back")
            host.restart()

        self._later(300 * MS, 4 * S, back)

    def _forgive(self, host: Host, since_ns: int) -> None:
        self.forgiven.windows.setdefault(host.name, []).append((since_ns, self._world.now_ns))
        self.forgiven.twice.add(host.name)
        self.forgiven.reordered |= self._descendants(host)
        self.forgiven.uneven = self._witness.rewinds = True

    def _empty(self) -> None:
        parents = {host.parent for host in self._hosts}
        relays = [host for host in self._hosts if host.name in parents and host.parent is not None]
        if not relays:
            return
        host = self._world.rng.choice(relays)
        host.crash()
        host.disk = SimulatedDisk()
        self._forgive(host, 0)
        self._world.count("empty_parent")
        self._tell(host, "starts with an empty disk")
        host.restart()

    def _clone(self, host: Host) -> None:
        if host.node is None or f"{host.name}#clone" in self._world.hosts:
            return
        clone = Host(self._world, f"{host.name}#clone", host.settings, host.parent, host.disk.process_kill())
        clone.file_bytes = host.file_bytes
        clone.disk.capacity_bytes = PLENTY_BYTES
        if host.name in self._witness.rotten:  # and so is the copy
            self._witness.rotten.add(clone.name)
        clone.wall_offset_ns, clone.trusted = host.wall_offset_ns, host.trusted
        self.forgiven.twice.add(host.settings.name)
        self.forgiven.reordered |= self._descendants(host)
        self.forgiven.uneven = self._witness.rewinds = True
        self._world.count("clone")
        self._tell(clone, "starts beside its original")
        self._clones.append(clone)
        clone.start()
        self._later(1 * S, 6 * S, lambda: self._away(clone))

    def _away(self, clone: Host) -> None:
        if clone.name in self._world.hosts:
            clone.crash()
            clone.life += 1
            del self._world.hosts[clone.name]
            self._tell(clone, "is taken away")

    def _move(self, host: Host) -> None:
        others = [
            one.name
            for one in self._hosts
            if one.name not in (host.parent, host.name) and one.name not in self._descendants(host)
        ]
        candidates = [name for name in others if name not in self._leaves()]
        if not candidates:
            return
        host.crash()
        host.parent = self._world.rng.choice(candidates)
        self.forgiven.moved |= self._descendants(host)
        self.forgiven.reordered |= self._descendants(host)
        self.forgiven.uneven = self._witness.rewinds = True
        self._world.count("new_parent")
        self._tell(host, f"belongs to {host.parent} now")
        host.restart()

    def _leaves(self) -> set[str]:
        parents = {spec.parent for spec in self._scenario.node}
        return {spec.name for spec in self._scenario.node if spec.name not in parents}

    def _reconfigure(self, host: Host) -> None:
        """The host's file changes, and is read again (or by its next process, when it is down)."""
        spec = self._scenario.spec(host.settings.name)
        other = spec.changed_rules if host.settings.line.version == spec.rules.version else spec.rules
        host.settings = msgspec.structs.replace(host.settings, line=other)
        node = host.node
        if node is not None and node.parts.ledger.total(Account.HELD)[0]:
            self._world.count("reconfigured_with_held_readings")
        self._tell(host, f"rules {other.version}")
        self._world.count("reconfigured")
        base = host.base or Base(settings=host.settings)
        tree = base.tree
        if tree is not None:
            tree = {**tree, "series": msgspec.to_builtins(other.series)}
        base = Base(settings=host.settings, digest=other.version, tree=tree)
        host.base = base if host.base is not None else None
        host.feed(ev.Reconfigure(base))
