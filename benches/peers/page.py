"""The page of the comparison, and the same tables for a terminal: made from the JSON, nothing by hand."""

from __future__ import annotations

from typing import Any

COLUMNS = {
    "losing": (
        ("acked", "acknowledged", "{:,.0f}"),
        ("lost", "lost", "{:,.0f}"),
        ("doubled", "doubled", "{:,.0f}"),
        ("disordered", "disordered", "{:,.0f}"),
        ("overtaken", "overtaken", "{:,.0f}"),
        ("first_arrival_s", "first arrival, s", "{:.2f}"),
        ("drained_s", "drained, s", "{:.2f}"),
    ),
    "taking": (
        ("acks_per_s_window20", "acks/s, 20 in flight", "{:,.0f}"),
        ("acks_per_s_window1", "acks/s, 1 in flight", "{:,.0f}"),
        ("ack_p50_ms", "ack p50, ms", "{:.2f}"),
        ("ack_p99_ms", "ack p99, ms", "{:.2f}"),
    ),
    "carrying": (
        ("cpu_s_per_1000", "CPU s / 1,000", "{:.4f}"),
        ("uplink_bytes_per_reading", "uplink B", "{:.1f}"),
        ("written_bytes_per_reading", "written B", "{:.1f}"),
        ("pss_peak_mb", "PSS peak, MB", "{:.0f}"),
    ),
}
TITLES = {
    "losing": "Uplink cut, edge killed with SIGKILL in the outage, uplink back",
    "taking": "Acknowledgements, 100 connections (p50 and p99 at 1 in flight)",
    "carrying": "Cost of a reading while the uplink is up, every reading kept",
}
WORDS = {
    "losing": (
        "Counts are sums over all repeats. *Lost*: acknowledged to its client, not north 3 s after the last "
        "arrival. *Disordered*: came behind a later one of its topic on the same lane. *Overtaken*: the same "
        "over all lanes; Headland sends live before backlog on lanes of their own; its query orders by time."
    ),
    "taking": (
        "MQTT QoS 1, one generator for all. *Durable*: an acknowledgement means that the reading is on disk."
    ),
    "carrying": (
        "MQTT QoS 1, 20 connections with 100 in flight, 200,000 readings or 20 s. "
        "Bytes are TCP payload north, and `write_bytes` of the edge "
        "process; both per reading of about 45 bytes of payload."
    ),
}
BAR_WIDTH = 40


def tables(report: dict[str, Any]) -> str:
    """All trials, as Markdown tables."""
    return "\n".join(_trial(report, trial) for trial in COLUMNS)


def written(report: dict[str, Any]) -> str:
    """The page."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    systems = "\n".join(
        f"- **{one['name']}**: {one['how']}." + "".join(f" *Not measured*: {t}." for t in one["trouble"])
        for one in report["systems"]
    )
    trials = "\n".join(_trial(report, trial) + "\n" + _bars(report, trial) for trial in COLUMNS)
    return (
        "# Beside its peers\n\nMade by `./dev bench peers --page docs/benchmarks.md`; every figure is of one "
        f"run on one machine ({machine}), medians of {_repeats(report)} repeats in turn.\n\n{systems}\n\n"
        f"{trials}"
    )


def _repeats(report: dict[str, Any]) -> int:
    return max((len(v) for one in report["systems"] for v in one["repeats"].values()), default=0)


def _trial(report: dict[str, Any], trial: str) -> str:
    columns = COLUMNS[trial]
    lines = [f"## {TITLES[trial]}", "", WORDS[trial], ""]
    lines.append("| system | durable | " + " | ".join(title for _, title, _ in columns) + " |")
    lines.append("|---|---|" + "---:|" * len(columns))
    for one in report["systems"]:
        cells = []
        for name, _, form in columns:
            value = one["figures"].get(f"{trial}.{name}")
            cells.append("-" if value is None else form.format(value))
        durable = "yes" if one["durable"] else "no"
        lines.append(f"| {one['name']} | {durable} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


PLOTTED = {
    "losing": "lost",
    "taking": "acks_per_s_window20",
    "carrying": "uplink_bytes_per_reading",
}
"""What the picture of each trial shows."""


def _bars(report: dict[str, Any], trial: str) -> str:
    name = f"{trial}.{PLOTTED[trial]}"
    title = next(title for key, title, _ in COLUMNS[trial] if key == PLOTTED[trial])
    values = {one["name"]: one["figures"].get(name) or 0.0 for one in report["systems"]}
    most = max(values.values(), default=0.0) or 1.0
    width = max(map(len, values), default=0)
    lines = [
        f"{key:{width}}  {'█' * round(value / most * BAR_WIDTH):{BAR_WIDTH}}  {value:,.0f}"
        for key, value in values.items()
    ]
    return f"```text\n{title}\n" + "\n".join(lines) + "\n```\n"
