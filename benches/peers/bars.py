"""The figures that are held against a bar: ours over a peer's of the same run, medians over medians."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from benches.peers.results import Result
from benches.registry import Row

OURS = "headland"
MOSQUITTO = ("mosquitto-autosave", "mosquitto-1s", "mosquitto-each")
THINGSBOARD = ("thingsboard-file", "thingsboard-sqlite")
NOT_SYNCING = ("mosquitto-autosave", "mosquitto-1s", "nats-default", *THINGSBOARD, "node-red")
"""Peers whose acknowledgement does not wait for a disk."""
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
}


class Figures:
    """Looks figures up; what was not measured is None."""

    def __init__(self, systems: Sequence[Result]) -> None:
        self._systems = {one.key: one for one in systems}

    def of(self, key: str, name: str) -> float | None:
        """A figure of a system."""
        system = self._systems.get(key)
        return None if system is None else system.figures.get(name)

    def best(
        self, keys: Sequence[str], name: str, choose: Callable[[list[float]], float]
    ) -> tuple[str, float] | None:
        """The peer that is hardest to beat, and its figure."""
        known = {key: value for key in keys if (value := self.of(key, name)) is not None}
        if not known:
            return None
        wanted = choose(list(known.values()))
        return next((key, value) for key, value in known.items() if value == wanted)


def rows_of(systems: Sequence[Result]) -> list[Row]:
    """Every row, also those that could not be measured: they do not hold."""
    figures = Figures(systems)
    return [*_never(figures), *_rates(figures), *_costs(figures), *_times(figures)]


def _row(name: str, value: float | None, unit: str, bar: tuple[str, float], how: str) -> Row:
    sign, limit = bar
    holds = value is not None and SIGNS[sign](value, limit)
    return Row(name, None if value is None else round(value, 6), unit, f"{sign} {limit:g}", holds, how)


def _never(figures: Figures) -> list[Row]:
    acked = figures.of(OURS, "losing.acked")
    how = f"of {acked or 0:,.0f} acknowledged readings, uplink cut and edge killed; sum of all repeats"
    return [
        _row(f"peers_{name}", figures.of(OURS, f"losing.{name}"), "readings", ("=", 0), how)
        for name in ("lost", "doubled", "disordered")
    ]


def _rates(figures: Figures) -> list[Row]:
    name = "taking.acks_per_s_best"
    load = "100 clients, the better of 1 and 20 in flight each"
    return [
        _ratio(figures, "acks_vs_nats_always", name, ("nats-always",), max, (">=", 10), load),
        _ratio(figures, "acks_vs_fastest_not_syncing", name, NOT_SYNCING, max, (">=", 1), load),
    ]


def _costs(figures: Figures) -> list[Row]:
    cpu, uplink = "carrying.cpu_s_per_1000", "carrying.uplink_bytes_per_reading"
    written, outage = "carrying.written_bytes_per_reading", "draining.outage_written_bytes_per_reading"
    paced = "losing.paced_written_bytes_per_reading"
    load = "bulk load, uplink up, every reading kept"
    gap = "as fast as it acknowledges, while the uplink is cut"
    slow = "1,000 readings/s, uplink cut for a part of it, edge killed once"
    each = ("mosquitto-each",)
    return [
        _ratio(figures, "cpu_vs_thingsboard", cpu, THINGSBOARD, min, ("<=", 0.1), f"CPU s, {load}"),
        _ratio(figures, "cpu_vs_mosquitto_bridge", cpu, MOSQUITTO, min, ("<=", 1), f"CPU s, {load}"),
        _ratio(figures, "uplink_vs_mosquitto_bridge", uplink, MOSQUITTO, min, ("<=", 0.05), f"bytes, {load}"),
        _ratio(figures, "written_vs_mosquitto_each", written, each, min, ("<=", 0.1), f"bytes, {load}"),
        _ratio(
            figures, "written_in_outage_vs_mosquitto_each", outage, each, min, ("<=", 0.1), f"bytes, {gap}"
        ),
        _ratio(figures, "written_paced_vs_mosquitto_each", paced, each, min, ("<=", 0.1), f"bytes, {slow}"),
    ]


def _times(figures: Figures) -> list[Row]:
    live = "p99 of live readings while a backlog drains over p99 beside nothing"
    busy, idle = figures.of(OURS, "draining.live_p99_ms"), figures.of(OURS, "draining.idle_p99_ms")
    backlog = figures.of(OURS, "draining.backlog")
    if busy is not None and idle is not None and backlog is not None:
        live += f": {busy:.1f} ms over {idle:.1f} ms, {backlog:,.0f} readings"
    return [
        _row(
            "first_arrival_s",
            figures.of(OURS, "losing.first_arrival_s"),
            "s",
            ("<", 2),
            "from the uplink's return to the first reading north, edge killed in the outage",
        ),
        _row("live_p99_drain_vs_idle", figures.of(OURS, "draining.live_vs_idle"), "ratio", ("<", 2), live),
    ]


def _ratio(
    figures: Figures,
    row: str,
    name: str,
    peers: Sequence[str],
    choose: Callable[[list[float]], float],
    bar: tuple[str, float],
    how: str,
) -> Row:
    """Ours over the hardest of these peers; None when one side is missing."""
    ours, theirs = figures.of(OURS, name), figures.best(peers, name, choose)
    if ours is None or theirs is None:
        return _row(row, None, "ratio", bar, f"{how}: not measured")
    key, value = theirs
    said = f"{how}: {ours:,.4g} against {value:,.4g} of {key}"
    return _row(row, ours / value if value else None, "ratio", bar, said)
