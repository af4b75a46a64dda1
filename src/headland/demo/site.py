"""The site of the demo: who stands where, and what their files say.

::

    press-1 press-2 ─mqtt─► device-1 ═╗
    pump-1 pusher-1 ─mqtt,http─► device-2 ═╬═► local-1 ══[wire that is cut]══╗
    gateway-1 ─mqtt─────────────────────┘                                    ╠═► regional ═► cloud
    fan-1 ─mqtt─► device-3 ═══════════════► local-2 ══[wire]═════════════════╝
    gateway-2 logger-1 ─mqtt────────────────┘

Every MQTT client talks through a proxy that can hold answers back, both links to the regional node go through
proxies that count their bytes. All nodes were made by `headland init` with one development authority; what is
appended to their files stands in `RULES` and `HOST`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Literal

import msgspec

from headland.demo.device import ClientPlan
from headland.vocabulary import HeadlandError

SITE = "demo"


class NodePlan(msgspec.Struct, frozen=True):
    """A node and its parent's name, "" for the root."""

    name: str
    tier: str
    parent: str

    @property
    def origin(self) -> str:
        """`site/name`."""
        return f"{SITE}/{self.name}"


NODES = (
    NodePlan("cloud", "cloud", ""),
    NodePlan("regional", "regional", "cloud"),
    NodePlan("local-1", "local", "regional"),
    NodePlan("local-2", "local", "regional"),
    NodePlan("device-1", "device", "local-1"),
    NodePlan("device-2", "device", "local-1"),
    NodePlan("device-3", "device", "local-2"),
)
CUT = "local-1"
"""The node whose link to its parent is cut."""
KILLED = ("device-1", "local-1", "device-3", "local-2", "device-2")
"""Who is killed, in turn; each has MQTT clients."""


class Device(msgspec.Struct, frozen=True):
    """A client of the demo before ports are known."""

    name: str
    kind: Literal["mqtt5", "mqtt311", "http"]
    node: str
    signals: tuple[str, ...]
    rate: float


DEVICES = (
    Device("press-1", "mqtt5", "device-1", ("machine:0",), 45.0),
    Device("press-2", "mqtt311", "device-1", ("machine:1",), 45.0),
    Device("pump-1", "mqtt5", "device-2", ("machine:2",), 45.0),
    Device("pusher-1", "http", "device-2", ("machine:3",), 45.0),
    Device("fan-1", "mqtt311", "device-3", ("machine:4",), 45.0),
    Device("gateway-1", "mqtt5", "local-1", ("machine:5",), 45.0),
    Device("gateway-2", "mqtt311", "local-2", ("machine:6",), 45.0),
    Device("logger-1", "mqtt5", "local-2", ("log:0",), 15.0),
)
"""Clients; together 330 readings a second."""

RULES = """
# ---- added by `headland demo` ----
[[mapping]]
topic = "demo/{machine}/{metric}"
series = "{machine}/{metric}"
value = "$.v"
time = "$.t"
time_unit = "ns"
sequence = "$.s"

[[series]]
name = "alarms"
match = "*/alarm"
priority = "critical"
filter = { kind = "deadband", ratio = 0.0, floor = 0.0 }

[[series]]
name = "logs"
match = "*/log"
priority = "high"
filter = { kind = "severity" }

[[series]]
name = "hosts"
match = "host/**"
priority = "low"
filter = { kind = "summary", window_s = 5.0, lateness_s = 2.0, hold_s = 10.0 }

[[series]]
name = "power"
match = "*/power"
filter = { kind = "summary", window_s = 5.0, lateness_s = 2.0, hold_s = 10.0 }

[[series]]
name = "fans"
match = "fan-1/*"
filter = { kind = "summary", window_s = 5.0, lateness_s = 2.0, hold_s = 10.0, quantiles = [0.5] }

[[series]]
name = "vibration"
match = "*/vibration*"
priority = "high"

[series.filter]
kind = "boost"
before_s = 1.0
after_s = 2.0
above = 0.25
inner = { kind = "deadband", ratio = 0.05, floor = 0.005, heartbeat_s = 5.0 }

[[series]]
name = "energy"
match = "*/energy"
filter = { kind = "keep" }

[default]
name = "changes"
filter = { kind = "deadband", ratio = 0.05, floor = 0.2, heartbeat_s = 10.0 }

[[rule]]
name = "stop"
match = "*/vibration*"
priority = "critical"
when = { kind = "threshold", above = 0.25, hysteresis = 0.05 }
act = [{ kind = "mqtt", target = "actuate/{name}", payload = "{value}" }]

[[rule]]
name = "hot"
match = "*/temperature*"
when = { kind = "cel", expression = "value > 60.0 && previous != null && value > previous" }

[classes.normal]
sync = "every"
sync_every_s = 2.0
"""

HOST = """
[[source]]
name = "host"
kind = "host"
every_s = 1.0

[[source]]
name = "log"
kind = "logs"
paths = ["node.log"]
series = "host/log"
"""
"""Added to every local node: the machine it runs on, and its log lines."""

INIT_S = 30.0


class Site(msgspec.Struct):
    """Where everything is on this machine.

    Attributes:
        root: Directory of all nodes.
        mqtt, http, link: Ports of each node by name.
    """

    root: Path
    mqtt: dict[str, int] = {}
    http: dict[str, int] = {}
    link: dict[str, int] = {}

    def directory(self, node: str) -> Path:
        """Directory of a node."""
        return self.root / node

    def file(self, node: str) -> Path:
        """Configuration of a node."""
        return self.directory(node) / "node.toml"

    def log(self, client: str) -> Path:
        """Acknowledgement log of a client."""
        return self.root / "acknowledged" / f"{client}.jsonl"


def plan_ports(root: Path) -> Site:
    """Free loopback ports for all listeners, all different."""
    site = Site(root)
    held = []
    try:
        for ports in (site.mqtt, site.http, site.link):
            for node in NODES:
                one = socket.socket()
                held.append(one)
                one.bind(("127.0.0.1", 0))
                ports[node.name] = one.getsockname()[1]
    finally:
        for one in held:
            one.close()
    return site


async def make_nodes(site: Site, call: dict[str, int]) -> None:
    """`headland init` for every node, then our rules appended to its file.

    Args:
        site: Where; `root` exists.
        call: Port at which each node that has a parent calls it (a proxy's or the parent's own).

    Raises:
        HeadlandError: `headland init` failed; the message holds what it said.
    """
    first, *others = NODES
    await _init(site, first, call)
    await asyncio.gather(*(_init(site, node, call) for node in others))
    for node in NODES:
        with site.file(node.name).open("a", encoding="utf-8") as file:
            file.write(RULES + (HOST if node.tier == "local" else ""))


async def _init(site: Site, node: NodePlan, call: dict[str, int]) -> None:
    arguments = ["init", str(site.directory(node.name)), "--tier", node.tier, "--name", node.name]
    arguments += ["--site", SITE, "--ca", str(site.root / "authority")]
    arguments += ["--mqtt-port", str(site.mqtt[node.name]), "--http-port", str(site.http[node.name])]
    arguments += ["--link-port", str(site.link[node.name])]
    if node.parent:
        arguments += ["--parent", f"127.0.0.1:{call[node.name]}", "--parent-name", f"{SITE}/{node.parent}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headland",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), INIT_S)
    if process.returncode:
        raise HeadlandError(f"headland init {node.name} failed: {said.decode(errors='replace').strip()}")


def client_plans(site: Site, doors: dict[str, int]) -> list[ClientPlan]:
    """Clients with their ports.

    Args:
        site: Where their logs go.
        doors: MQTT port of each node as its clients see it (a proxy's).
    """
    return [
        ClientPlan(
            name=device.name,
            kind=device.kind,
            port=site.http[device.node] if device.kind == "http" else doors[device.node],
            origin=f"{SITE}/{device.node}",
            log=str(site.log(device.name)),
            signals=list(device.signals),
            rate=device.rate,
        )
        for device in DEVICES
    ]
