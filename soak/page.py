"""The page of a soak and its pictures: made from the JSON, nothing by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from soak.drawing import Curve, Span, drawn
from soak.outcome import Outcome
from soak.sampling import Sample
from soak.site import CHILD, PARENT

COLOURS = {CHILD: "#0b6e99", PARENT: "#c2571a"}
Figure = Callable[[Sample], float]


def write(page: Path, outcome: Outcome) -> None:
    """Write the page, and its pictures into a folder beside it that has its name."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(outcome).items():
        (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    page.write_text(written(outcome, folder.name), encoding="utf-8")


def pictures(outcome: Outcome) -> dict[str, str]:
    """Every picture, as SVG, by its name."""
    spans = [Span(one.at_s / 60, (one.at_s + one.seconds) / 60) for one in outcome.cuts]

    def plot(title: str, unit: str, curves: list[tuple[str, str, Figure]]) -> str:
        at = [one.at_s / 60 for one in outcome.samples]
        return drawn(
            title,
            unit,
            [Curve(name, colour, at, [of(one) for one in outcome.samples]) for name, colour, of in curves],
            spans,
        )

    def both(of: Callable[[str], Figure]) -> list[tuple[str, str, Figure]]:
        return [(name, COLOURS[name], of(name)) for name in (CHILD, PARENT)]

    return {
        "memory": plot("Memory (PSS)", "MB", both(lambda name: lambda one: one.nodes[name].pss_mb)),
        "descriptors": plot(
            "Open file descriptors", "", both(lambda name: lambda one: one.nodes[name].descriptors)
        ),
        "latency": plot(
            "Acknowledgement",
            "ms",
            [("p50", "#0b6e99", lambda one: one.p50_ms), ("p99", "#c2571a", lambda one: one.p99_ms)],
        ),
        "waiting": plot(
            "Readings that wait for the parent",
            "thousand",
            [(CHILD, COLOURS[CHILD], lambda one: one.nodes[CHILD].waiting / 1000)],
        ),
        "disk": plot("Data directory on disk", "MB", both(lambda name: lambda one: one.nodes[name].disk_mb)),
        "cpu": plot("Processor time so far", "s", both(lambda name: lambda one: one.nodes[name].cpu_s)),
    }


PAGE = """# Soak

Made by `{command}`: one run on one machine ({machine}). Nothing here is written by hand.

{connections} MQTT connections publish {acked_per_s:,.0f} readings a second at QoS 1 for {minutes:,.3g}
minutes, {readings} readings of about 46 bytes of JSON in one publish, to a node (`child`, tier local) that
sends each of them on to its parent (`parent`, tier cloud). Both are real processes with the defaults of their
tiers, but for smaller segments of the log (16 and 2 MiB){budget}, with which the steady state is there
after minutes: what was answered is kept, and remembered, as long as there is room for it.
The uplink is cut {cuts} times, by turns refused, as a black hole and reset amid a frame: the grey spans.

{counts}

Arrived, lost, duplicated and reordered are read from the parent's files after it has stopped, without a look
at any ledger: every block is decoded, and the n readings that a connection had acknowledged have to be there
once each, in order by the way they came and in order of device time.

## Does anything creep?

{memory}

Memory is PSS, one median for each time from cut to cut, behind the first third of the time. The slope is
Theil-Sen's with Sen's bounds at 95 %; it is flat when they reach down to 0, or when it is below 1 % of the
memory an hour.{slack}

{latency}

{pictures}

## Cuts

{table}

## What has to hold

{holds}
"""


SLACK = """

The child had no disk budget here, and so half of what was free on the disk. It keeps what its parent has
answered while there is room, and remembers where it is: 1 to 2 kB for each run of at most 256 blocks, on top
of 40 bytes for each of the newest 100,000 answered blocks of a lane. That is what grows, until the budget is
reached and the oldest file goes (`--budget`)."""


def written(outcome: Outcome, folder: str) -> str:
    """The page."""
    page = PAGE.format(
        command=(
            f"./dev soak --seconds {outcome.seconds:g} --rate {outcome.rate:g} "
            f"--readings {outcome.readings_per_publish} --connections {outcome.connections} "
            f"--budget {outcome.budget_bytes >> 20} --page docs/soak.md"
        ),
        machine=", ".join(f"{name} {value}" for name, value in outcome.machine.items()),
        connections=outcome.connections,
        acked_per_s=outcome.acked_per_s,
        minutes=outcome.seconds / 60,
        readings=outcome.readings_per_publish,
        cuts=len(outcome.cuts),
        slack="" if outcome.budget_bytes else SLACK,
        budget=(
            f" and a disk budget of {outcome.budget_bytes >> 20} MiB at the child"
            * bool(outcome.budget_bytes)
        ),
        counts=_counts(outcome),
        memory=_memory(outcome),
        latency=_latency(outcome),
        pictures="\n\n".join(f"![{name}]({folder}/{name}.svg)" for name in pictures(outcome)),
        table=_cuts(outcome),
        holds="\n".join(f"- {name}: **{'yes' if good else 'no'}**" for name, good in outcome.holds.items()),
    )
    if outcome.findings:
        page += "\n## Findings\n\n" + "\n".join(f"- {text}" for text in outcome.findings) + "\n"
    return page


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _counts(outcome: Outcome) -> str:
    names = ("points", "acked", "arrived", "lost", "duplicated", "reordered")
    row = [f"{getattr(outcome, name):,}" for name in names]
    return _table([*names, "balanced"], [[*row, "yes" if outcome.balanced else "no"]])


def _memory(outcome: Outcome) -> str:
    rows = []
    for name, one in outcome.memory.items():
        bounds = "-" if one.low_mb_per_h is None else f"{one.low_mb_per_h:+.2f} to {one.high_mb_per_h:+.2f}"
        files, threads = outcome.descriptors[name], outcome.threads[name]
        rows.append(
            [
                name,
                f"{one.median_mb:.1f}",
                f"{one.peak_mb:.1f}",
                f"{one.slope_mb_per_h:+.2f}",
                bounds,
                f"{files.begin:g} → {files.end:g}",
                f"{threads.begin:g} → {threads.end:g}",
            ]
        )
    head = ["node", "median, MB", "peak, MB", "slope, MB/h", "bounds", "descriptors", "threads"]
    return _table(head, rows)


def _latency(outcome: Outcome) -> str:
    rows = []
    for name, one in outcome.latency.items():
        for when, found in (("first", one.first), ("last", one.last)):
            rows.append([f"{name}, {when} quarter", *(f"{v:.2f}" for v in (found.q1, found.q2, found.q3))])
    return _table(["acknowledged after, ms", "25 %", "50 %", "75 %"], rows)


def _cuts(outcome: Outcome) -> str:
    rows = [
        [
            one.way,
            f"{one.at_s / 60:.1f}",
            f"{one.seconds:g}",
            f"{one.waiting:,}",
            "-" if one.drained_s is None else f"{one.drained_s:.1f}",
        ]
        for one in outcome.cuts
    ]
    return _table(["way", "at, min", "for, s", "waiting at its end", "drained after, s"], rows)
