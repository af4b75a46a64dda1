"""Between simulated devices and the MQTT listener of one machine."""

from __future__ import annotations

from headland.node import events as ev
from headland.simulation.device import LATE_BY, Device, Published
from headland.simulation.wire import Weather, Wire
from headland.simulation.world import START_WALL_NS, Host, World


class DevicePort:
    """Connects simulated devices to one host's MQTT listener.

    Attributes:
        clock_offset_ns: By so much the devices' clock is wrong.
    """

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host
        self._wires: dict[str, Wire] = {}
        self._devices: dict[int, Device] = {}
        self._connection = 0
        self.clock_offset_ns = 0

    def connect(self, device: Device) -> None:
        """Dial the broker."""
        world, host = self._world, self._host
        path = world.path(device.name, host.name)

        def dial() -> None:
            if not host.up or path.weather is not Weather.UP:
                device.failed()
                return
            self._connection += 1
            mine, theirs = self._connection, host.number()
            wire = Wire(world, path, ((self, mine), (host, theirs)))
            world.connect((device.name, host.name), wire)
            self._wires[device.name] = wire
            self._devices[mine] = device
            host.wires[theirs] = (wire, 1)
            host.feed(ev.Opened(theirs, "mqtt", device.name))
            device.opened()

        world.after(world.uniform(*path.latency_ns), dial)

    def transmit(self, device: Device, data: bytes) -> None:
        """Bytes to the node."""
        wire = self._wires.get(device.name)
        if wire is not None:
            wire.send(0, data)

    def hang_up(self, device: Device) -> None:
        """Close its connection; the node may or may not notice."""
        wire = self._wires.pop(device.name, None)
        if wire is not None:
            wire.close(0)
            self._devices = {number: one for number, one in self._devices.items() if one is not device}
        device.failed()

    def later(self, device: Device, delay_ns: int) -> None:
        """Call the device's `tick` after a while."""
        self._world.after(delay_ns, device.tick)

    def wall_ns(self) -> int:
        """The devices' clock."""
        return START_WALL_NS + self._world.now_ns + self.clock_offset_ns

    def now_ns(self) -> int:
        """Time since the beginning."""
        return self._world.now_ns

    def value(self, device: Device) -> float:
        """A random walk around the device's level."""
        return round(20 + self._world.rng.gauss(0, 5), 3)

    def late_by(self, share: float) -> int:
        """Chance is asked only by devices that hold anything back."""
        world = self._world
        return world.uniform(1, LATE_BY) if share and world.chance(share) else 0

    def published(self, device: Device, reading: Published) -> None:
        """It is on its way."""
        self._world.observer.published(self._host, device.name, reading)

    def acknowledged(self, device: Device, reading: Published) -> None:
        """It is the node's now."""
        self._world.observer.acknowledged(self._host, device.name, reading)

    def disordered(self, device: Device, reading: Published) -> None:
        """Acknowledgements leave in the order of what they acknowledge."""
        self._world.observer.disordered(self._host, device.name, reading)

    def wire_received(self, connection: int, data: bytes) -> None:
        """Bytes from the broker."""
        device = self._devices.get(connection)
        if device is not None:
            device.received(data)

    def wire_closed(self, connection: int, reason: str) -> None:
        """The broker or the network ended it."""
        device = self._devices.pop(connection, None)
        if device is not None:
            self._wires.pop(device.name, None)
            device.failed()
