"""What is counted, and what is not; the parts of the harness that decide without a process."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from pathlib import Path

from campaign import traces
from campaign.catalogue import BY_NAME, FAULTS
from campaign.chain import free_ports
from campaign.judging import disorder
from campaign.outcome import RoundOutcome, line, summed
from campaign.play import Options, decks
from campaign.scene import Proof

DOCUMENT = Path(__file__).parents[2] / "docs" / "campaign.md"


def test_a_fault_that_hurt_nothing_is_printed_and_not_counted() -> None:
    one = RoundOutcome(
        1, 5, acked=10, proofs=[Proof("sigkill", False, "nobody noticed"), Proof("sigstop", True, "")]
    )
    outcome = summed([one], 5, {})
    assert outcome.faults == {"sigstop": 1}
    assert outcome.ineffective == {"sigkill": 1}
    assert "sigkill (INEFFECTIVE): nobody noticed" in line(one)


def test_anything_that_is_wrong_makes_the_campaign_not_good() -> None:
    for wrong in (
        RoundOutcome(1, 1, lost=1),
        RoundOutcome(1, 1, duplicated=1),
        RoundOutcome(1, 1, reordered=1),
        RoundOutcome(1, 1, unbalanced=1),
        RoundOutcome(1, 1, broken=["a node ended by itself"]),
    ):
        assert not summed([RoundOutcome(1, 1), wrong], 1, {}).good
    assert summed([RoundOutcome(1, 1, told_lost=3)], 1, {}).good


def test_two_hundred_rounds_have_more_than_ten_of_every_fault() -> None:
    names = [fault.name for fault in FAULTS]
    for seed in range(20):
        turns = Counter(
            fault.name for faults in decks(Options(rounds=200, seed=seed), names) for fault in faults
        )
        assert min(turns[name] for name in names) > 10


def test_a_fault_that_has_to_be_alone_is_never_combined() -> None:
    names = [fault.name for fault in FAULTS]
    for faults in decks(Options(rounds=300, seed=3), names):
        assert len(faults) == 1 or not any(fault.alone for fault in faults)
        assert sum(fault.mounted for fault in faults) <= 1


def test_the_same_seed_makes_the_same_choices() -> None:
    names = list(BY_NAME)
    assert decks(Options(rounds=50, seed=4), names) == decks(Options(rounds=50, seed=4), names)
    assert decks(Options(rounds=50, seed=4), names) != decks(Options(rounds=50, seed=5), names)


def test_a_series_that_the_query_does_not_return_in_order_is_found() -> None:
    def row(ts: int, seq: int) -> dict[str, object]:
        return {"kind": 0, "_origin": "s/n", "series": "a", "ts": ts, "seq": seq}

    assert disorder({"rows": [row(1, 0), row(2, 1), row(3, 2)]}) == []
    assert len(disorder({"rows": [row(1, 0), row(3, 2), row(2, 1)]})) == 1
    assert len(disorder({"rows": [row(1, 0), row(2, 0)]})) == 1


def test_on_a_recorded_link_nothing_leaves_before_its_packet_may() -> None:
    delay = traces.paced(float(moment) for moment in count(1000, 1000))
    assert 0.9 < delay(1500) <= 1.0
    assert 2.9 < delay(3000) <= 3.0


def test_recordings_are_chosen_by_the_seed() -> None:
    names = {traces.choose(random.Random(seed))[0] for seed in range(20)}
    assert names == {traces.choose(random.Random(seed))[0] for seed in range(20)}


def test_ports_are_all_different_and_none_is_one_that_callers_are_given() -> None:
    ports = free_ports()
    every = [
        *(
            port
            for one in (ports.mqtt, ports.http, ports.link, ports.wire, ports.door)
            for port in one.values()
        ),
        *ports.clone,
    ]
    assert len(set(every)) == len(every)
    assert max(every) < 32_768


def test_the_page_tells_of_every_fault() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [fault.name for fault in FAULTS if f"| `{fault.name}` |" not in text] == []
