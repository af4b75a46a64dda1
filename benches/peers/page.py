"""The page of the comparison, and the same tables for a terminal: made from the JSON, nothing by hand."""

from __future__ import annotations

from pathlib import Path

from benches.peers.pictures import Bar, bars
from benches.peers.results import Report, Result

COLUMNS = {
    "losing": (
        ("acked", "acknowledged", "{:,.0f}"),
        ("lost", "lost", "{:,.0f}"),
        ("doubled", "doubled", "{:,.0f}"),
        ("disordered", "disordered", "{:,.0f}"),
        ("overtaken", "overtaken", "{:,.0f}"),
        ("first_arrival_s", "first arrival, s", "{:.2f}"),
        ("drained_s", "drained, s", "{:.2f}"),
        ("paced_written_bytes_per_reading", "written B", "{:,.1f}"),
    ),
    "taking": (
        ("acks_per_s_window20", "acks/s, 100 x 20", "{:,.0f}"),
        ("acks_per_s_window1", "acks/s, 100 x 1", "{:,.0f}"),
        ("ack_p50_ms", "ack p50, ms", "{:.2f}"),
        ("ack_p99_ms", "ack p99, ms", "{:.2f}"),
        ("acks_per_s_alone", "acks/s, 1 x 1", "{:,.0f}"),
        ("alone_p99_ms", "ack p99 of it, ms", "{:.2f}"),
    ),
    "carrying": (
        ("readings", "readings", "{:,.0f}"),
        ("cpu_s_per_1000", "CPU s / 1,000", "{:.4f}"),
        ("uplink_bytes_per_reading", "uplink B", "{:.1f}"),
        ("written_bytes_per_reading", "written B", "{:.1f}"),
        ("pss_peak_mb", "PSS peak, MB", "{:.0f}"),
    ),
    "draining": (
        ("backlog", "backlog", "{:,.0f}"),
        ("drained_s", "drained, s", "{:.1f}"),
        ("per_s", "readings/s", "{:,.0f}"),
        ("idle_p99_ms", "live p99 idle, ms", "{:,.1f}"),
        ("live_p99_ms", "draining, ms", "{:,.1f}"),
        ("live_vs_idle", "ratio", "{:,.2f}"),
        ("outage_written_bytes_per_reading", "written B", "{:.1f}"),
        ("pss_peak_mb", "PSS peak, MB", "{:.0f}"),
    ),
}
TITLES = {
    "losing": "Uplink cut, edge killed with SIGKILL in the outage, uplink back",
    "taking": "Acknowledgements",
    "carrying": "Cost of a reading while the uplink is up, every reading kept",
    "draining": "Live readings while a backlog drains",
}
WORDS = {
    "losing": (
        "20 clients, 1,000 readings/s in all, QoS 1, 20 in flight each. Counts are sums over all repeats. "
        "*Lost*: acknowledged to its client, not north 3 s after the last arrival. *Disordered*: came behind "
        "a later one of its topic on the same lane. *Overtaken*: the same over all lanes; Headland sends "
        "live before backlog on lanes of their own; its query orders by time. Clients send again what was "
        "not answered when the edge went; those of NATS do so for each reading by itself, which can change "
        "their order. *Written*: by the edge process, a reading of about 30 bytes of "
        "payload, before the kill and after."
    ),
    "taking": (
        "100 clients with 20 in flight, 100 with one (p50 and p99 are of these), one with one. "
        "*Durable*: an acknowledgement means that the reading is on disk. What thingsboard-gateway and "
        "Node-RED have in front of them acknowledges for them."
    ),
    "carrying": (
        "20 clients with 100 in flight, as many readings as the column says. Processor time is of the edge "
        "process, from the first reading to the last arrival; uplink bytes are TCP payload northward; "
        "*written* is `write_bytes` of the edge process; all a reading that arrived, of about 45 bytes of "
        "payload."
    ),
    "draining": (
        "Filled with the uplink cut, by 20 clients with 100 in flight; then the uplink is back, beside 200 "
        "live readings/s of one client, of the same class. Ages are from device time to arrival north: at "
        "Headland when the parent has committed, at others when a subscriber has it or the northern stream "
        "stored it. *Written*: while it was filled."
    ),
}
PICTURES = (
    ("losing", "lost", "Acknowledged and lost, readings", False),
    ("taking", "acks_per_s_window20", "Acknowledgements a second, 100 clients, 20 in flight", True),
    ("taking", "ack_p99_ms", "Acknowledgement p99, ms, 100 clients, 1 in flight", True),
    ("carrying", "cpu_s_per_1000", "Processor seconds for 1,000 kept readings", True),
    ("carrying", "uplink_bytes_per_reading", "Bytes on the uplink for a kept reading", False),
    ("draining", "live_p99_ms", "p99 of live readings while a backlog drains, ms", True),
)
"""What is drawn: trial, figure, title, logarithmic."""
NOTES = {
    "acks_vs_fastest_not_syncing": (
        "Those that do not sync answer from memory; Headland answers after an fsync that all waiting clients "
        "share."
    ),
    "cpu_vs_mosquitto_bridge": (
        "Mosquitto is C and reads no payload; Headland decodes, books and writes every reading."
    ),
    "uplink_vs_mosquitto_bridge": "Small blocks carry a header and a TLS record each.",
    "first_arrival_s": "The child redials with a growing pause, and the link begins with a handshake.",
    "live_p99_drain_vs_idle": "Backlog and live readings share the processors of one small machine here.",
}
"""Said beside a figure that is not reached."""


MORE_IS_BETTER = ("acks_per_s_window20", "acks_per_s_window1", "acks_per_s_alone", "per_s")
NO_MERIT = ("acked", "readings", "overtaken", "live_vs_idle", "backlog")
"""Columns in which nobody is better than anybody, or only by another column."""


def tables(report: Report) -> str:
    """Rows and all trials, as Markdown tables."""
    return "\n".join([_rows(report), *(_trial(report, trial) for trial in COLUMNS)])


def write(report: Report, path: Path) -> None:
    """The page, and its pictures in a directory of its name."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for trial, figure, title, logarithmic in PICTURES:
        (folder / _picture(trial, figure)).write_text(_drawn(report, trial, figure, title, logarithmic))
    path.write_text(written(report, folder.name), encoding="utf-8")


def written(report: Report, folder: str) -> str:
    """The page's text."""
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    quick = " --quick" if report.quick else ""
    lines = [
        "# Beside its peers",
        "",
        f"Made by `./dev bench peers{quick} --page docs/benchmarks.md` in {report.took_s / 60:.0f} min;",
        f"every figure is of one run on one machine ({machine}),",
        f"medians of repeats in turn: {report.repeats}.",
        "The edge, what is north of it and the clients share the machine; a wire between edge and north",
        "counts bytes and can be cut.",
        "",
        *(f"- **{one.name}**: {one.how}." for one in report.systems),
        "",
        _rows(report),
        *_not_reached(report),
        *_behind(report),
        *_not_measured(report),
    ]
    for trial in COLUMNS:
        lines.append(_trial(report, trial))
        for of, figure, title, _ in PICTURES:
            if of == trial:
                lines.append(f"![{title}]({folder}/{_picture(of, figure)})\n")
        lines += _remarks(report, trial)
    return "\n".join(lines).rstrip() + "\n"


def _rows(report: Report) -> str:
    lines = ["## Against the bars", "", "| figure | value | bar | | of |", "|---|---:|---|---|---|"]
    for row in report.rows:
        value = "-" if row.value is None else f"{row.value:,.4g}"
        verdict = "holds" if row.holds else "**not reached**" if row.value is not None else "**not measured**"
        lines.append(f"| `{row.name}` | {value} | {row.bar} | {verdict} | {row.how} |")
    return "\n".join(lines) + "\n"


def _not_reached(report: Report) -> list[str]:
    missed = [row for row in report.rows if not row.holds and row.value is not None]
    if not missed:
        return ["Every bar is reached.\n"]
    lines = [f"- `{one.name}`: {one.value:,.4g}, bar {one.bar}. {NOTES.get(one.name, '')}" for one in missed]
    return ["Not reached:", "", *(line.rstrip() for line in lines), ""]


def _behind(report: Report) -> list[str]:
    """Every column in which somebody does better than Headland, whether there is a bar or not."""
    ours = next((one for one in report.systems if one.key == "headland"), None)
    if ours is None:
        return []
    lines = []
    for trial, columns in COLUMNS.items():
        for name, title, form in columns:
            figure = f"{trial}.{name}"
            mine = ours.figures.get(figure)
            if name in NO_MERIT or mine is None:
                continue
            known = [(v, one.name) for one in report.systems if (v := one.figures.get(figure)) is not None]
            best, who = max(known) if name in MORE_IS_BETTER else min(known)
            if best != mine:
                said = f"{form.format(mine)} against {form.format(best)} of {who}"
                lines.append(f"- {TITLES[trial]}, *{title}*: {said}")
    return ["Where somebody does better than Headland:", "", *lines, ""] if lines else []


def _not_measured(report: Report) -> list[str]:
    lines = [f"- {one.name}, {why}" for one in report.systems for why in dict.fromkeys(one.trouble)]
    return ["Not measured:", "", *lines, ""] if lines else []


def _remarks(report: Report, trial: str) -> list[str]:
    lines = [
        f"- {one.name}: {remark.removeprefix(f'{trial}: ')}"
        for one in report.systems
        for remark in dict.fromkeys(one.remarks)
        if remark.startswith(f"{trial}: ")
    ]
    return [*lines, ""] if lines else []


def _trial(report: Report, trial: str) -> str:
    columns = COLUMNS[trial]
    lines = [f"## {TITLES[trial]}", "", WORDS[trial], ""]
    lines.append("| system | durable | " + " | ".join(title for _, title, _ in columns) + " |")
    lines.append("|---|---|" + "---:|" * len(columns))
    for one in report.systems:
        cells = []
        for name, _, form in columns:
            value = one.figures.get(f"{trial}.{name}")
            cells.append("-" if value is None else form.format(value))
        durable = "yes" if one.durable else "no"
        lines.append(f"| {one.name} | {durable} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _picture(trial: str, figure: str) -> str:
    return f"{trial}-{figure.replace('_', '-')}.svg"


def _drawn(report: Report, trial: str, figure: str, title: str, logarithmic: bool) -> str:
    return bars(
        title,
        {one.name: _bar(one, f"{trial}.{figure}") for one in report.systems},
        logarithmic=logarithmic,
    )


def _bar(system: Result, figure: str) -> Bar:
    return Bar(system.figures.get(figure), system.key == "headland", system.durable)
