"""The chain that is hurt: who stands where, what the files say, who publishes.

::

    meter-1 meter-2 (MQTT 5) meter-3 (3.1.1) ─[door]─► device ══[wire]══► local ══[wire]══► cloud
    pusher-1 (HTTP) ──────────────────────────────────►                    ▲ gateway-1 (MQTT 5) ─[door]─

A second local node, `spare`, is there for a child that changes its parent. Doors are proxies that read MQTT
along and can hold answers back; wires are proxies that can be cut, slowed and broken. All nodes are made
once, by `headland init` with one development authority; each round begins with a copy and empty data
directories. Everything is bound to 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headland.demo.device import ClientPlan
from headland.vocabulary import HeadlandError

SITE = "campaign"
INIT_S = 30.0
PORTS = range(15_000, 32_000)
"""Below those that the kernel gives to callers."""
BUDGET_BYTES = 64 << 20
LITTLE_BYTES = 32 << 20
"""The least that a node works with."""

RULES = """
# ---- added by the campaign ----
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
name = "power"
match = "*/power"
filter = { kind = "summary", window_s = 1.0, lateness_s = 1.0, hold_s = 30.0 }

[[series]]
name = "vibration"
match = "*/vibration*"
priority = "high"
filter = { kind = "keep" }

[[series]]
name = "blobs"
match = "*/blob"
priority = "low"
filter = { kind = "keep" }

[default]
name = "rest"
filter = { kind = "keep" }

[classes.normal]
sync = "every"
sync_every_s = 0.4

[classes.low]
sync = "every"
sync_every_s = 0.2
"""


class Plan(msgspec.Struct, frozen=True):
    """A node and its parent's name, "" for the root."""

    name: str
    tier: str
    parent: str

    @property
    def origin(self) -> str:
        """`site/name`."""
        return f"{SITE}/{self.name}"


NODES = (
    Plan("cloud", "cloud", ""),
    Plan("local", "local", "cloud"),
    Plan("device", "device", "local"),
    Plan("spare", "local", "cloud"),
)
CHAIN = ("cloud", "local", "device")
PLANS = {plan.name: plan for plan in NODES}


class Meter(msgspec.Struct, frozen=True):
    """A client before ports are known."""

    name: str
    kind: str
    node: str
    rate: float


METERS = (
    Meter("meter-1", "mqtt5", "device", 90.0),
    Meter("meter-2", "mqtt5", "device", 90.0),
    Meter("meter-3", "mqtt311", "device", 90.0),
    Meter("pusher-1", "http", "device", 120.0),
    Meter("gateway-1", "mqtt5", "local", 90.0),
)


class Ports(msgspec.Struct, frozen=True):
    """Loopback ports of everything, the same in every round.

    Attributes:
        mqtt, http, link: Of each node, by its name.
        wire: Where a node finds its parent.
        door: Where clients find a node's MQTT listener.
        clone: Of a second `device` (mqtt, http, link).
    """

    mqtt: dict[str, int]
    http: dict[str, int]
    link: dict[str, int]
    wire: dict[str, int]
    door: dict[str, int]
    clone: tuple[int, int, int]


def free_ports() -> Ports:
    """Loopback ports that nobody has now, all different, and none that a call might be given for itself."""
    names = [plan.name for plan in NODES]
    found = unused_ports(4 * len(names) + 5)
    return Ports(
        mqtt={name: next(found) for name in names},
        http={name: next(found) for name in names},
        link={name: next(found) for name in names},
        wire={plan.name: next(found) for plan in NODES if plan.parent},
        door={name: next(found) for name in ("device", "local")},
        clone=(next(found), next(found), next(found)),
    )


def unused_ports(count: int) -> Iterator[int]:
    """So many of them."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return iter(found)


class Site(msgspec.Struct, frozen=True):
    """One directory with all nodes, of which each round has its own copy.

    Attributes:
        root: The directory.
        ports: Of everything.
    """

    root: Path
    ports: Ports

    def directory(self, node: str) -> Path:
        """Directory of a node."""
        return self.root / node

    def file(self, node: str) -> Path:
        """Configuration of a node."""
        return self.root / node / "node.toml"

    def data(self, node: str) -> Path:
        """Data directory of a node."""
        return self.root / node / "data"

    @property
    def logs(self) -> Path:
        """Acknowledgement logs of all clients."""
        return self.root / "acknowledged"

    def copied(self, root: Path) -> Site:
        """A copy of the whole site elsewhere."""
        shutil.copytree(self.root, root)
        (root / "acknowledged").mkdir()
        return Site(root, self.ports)


async def make_site(root: Path) -> Site:
    """Make every node.

    Raises:
        HeadlandError: `headland init` failed; the message holds what it said.
    """
    site = Site(root, free_ports())
    for plan in NODES:
        await init_node(site, plan)
        with site.file(plan.name).open("a", encoding="utf-8") as file:
            file.write(f"{RULES}\n[disk]\nbudget_bytes = {BUDGET_BYTES}\n")
    return site


async def init_node(site: Site, plan: Plan) -> None:
    """Make one node.

    Raises:
        HeadlandError: `headland init` failed; the message holds what it said.
    """
    ports = site.ports
    arguments = ["init", str(site.directory(plan.name)), "--tier", plan.tier, "--name", plan.name]
    arguments += ["--site", SITE, "--ca", str(site.root / "authority")]
    for option, port in (("mqtt", ports.mqtt), ("http", ports.http), ("link", ports.link)):
        arguments += [f"--{option}-port", str(port[plan.name])]
    if plan.parent:
        arguments += ["--parent", f"127.0.0.1:{ports.wire[plan.name]}"]
        arguments += ["--parent-name", f"{SITE}/{plan.parent}"]
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
        raise HeadlandError(f"headland init {plan.name} failed: {said.decode(errors='replace').strip()}")


def client_plans(site: Site, phase: int, nodes: tuple[str, ...]) -> list[ClientPlan]:
    """The meters of these nodes, by other names in each phase of a round: each is a new client."""
    return [
        ClientPlan(
            name=f"{meter.name}-{phase}",
            kind=meter.kind,  # type: ignore[arg-type]  # one of the three
            port=site.ports.http[meter.node] if meter.kind == "http" else site.ports.door[meter.node],
            origin=f"{SITE}/{meter.node}",
            log=str(site.logs / f"{meter.name}-{phase}.jsonl"),
            signals=[f"machine:{number}"],
            rate=meter.rate,
        )
        for number, meter in enumerate(METERS)
        if meter.node in nodes
    ]
