"""Three tiers in one simulated world, with devices at the lowest: what the node's laws are tried on."""

from __future__ import annotations

from headland.journal import JournalConfig
from headland.line.filtering.keep import Keep
from headland.line.rules import LineRules, SeriesRule
from headland.node.settings import NodeSettings
from headland.simulation.device import Device, Habits
from headland.simulation.device_port import DevicePort
from headland.simulation.disk import SimulatedDisk
from headland.simulation.world import Host, World
from headland.vocabulary import Account

SECOND = 10**9
MS = 10**6
KEEP_ALL = LineRules(default=SeriesRule(name="all", filter=Keep()))
SEGMENT = 1 << 14


class Chain:
    """cloud <- regional <- local <- devices, keep-all, with segments of 16 KiB."""

    def __init__(
        self,
        seed: int,
        *,
        devices: int = 3,
        readings: int = 300,
        interval_ns: int = 10 * MS,
        budget_bytes: int = 0,
        start: bool = True,
    ) -> None:
        self.world = World(seed)
        journal = JournalConfig(segment_bytes=SEGMENT, checkpoint_log_bytes=SEGMENT)

        def host(name: str, parent: str | None, budget: int = 0) -> Host:
            settings = NodeSettings(
                name=name,
                has_parent=parent is not None,
                line=KEEP_ALL,
                journal=journal,
                journal_bytes=4 * SEGMENT,
                budget_bytes=budget,
                reserve_bytes=SEGMENT if budget else 0,
            )
            return Host(self.world, name, settings, parent, SimulatedDisk())

        self.cloud = host("s/cloud", None)
        self.regional = host("s/regional", "s/cloud")
        self.local = host("s/local", "s/regional", budget_bytes)
        self.hosts = (self.cloud, self.regional, self.local)
        port = DevicePort(self.world, self.local)
        self.devices = [
            Device(f"d{i}", port, Habits(series=3, interval_ns=interval_ns, window=50), readings)
            for i in range(devices)
        ]
        if start:
            self.begin()

    def begin(self) -> None:
        """Start every node, then the devices."""
        for one in self.hosts:
            one.start()
        for device in self.devices:
            device.start()

    def run_s(self, seconds: float) -> None:
        """Let time pass, up to this moment of the world."""
        self.world.run(int(seconds * SECOND))

    def total(self, host: Host, account: Account) -> int:
        """Readings in an account."""
        assert host.node is not None
        return host.node.parts.ledger.total(account)[0]

    def acknowledged(self) -> int:
        """Readings that devices were acknowledged."""
        return sum(one.acked for device in self.devices for one in device.log)

    def balanced(self) -> bool:
        """Whether every node's books balance."""
        return all(
            one.node is not None and one.node.healthy and not one.node.parts.ledger.check()
            for one in self.hosts
        )
