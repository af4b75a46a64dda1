"""The verdict on a round, from outside: acknowledgement logs, rules, the cloud's answers, the books."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from campaign.chain import PLANS, Site
from campaign.nodes import Node, Status
from headland.demo.acklog import Publish, read_logs
from headland.demo.answers import rows_of
from headland.demo.checker import check
from headland.demo.evidence import READING
from headland.demo.expectation import rules_of
from headland.demo.verdicts import Report

QUERY_S = 60.0
BY_ARRIVAL = "/v1/query?order=arrival&revisions=all"
BY_TIME = "/v1/query?order=time"


class Verdict(msgspec.Struct):
    """What was found wrong.

    Attributes:
        acked: Readings that were acknowledged.
        lost, duplicated, reordered: Of these, see the delivery contract, section 7.
        told_lost: Acknowledged readings whose loss by a restored disk is told block by block.
        stories: Findings in words.
    """

    acked: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    told_lost: int = 0
    stories: list[str] = []

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.duplicated or self.reordered)


def publishes_of(site: Site) -> list[Publish]:
    """Everything that any client wrote down in this round."""
    return read_logs(site.logs.glob("*.jsonl"))


async def judged(
    site: Site, cloud: Node, excused: set[tuple[str, str, int]], *, two_roads: bool = False
) -> Verdict:
    """Ask the cloud twice, and judge.

    Args:
        site: Where logs and rules are.
        cloud: Who is asked.
        excused: (origin, series, sequence) of acknowledged readings whose loss both nodes have told.
        two_roads: Whether readings came by two roads: then only the order within a series, as the query
            returns it, is judged.

    Raises:
        NoAnswer: The cloud gives none.
    """
    answer = await cloud.ask(BY_ARRIVAL, QUERY_S)
    rules = [rule for name in PLANS for rule in rules_of(site.file(name), PLANS[name].origin)]
    publishes = publishes_of(site)
    kept = [_without(publish, excused) for publish in publishes] if excused else publishes
    report: Report = check(kept, rules, rows_of(answer))
    verdict = Verdict(
        sum(len(one.readings) for one in publishes if one.acked_ns is not None),
        report.lost + report.altered,
        report.duplicated,
        0 if two_roads else report.reordered,
        sum(len(one.readings) for one in publishes if one.acked_ns is not None)
        - sum(len(one.readings) for one in kept if one.acked_ns is not None),
        list(report.stories),
    )
    disordered = disorder(await cloud.ask(BY_TIME, QUERY_S))
    verdict.reordered += len(disordered)
    verdict.stories += disordered
    return verdict


def _without(publish: Publish, excused: set[tuple[str, str, int]]) -> Publish:
    kept = [
        one
        for one in publish.readings
        if one.seq is None or (publish.origin, one.series, one.seq) not in excused
    ]
    return publish if len(kept) == len(publish.readings) else msgspec.structs.replace(publish, readings=kept)


def disorder(answer: Any) -> list[str]:
    """Series whose readings do not stand in the order in which they were measured, as the query returns them.

    A client numbers its readings, and its clock only ascends.
    """
    newest: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (-1, -1))
    found = []
    for row in answer["rows"]:
        if int(row["kind"]) != READING or row["seq"] is None or row["ts"] is None:
            continue
        key = row["_origin"], row["series"]
        place = int(row["ts"]), int(row["seq"])
        before = newest[key]
        if place < before or place[1] <= before[1]:
            found.append(f"{key[0]} {key[1]}: sequence {place[1]} stands after {before[1]} in the query")
        newest[key] = max(before, place)
    return found


def hop_differences(statuses: dict[str, Status]) -> list[str]:
    """Where a child says that more, or less, was committed than its parent says that it received.

    Only of a chain that stands still, and in which nobody went back, was replaced or changed its parent.
    """
    found = []
    for child, parent in (("device", "local"), ("local", "cloud")):
        given = statuses[child].readings("committed")
        taken = statuses[parent].readings("received")
        if given != taken:
            found.append(f"{child} says {given:,} committed, {parent} says {taken:,} received")
    return found
