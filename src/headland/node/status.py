"""What a node says of itself: one struct for the JSON status, the metrics and the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headland.line.ledger import HOUR_NS, NORTH_LEFT, NORTH_RIGHT, SOUTH_LEFT, SOUTH_RIGHT, Imbalance
from headland.line.stages import StageName
from headland.node.acting import Acts
from headland.node.refusing import refusal_of
from headland.node.reloading import ConfigStatus
from headland.vocabulary import Account, Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node


SERIES_SHOWN = 100
MONTH_H = 730
COST_DAYS = 30


class Amount(msgspec.Struct, frozen=True):
    """Readings and payload bytes."""

    readings: int
    bytes: int


class Equation(msgspec.Struct, frozen=True):
    """One side against the other, over everything; accounts that were never used are left out.

    Attributes:
        name: south or north.
        left: Accounts of the left side.
        right: Accounts of the right side.
        left_sum: Their sum.
        right_sum: The other sum; the same, or the books are wrong.
    """

    name: str
    left: dict[str, Amount]
    right: dict[str, Amount]
    left_sum: Amount
    right_sum: Amount


class DecideTimes(msgspec.Struct, frozen=True):
    """The deciding stage: milliseconds from read to actuation handed on, by readings; what was too late."""

    count: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p99_9_ms: float = 0.0
    max_ms: float = 0.0
    misses: int = 0


class Volatile(msgspec.Struct, frozen=True):
    """Series of which an acknowledgement means received, not stored; the promise begins with what is derived.

    Attributes:
        rules: Rules that say so.
        count: Series known so far that they cover.
        series: The first hundred of them.
    """

    rules: list[str] = []
    count: int = 0
    series: list[str] = []


class Books(msgspec.Struct, frozen=True):
    """The books of a node, account by account.

    Attributes:
        balanced: Whether every equation holds.
        failures: Those that do not.
        accounts: Account name to amount, over everything.
        flows: Every balance: account, series group, class, rule, readings, payload bytes.
        wire_bytes_north: Bytes sent to the parent since the data directory was made, before TLS.
        cost: Of those, at the configured price.
        cost_per_month: Of a month (730 h), projected from the hourly totals of the last 30 days.
        cost_hours: Hours that this projection rests on.
        currency: Of the price.
        equations: Both of them with their sums.
        reduction: Share of the offered payload bytes that does not go north as payload, 0 to 1.
        hours: Hourly totals, when asked for: start of the hour (ns UTC), account, series group, class, rule,
            readings, payload bytes.
    """

    balanced: bool
    failures: list[Imbalance]
    accounts: dict[str, Amount]
    flows: list[tuple[str, str, int, str, int, int]]
    wire_bytes_north: int
    cost: float
    cost_per_month: float
    cost_hours: float
    currency: str
    equations: list[Equation]
    reduction: float
    hours: list[tuple[int, str, str, int, str, int, int]] | None = None


class Status(msgspec.Struct, frozen=True):
    """One look at a node.

    Attributes:
        refusing: Why nothing more is taken in; "" while readings are taken in.
        link_trouble: Why the parent was not reached, or did not say welcome, last; "" once it is reached.
        certificate_s_left: Until this node's certificate ends, s, negative since it has; None without one.
    """

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
    checkpoint_bytes: int
    unsealed_rows: int
    stages: dict[str, Any]
    decide: DecideTimes
    config: ConfigStatus
    volatile: Volatile
    refusing: str = ""
    link_trouble: str = ""
    certificate_s_left: float | None = None
    actuations: dict[str, Acts] = {}


def status_of(node: Node, now: Instant) -> Status:
    """The node's state now."""
    parts = node.parts
    north, refusal = parts.north, refusal_of(node)
    return Status(
        name=node.settings.name,
        tier=str(node.settings.tier),
        healthy=node.healthy,
        running_s=round((node.running_ms(now) - parts.ageing.off_ms) / 1000, 3),
        durable_n=node.commits.durable_n,
        in_flight=node.commits.in_flight is not None,
        disk_full=node.commits.stalled,
        refusing=refusal.detail if refusal is not None else "",
        link="none" if north.uplink is None else str(north.uplink.phase.value),
        link_trouble=north.trouble.reason,
        certificate_s_left=node.certificate.seconds_left(now),
        pending_readings=parts.ledger.total(Account.PENDING)[0],
        commits=node.commits.commits,
        children=sorted(parts.south.children.connected()),
        accounts=_accounts(node),
        balanced=node.healthy and not parts.ledger.check(),
        alarms=node.alarms[-20:],
        mqtt=parts.broker.counters.values(),
        wire_bytes_north=_wire_bytes(node),
        journal_bytes=parts.journal.used_bytes,
        file_bytes=parts.shelving.files.used_bytes,
        checkpoint_bytes=parts.journal.checkpoint_bytes,
        stages=node.stages.report() if node.stages is not None else {},
        decide=decide_of(node),
        config=parts.reloading.status(node),
        volatile=_volatile(node),
        actuations=dict(parts.acting.by_rule),
        unsealed_rows=sum(len(parts.sealing.open[priority]) for priority in Priority),
    )


def decide_of(node: Node) -> DecideTimes:
    """The deciding stage's times."""
    if node.stages is None:
        return DecideTimes()
    one = node.stages[StageName.DECIDE].percentiles()
    return DecideTimes(one.count, one.p50, one.p99, one.p99_9, one.max, one.misses)


def _volatile(node: Node) -> Volatile:
    line = node.parts.intake.line
    series = line.volatile
    named = list(map(str, series[:SERIES_SHOWN]))
    return Volatile([rule.name for rule in line.rules.volatile], len(series), named)


def ledger_of(node: Node, now: Instant, *, hours: bool = False) -> Books:
    """The books now; they speak of everything up to the newest closed commit."""
    parts, settings = node.parts, node.settings
    failures = parts.ledger.check()
    wire = _wire_bytes(node)
    lately, base_h = _wire_lately(node, now)
    price = settings.price_per_gb / 1e9
    return Books(
        balanced=node.healthy and not failures,
        failures=failures,
        accounts=_accounts(node),
        flows=[
            (Account(account).name.lower(), group, cls, rule, amount[0], amount[1])
            for (account, group, cls, rule), amount in sorted(parts.ledger.balances.items())
        ],
        wire_bytes_north=wire,
        cost=round(wire * price, 2),
        cost_per_month=round(lately / base_h * MONTH_H * price, 2),
        cost_hours=round(base_h, 2),
        currency=settings.currency,
        equations=[
            _equation(node, "south", SOUTH_LEFT, SOUTH_RIGHT),
            _equation(node, "north", NORTH_LEFT, NORTH_RIGHT),
        ],
        reduction=_reduction(node),
        hours=_hours(node) if hours else None,
    )


def _wire_bytes(node: Node) -> int:
    """Ever, over all starts."""
    return node.parts.ledger.total(Account.WIRE)[1] + node.parts.north.wire_unbooked


def _wire_lately(node: Node, now: Instant) -> tuple[int, float]:
    """Bytes sent in the last 30 days at most, and the hours in which that was."""
    begun = now.wall_ns // HOUR_NS - COST_DAYS * 24
    sent = {
        hour: sum(amount[1] for (account, *_), amount in flows.items() if account == Account.WIRE)
        for hour, flows in node.parts.ledger.hours.items()
        if hour >= begun
    }
    first = min((hour for hour, size in sent.items() if size), default=now.wall_ns // HOUR_NS)
    span_h = (now.wall_ns - first * HOUR_NS) / HOUR_NS
    alive_h = (now.monotonic_ns - node.started_ns) / HOUR_NS
    base_h = span_h if span_h >= 1 else min(span_h, max(alive_h, node.running_ms(now) / 3_600_000))
    return sum(sent.values()) + node.parts.north.wire_unbooked, max(base_h, 1 / 3600)


def _equation(node: Node, name: str, left: tuple[Account, ...], right: tuple[Account, ...]) -> Equation:
    return Equation(name, _side(node, left), _side(node, right), _sum(node, left), _sum(node, right))


def _side(node: Node, accounts: tuple[Account, ...]) -> dict[str, Amount]:
    amounts = {one.name.lower(): Amount(*node.parts.ledger.total(one)) for one in accounts}
    return {name: amount for name, amount in amounts.items() if amount != Amount(0, 0)}


def _sum(node: Node, accounts: tuple[Account, ...]) -> Amount:
    totals = [node.parts.ledger.total(one) for one in accounts]
    return Amount(sum(readings for readings, _ in totals), sum(size for _, size in totals))


def _reduction(node: Node) -> float:
    ledger = node.parts.ledger
    offered = ledger.total(Account.OFFERED)[1]
    north = ledger.total(Account.KEPT)[1] + ledger.total(Account.DERIVED)[1]
    return round(1 - north / offered, 4) if offered else 0.0


def _hours(node: Node) -> list[tuple[int, str, str, int, str, int, int]]:
    return [
        (hour * HOUR_NS, Account(account).name.lower(), group, cls, rule, amount[0], amount[1])
        for hour, flows in sorted(node.parts.ledger.hours.items())
        for (account, group, cls, rule), amount in sorted(flows.items())
    ]


def _accounts(node: Node) -> dict[str, Amount]:
    return {
        account.name.lower(): Amount(*node.parts.ledger.total(account))
        for account in Account
        if node.parts.ledger.total(account) != (0, 0)
    }
