"""Decode, dead band and summary in one process on one core, without a socket or a disk."""

from __future__ import annotations

import time

from benches.registry import Context, Row, median, row, say
from headland.journal import Draft
from headland.line.filtering import DeadBand, Summary
from headland.line.formats import Mapping, MappingConfig
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import Batch, Instant, SeriesTable

ROWS = ("filter_readings_per_s",)
SERIES = 100
RUN = 20
"""Messages a batch: what one read of a socket brings at window 20."""
READINGS = 200_000


def measure(context: Context) -> list[Row]:
    """Every reading takes both rules: a dead band that keeps and a summary that folds."""
    rates = [_once() for _ in range(max(context.repeats, 3))]
    for rate in rates:
        say(f"{rate:,.0f} readings/s")
    how = (
        f"JSON decode + dead band 5 % + summary of 60 s on every reading, batches of {RUN}, {SERIES} series, "
        f"{READINGS:,} readings, {len(rates)} runs, median, processor time"
    )
    return [row("filter_readings_per_s", median(rates), "1/s", how)]


def _once() -> float:
    table = SeriesTable()
    mapping = Mapping([MappingConfig(topic="bench/#")], table)
    rules = LineRules(
        series=(
            SeriesRule(name="band", match="**", filter=DeadBand(), final=False),
            SeriesRule(name="minute", match="**", filter=Summary()),
        )
    )
    line = Line(rules, table)
    start_ns = 1_760_000_000_000_000_000
    runs = []
    for number in range(READINGS // RUN):
        topic = f"bench/c{number % SERIES}"
        payloads = [
            b'{"t":%d,"s":%d,"v":%.2f}'
            % (start_ns + (number * RUN + i) * 1_000_000, number, 20 + (number * RUN + i) % 997 / 100)
            for i in range(RUN)
        ]
        runs.append(([topic] * RUN, payloads))
    draft, n = Draft(1), 1
    began = time.process_time()
    for number, (topics, payloads) in enumerate(runs):
        batch = Batch()
        now = Instant(number * 20_000_000, start_ns + number * 20_000_000)
        mapping.decode_run(topics, payloads, now.wall_ns, batch)
        line.offer("bench", batch, now, draft)
        if number % 50 == 49:
            n += 1
            draft = Draft(n)
    return READINGS / (time.process_time() - began)
