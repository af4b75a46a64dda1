"""What the demo found, as its one JSON object and as text."""

from __future__ import annotations

import msgspec

from headland.demo.nodes import DecideStage
from headland.demo.verdicts import Report, Verdict
from headland.demo.view import Picture, saved, size

ACKED_PER_S = 5_000 / 60
KEPT_PER_S = 500 / 60


class DecisionTimes(msgspec.Struct, frozen=True):
    """Decisions, arrival to actuation, in milliseconds: the slowest node's figures, the misses of all."""

    p50: float
    p99: float
    p99_9: float
    max: float
    misses: int


class Measured(msgspec.Struct, frozen=True):
    """What the demo measured beside the checker.

    Attributes:
        balanced: Whether the books of all nodes balance.
        resent_after_commit: Publishes sent again although they were committed.
        bytes_offered: Payload bytes of all sources.
        bytes_north: Bytes on the links to the regional node.
        decisions: The deciding stage of each node.
        first_arrival_s: From the restored wire to the first block that the parent committed; None without a
            cut.
        drain_s: From the restored wire until the backlog was gone; None if it never was.
    """

    balanced: bool
    resent_after_commit: int
    bytes_offered: int
    bytes_north: int
    decisions: list[DecideStage]
    first_arrival_s: float | None
    drain_s: float | None


class Outcome(msgspec.Struct, frozen=True):
    """The object that `headland demo --json` prints, in its order.

    `kept`, `folded` and `dropped` are the checker's verdicts on acknowledged readings: present as themselves,
    counted in a window, and left out by a dead band or a predicate. `arrived` counts rows of the clients'
    series at the cloud. `reduction` is 1 - bytes_north / bytes_offered.
    """

    offered: int
    acked: int
    kept: int
    folded: int
    dropped: int
    arrived: int
    lost: int
    duplicated: int
    reordered: int
    resent_after_commit: int
    bytes_offered: int
    bytes_north: int
    reduction: float
    balanced: bool
    decision_ms: DecisionTimes
    first_arrival_s: float | None
    drain_s: float | None


class Judged(msgspec.Struct, frozen=True):
    """The outcome with the reasons why it is not good, if it is not."""

    outcome: Outcome
    faults: list[str]
    stories: list[str]

    @property
    def good(self) -> bool:
        """Whether the demo succeeded."""
        return not self.faults


def concluded(seconds: float, kills: int, report: Report, measured: Measured) -> Judged:
    """Put together what was found, and hold it against what was promised."""
    verdicts = report.verdicts
    outcome = Outcome(
        offered=report.offered,
        acked=report.acked,
        kept=verdicts[Verdict.PRESENT],
        folded=verdicts[Verdict.COUNTED],
        dropped=verdicts[Verdict.HELD] + verdicts[Verdict.DROPPED],
        arrived=report.arrived,
        lost=report.lost,
        duplicated=report.duplicated,
        reordered=report.reordered,
        resent_after_commit=measured.resent_after_commit,
        bytes_offered=measured.bytes_offered,
        bytes_north=measured.bytes_north,
        reduction=round(saved(measured.bytes_offered, measured.bytes_north), 4),
        balanced=measured.balanced,
        decision_ms=_slowest(measured.decisions),
        first_arrival_s=_rounded(measured.first_arrival_s),
        drain_s=_rounded(measured.drain_s),
    )
    return Judged(outcome, _faults(seconds, kills, report, outcome), report.stories)


def _faults(seconds: float, kills: int, report: Report, outcome: Outcome) -> list[str]:
    acked, kept = int(ACKED_PER_S * seconds), int(KEPT_PER_S * seconds)
    checks = [
        (outcome.lost == 0, f"{outcome.lost} acknowledged readings are lost"),
        (report.altered == 0, f"{report.altered} readings arrived with another value"),
        (outcome.duplicated == 0, f"{outcome.duplicated} readings arrived twice"),
        (outcome.reordered == 0, f"{outcome.reordered} readings overtook others in their lane"),
        (outcome.balanced, "the books of a node do not balance"),
        (outcome.acked >= acked, f"only {outcome.acked} readings were acknowledged, {acked} are asked for"),
        (outcome.kept >= kept, f"only {outcome.kept} readings were kept, {kept} are asked for"),
        (
            outcome.resent_after_commit >= 1 or not kills,
            "no publish was sent again after its commit: the kill missed its moment",
        ),
    ]
    return [text for holds, text in checks if not holds]


def _slowest(decisions: list[DecideStage]) -> DecisionTimes:
    return DecisionTimes(
        p50=max((one.p50_ms for one in decisions), default=0.0),
        p99=max((one.p99_ms for one in decisions), default=0.0),
        p99_9=max((one.p99_9_ms for one in decisions), default=0.0),
        max=max((one.max_ms for one in decisions), default=0.0),
        misses=sum(one.misses for one in decisions),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def tell(judged: Judged, picture: Picture) -> str:
    """The books and the verdict for people."""
    one = judged.outcome
    lines = [
        "",
        f"offered {one.offered:,} readings, acknowledged {one.acked:,}:",
        f"  {one.kept:,} arrived, {one.folded:,} were counted in windows, {one.dropped:,} left out by rule",
        f"  lost {one.lost}, duplicated {one.duplicated}, reordered {one.reordered}",
        f"  {one.resent_after_commit} were sent again after their commit and recognised",
        f"bytes: offered {size(one.bytes_offered)}, north {size(one.bytes_north)}, saved {one.reduction:.1%}",
        "books: " + ", ".join(f"{node.name} {'=' if node.balanced else 'WRONG'}" for node in picture.nodes),
    ]
    if one.first_arrival_s is not None:
        drained = "never" if one.drain_s is None else f"{one.drain_s:.1f} s"
        lines.append(f"after the cut: first arrival {one.first_arrival_s:.2f} s, drained {drained}")
    lines += [f"  {story}" for story in judged.stories[:20]]
    lines += [f"NOT GOOD: {fault}" for fault in judged.faults] or [
        "good: every acknowledged reading is accounted for"
    ]
    return "\n".join(lines)
