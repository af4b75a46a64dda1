"""The law that a block which waits for another attempt holds up nobody else in its lane."""

from __future__ import annotations

from headland.line.outbox.settings import Sync
from headland.link.contract import StreamKey
from headland.link.uplink import Phase
from headland.simulation.wire import Path, Weather
from headland.simulation.world import Host, World

BOUND_NS = 1_500_000_000
"""While the link is up and nothing is slow, the next block of a lane leaves within this."""


class LanesGoOn:
    """While a block waits after a `Later`, younger blocks of its (class, lane) leave, within `BOUND_NS`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: dict[tuple[str, int, int], tuple[int, object]] = {}

    def look(self, host: Host) -> str:
        """What is held up, or ""."""
        lanes = _unsent_behind(host) if self._healthy(host) else {}
        now = self._world.now_ns
        for lane in [key for key in self._since if key[0] == host.name and key[1:] not in lanes]:
            del self._since[lane]
        for (priority, which), progress in lanes.items():
            key = (host.name, priority, which)
            since, before = self._since.get(key, (now, progress))
            if before != progress:
                since = now
            self._since[key] = since, progress
            if now - since > BOUND_NS:
                del self._since[key]
                idle_s = (now - since) / 1e9
                return f"class {priority}, lane {which} of {host.name}: nothing left for {idle_s:.3f} s"
        return ""

    def _healthy(self, host: Host) -> bool:
        """Whether nothing but the outbox itself can hold up a block."""
        parent = self._world.hosts.get(host.parent or "")
        if host.node is None or parent is None or parent.node is None:
            return False
        path, calm = self._world.path(host.name, parent.name), Path()
        slow = host.sync_slow_ns or parent.sync_slow_ns
        still = path.weather is Weather.UP and path.latency_ns == calm.latency_ns and not slow
        full = host.node.full or host.node.commits.stalled or parent.node.full or parent.node.commits.stalled
        return still and not full and not parent.node.parts.south.children.pressed


def _unsent_behind(host: Host) -> dict[tuple[int, int], object]:
    """(class, lane) in which a block waits and others could leave, with how far those have come."""
    assert host.node is not None
    north = host.node.parts.north
    outbox, uplink = north.outbox, north.uplink
    if outbox is None or uplink is None or uplink.phase is not Phase.UP or not outbox.state.waiting:
        return {}
    settings = outbox.settings
    if len(outbox.state.waiting) >= settings.waiting_max:
        return {}
    waiting = {(item.priority, item.lane) for item in outbox.state.waiting.values()}
    out: dict[tuple[int, int], list[tuple[StreamKey, int, int]]] = {}
    for stream in outbox.state.streams():
        key = stream.key
        if (key.priority, key.lane) not in waiting or stream.frozen or stream.sent >= stream.durable:
            continue
        if settings.classes[key.priority].sync is not Sync.ON_DEMAND:
            out.setdefault((key.priority, key.lane), []).append((key, stream.sent, stream.acked))
    return {lane: tuple(streams) for lane, streams in out.items()}
