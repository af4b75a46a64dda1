"""What a node says of itself: one struct for the JSON status, the metrics and the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headland.line.ledger import Imbalance
from headland.vocabulary import Account, Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node


class Amount(msgspec.Struct, frozen=True):
    """Readings and payload bytes."""

    readings: int
    bytes: int


class Books(msgspec.Struct, frozen=True):
    """The books of a node, account by account.

    Attributes:
        balanced: Whether every equation holds.
        failures: Those that do not.
        accounts: Account name to amount, over everything.
        flows: Every balance: account, series group, class, rule, readings, payload bytes.
        wire_bytes_north: Bytes sent to the parent, before TLS.
        cost_per_month: Of those, at the configured price, projected from the running time.
        currency: Of the price.
    """

    balanced: bool
    failures: list[Imbalance]
    accounts: dict[str, Amount]
    flows: list[tuple[str, str, int, str, int, int]]
    wire_bytes_north: int
    cost_per_month: float
    currency: str


class Status(msgspec.Struct, frozen=True):
    """One look at a node."""

    name: str
    tier: str
    healthy: bool
    running_s: float
    durable_n: int
    in_flight: bool
    disk_full: bool
    link: str
    pending_readings: int
    commits: int
    children: list[str]
    accounts: dict[str, Amount]
    balanced: bool
    alarms: list[tuple[int, str, str]]
    mqtt: dict[str, int]
    wire_bytes_north: int
    journal_bytes: int
    file_bytes: int
    unsealed_rows: int
    stages: dict[str, Any]


def status_of(node: Node, now: Instant) -> Status:
    """The node's state now."""
    parts = node.parts
    north = parts.north
    return Status(
        name=node.settings.name,
        tier=str(node.settings.tier),
        healthy=node.healthy,
        running_s=round(node.running_ms(now) / 1000, 3),
        durable_n=node.commits.durable_n,
        in_flight=node.commits.in_flight is not None,
        disk_full=node.commits.stalled,
        link="none" if north.uplink is None else str(north.uplink.phase.value),
        pending_readings=parts.ledger.total(Account.PENDING)[0],
        commits=node.commits.commits,
        children=sorted(parts.south.children.connected()),
        accounts=_accounts(node),
        balanced=node.healthy and not parts.ledger.check(),
        alarms=node.alarms[-20:],
        mqtt=parts.broker.counters.values(),
        wire_bytes_north=north.uplink.bytes_sent if north.uplink is not None else 0,
        journal_bytes=parts.journal.used_bytes,
        file_bytes=parts.shelving.file_bytes,
        stages=node.stages.report() if node.stages is not None else {},
        unsealed_rows=sum(len(parts.sealing.open[priority]) for priority in Priority),
    )


def ledger_of(node: Node, now: Instant) -> Books:
    """The books now; they speak of everything up to the newest closed commit."""
    parts, settings = node.parts, node.settings
    failures = parts.ledger.check()
    wire = parts.north.uplink.bytes_sent if parts.north.uplink is not None else 0
    hours = max(1e-9, (now.monotonic_ns - node.started_ns) / 3.6e12)
    return Books(
        balanced=node.healthy and not failures,
        failures=failures,
        accounts=_accounts(node),
        flows=[
            (Account(account).name.lower(), group, cls, rule, amount[0], amount[1])
            for (account, group, cls, rule), amount in sorted(parts.ledger.balances.items())
        ],
        wire_bytes_north=wire,
        cost_per_month=round(wire / hours * 730 / 1e9 * settings.price_per_gb, 2),
        currency=settings.currency,
    )


def _accounts(node: Node) -> dict[str, Amount]:
    return {
        account.name.lower(): Amount(*node.parts.ledger.total(account))
        for account in Account
        if node.parts.ledger.total(account) != (0, 0)
    }
