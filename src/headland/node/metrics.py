"""The node's figures in Prometheus' text format 0.0.4.

Own counters on the hot path, written out when asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headland.line.deciding import Outcome
from headland.line.stages import Cause, Stages
from headland.node.refusing import CAUSES, refusal_of
from headland.node.status import ledger_of, status_of

if TYPE_CHECKING:
    from headland.node.loop import Runner


def exposition(runner: Runner) -> bytes:
    """All metrics of a node."""
    now = runner.clock.now()
    node = runner.node
    status, books = status_of(node, now), ledger_of(node, now)
    lines: list[str] = []
    _gauge(
        lines,
        "headland_healthy",
        "1 while the books balance and the disk takes writes.",
        [({}, int(status.healthy))],
    )
    refusal = refusal_of(node)
    _gauge(
        lines,
        "headland_refusing_input",
        "1 while nothing more is taken in, by cause.",
        [({"cause": cause}, int(refusal is not None and refusal.cause == cause)) for cause in CAUSES],
    )
    site, _, name = status.name.partition("/")
    _gauge(
        lines,
        "headland_node_info",
        "1; its labels say which node this is, to be joined with the other figures.",
        [({"site": site, "name": name, "tier": status.tier}, 1)],
    )
    _gauge(lines, "headland_running_seconds", "Running time over all starts.", [({}, status.running_s)])
    _gauge(
        lines,
        "headland_configuration_refused",
        "1 while the newest file is not in force because it is wrong.",
        [({}, int(bool(status.config.refused)))],
    )
    _gauge(
        lines,
        "headland_configuration_restart_keys",
        "Keys of the file that count from the next start.",
        [({}, len(status.config.restart))],
    )
    _gauge(lines, "headland_link_up", "1 while the parent is connected.", [({}, int(status.link == "up"))])
    if status.certificate_s_left is not None:
        _gauge(
            lines,
            "headland_certificate_seconds_left",
            "Until this node's own certificate ends; negative since it has.",
            [({}, status.certificate_s_left)],
        )
    _gauge(lines, "headland_durable_commit", "Newest commit on disk.", [({}, status.durable_n)])
    _gauge(
        lines,
        "headland_pending_readings",
        "Readings that wait for the parent.",
        [({}, status.pending_readings)],
    )
    _gauge(
        lines,
        "headland_disk_bytes",
        "Bytes on disk.",
        [
            ({"of": "journal"}, status.journal_bytes),
            ({"of": "files"}, status.file_bytes),
            ({"of": "checkpoints"}, status.checkpoint_bytes),
        ],
    )
    _gauge(
        lines,
        "headland_ledger_readings",
        "The books in readings.",
        [({"account": a, "group": g, "class": str(c), "rule": r}, n) for a, g, c, r, n, _ in books.flows],
    )
    _gauge(
        lines,
        "headland_ledger_bytes",
        "The books in payload bytes.",
        [({"account": a, "group": g, "class": str(c), "rule": r}, b) for a, g, c, r, _, b in books.flows],
    )
    _counter(
        lines,
        "headland_wire_bytes_north_total",
        "Bytes sent to the parent since the data directory was made, before TLS.",
        [({}, status.wire_bytes_north)],
    )
    if node.settings.price_per_gb:
        _gauge(
            lines,
            "headland_wire_cost",
            "Price of the bytes sent to the parent: of all so far, of a month at the rate of 30 days.",
            [
                ({"of": "so_far", "currency": books.currency}, books.cost),
                ({"of": "month", "currency": books.currency}, books.cost_per_month),
            ],
        )
    _counter(
        lines,
        "headland_mqtt_total",
        "What the MQTT listener has counted since the start.",
        [({"what": k}, v) for k, v in status.mqtt.items()],
    )
    _counter(
        lines,
        "headland_actuations_total",
        "Actuations by rule, and what became of them.",
        [
            ({"rule": rule, "outcome": outcome}, getattr(acts, outcome))
            for rule, acts in status.actuations.items()
            for outcome in map(str, Outcome)
        ],
    )
    _gauge(
        lines,
        "headland_actuations_waiting",
        "Actuations that wait for their turn or are under way.",
        [
            ({"rule": rule}, acts.wanted - acts.done - acts.failed - acts.late - acts.dropped)
            for rule, acts in status.actuations.items()
        ],
    )
    _counter(
        lines,
        "headland_events_untold_total",
        "Events of rules on readings that were turned away, without room for themselves or to wait.",
        [({}, node.turning_away.untold)],
    )
    _stages(lines, runner.stages)
    return "".join(lines).encode()


def _stages(lines: list[str], stages: Stages) -> None:
    """Histograms of the stages, their quantiles and misses."""
    name = "headland_stage_seconds"
    lines.append(f"# HELP {name} Latency of a stage.\n# TYPE {name} histogram\n")
    for stage, one in stages.by_name.items():
        histogram = one.histogram
        edges = [(f"{edge_ns / 1e9:g}", count) for edge_ns, count in histogram.cumulative()]
        lines += [
            f'{name}_bucket{{stage="{stage}",le="{edge}"}} {count}\n'
            for edge, count in [*edges, ("+Inf", histogram.count)]
        ]
        lines.append(f'{name}_sum{{stage="{stage}"}} {histogram.sum_ns / 1e9}\n')
        lines.append(f'{name}_count{{stage="{stage}"}} {histogram.count}\n')
    _gauge(
        lines,
        "headland_stage_quantile_seconds",
        "Latency of a stage since the start, to a sixteenth; 1 is the longest.",
        [
            ({"stage": str(stage), "quantile": quantile}, one.histogram.quantile_ns(float(quantile)) / 1e9)
            for stage, one in stages.by_name.items()
            for quantile in ("0.5", "0.99", "0.999", "1")
        ],
    )
    _gauge(
        lines,
        "headland_stage_budget_seconds",
        "Deadline of a stage.",
        [
            ({"stage": str(stage)}, one.budget_ns / 1e9)
            for stage, one in stages.by_name.items()
            if one.budget_ns is not None
        ],
    )
    _counter(
        lines,
        "headland_stage_misses_total",
        "Deadline misses of a stage, by where most of the time went.",
        [
            ({"stage": str(stage), "cause": str(cause)}, one.causes.get(cause, 0))
            for stage, one in stages.by_name.items()
            if one.budget_ns is not None
            for cause in Cause
        ],
    )


Samples = Iterable[tuple[dict[str, str], int | float]]


def _gauge(lines: list[str], name: str, text: str, samples: Samples) -> None:
    _family(lines, name, text, "gauge", samples)


def _counter(lines: list[str], name: str, text: str, samples: Samples) -> None:
    _family(lines, name, text, "counter", samples)


def _family(lines: list[str], name: str, text: str, kind: str, samples: Samples) -> None:
    lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        lines.append(f"{name}{{{inside}}} {value}\n" if inside else f"{name} {value}\n")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
