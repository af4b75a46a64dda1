"""What a comparison found: one value for the JSON, the rows and the page."""

from __future__ import annotations

import msgspec

from benches.registry import Row


class Result(msgspec.Struct):
    """What one system did, over all repeats.

    Attributes:
        key: Short name.
        name: In the tables.
        how: Its configuration.
        durable: Whether an acknowledgement is said to be on disk.
        figures: By trial and figure, medians; sums of what must never happen; None where not measured.
        repeats: Every single figure.
        remarks: What must be said beside the figures.
        trouble: What could not be measured, and why.
    """

    key: str
    name: str
    how: str
    durable: bool
    figures: dict[str, float | None] = {}
    repeats: dict[str, list[float | None]] = {}
    remarks: list[str] = []
    trouble: list[str] = []


class Report(msgspec.Struct):
    """The whole of a run.

    Attributes:
        rows: Ratios against their bars.
        systems: Every system, in the order of the tables.
        machine: What the figures are of.
        repeats: Of every trial.
        quick: Whether sizes were small.
        took_s: Wall time of all of it, s.
    """

    rows: list[Row]
    systems: list[Result]
    machine: dict[str, object]
    repeats: int
    quick: bool
    took_s: int
