"""A published reading on its way to a verdict, and the report that collects the verdicts."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headland.demo.acklog import LoggedReading, Publish
from headland.demo.evidence import CloudRow

STORIES_KEPT = 50
"""Findings told in words; all are counted."""


class Verdict(StrEnum):
    """What became of one acknowledged reading."""

    PRESENT = "present"
    COUNTED = "counted"
    HELD = "held"
    DROPPED = "dropped"
    VOLATILE = "volatile"
    LOST = "lost"


class Report(msgspec.Struct):
    """The checker's answer.

    Attributes:
        offered: Readings published.
        acked: Readings of acknowledged publishes.
        verdicts: Acknowledged readings by verdict.
        arrived: Rows of the cloud's answer that belong to logged series, readings only.
        altered: Rows with a published identity and another value; an acknowledged reading is then lost.
        lost: Acknowledged readings without a verdict.
        duplicated: Rows and counts beyond what was published.
        reordered: Rows that overtook others in their own lane.
        stories: The first findings in words.
    """

    offered: int = 0
    acked: int = 0
    verdicts: dict[Verdict, int] = {}
    arrived: int = 0
    altered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    stories: list[str] = []

    @property
    def good(self) -> bool:
        """Nothing lost, nothing changed, nothing twice, nothing out of order."""
        return self.lost == self.altered == self.duplicated == self.reordered == 0

    def tell(self, story: str) -> None:
        """Remember a finding in words."""
        if len(self.stories) < STORIES_KEPT:
            self.stories.append(story)


class Tracked(msgspec.Struct):
    """A published reading on its way to a verdict; `place` orders it in its series."""

    logged: LoggedReading
    publish: Publish
    row: CloudRow | None = None
    place: int = 0
    altered: bool = False
    deferred: bool = False

    @property
    def acked(self) -> bool:
        """Whether the promise holds for it."""
        return self.publish.acked_ns is not None
