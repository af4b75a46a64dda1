from __future__ import annotations

import msgspec
import pytest

from headland.demo.answers import rows_of
from headland.demo.evidence import READING, WINDOW
from headland.demo.nodes import DecideStage, decide_stage
from headland.demo.outcome import Judged, Measured, concluded, tell
from headland.demo.verdicts import Report, Verdict
from headland.demo.view import NodeView, Picture

FIELDS = [
    "offered",
    "acked",
    "kept",
    "folded",
    "dropped",
    "arrived",
    "lost",
    "duplicated",
    "reordered",
    "resent_after_commit",
    "bytes_offered",
    "bytes_north",
    "reduction",
    "balanced",
    "decision_ms",
    "first_arrival_s",
    "drain_s",
]


def report(**changes: object) -> Report:
    verdicts = {**dict.fromkeys(Verdict, 0), Verdict.PRESENT: 600, Verdict.COUNTED: 3000, Verdict.HELD: 1500}
    found = Report(offered=5200, acked=5100, verdicts=verdicts, arrived=610)
    return msgspec.structs.replace(found, **changes)


def measured(**changes: object) -> Measured:
    stages = [DecideStage(0.1, 0.5, 2.0, 3.0, 1), DecideStage(0.2, 0.4, 1.0, 9.0, 2)]
    return msgspec.structs.replace(Measured(True, 3, 1000, 200, stages, 0.51234, 2.0), **changes)


def judged(seconds: float = 60, kills: int = 1, **changes: object) -> Judged:
    own = {name: changes.pop(name) for name in list(changes) if name in Measured.__struct_fields__}
    return concluded(seconds, kills, report(**changes), measured(**own))


def test_the_object_has_exactly_the_fields_of_the_contract_in_order() -> None:
    found = msgspec.json.decode(msgspec.json.encode(judged().outcome))
    assert list(found) == FIELDS
    assert list(found["decision_ms"]) == ["p50", "p99", "p99_9", "max", "misses"]
    assert found["decision_ms"] == {"p50": 0.2, "p99": 0.5, "p99_9": 2.0, "max": 9.0, "misses": 3}
    assert (found["reduction"], found["first_arrival_s"], found["dropped"]) == (0.8, 0.512, 1500)


def test_a_good_run_is_good() -> None:
    assert judged().good


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"reordered": 1},
        {"altered": 1},
        {"balanced": False},
        {"acked": 4999},
        {"resent_after_commit": 0},
        {"verdicts": {**dict.fromkeys(Verdict, 0), Verdict.PRESENT: 499}},
    ],
)
def test_each_broken_promise_makes_it_bad_and_is_told(changes: dict[str, object]) -> None:
    found = judged(**changes)
    assert len(found.faults) == 1
    assert "NOT GOOD" in tell(found, Picture(nodes=[NodeView("cloud", "cloud", "", balanced=True)]))


def test_a_shorter_run_owes_less_and_one_without_kills_no_resend() -> None:
    assert judged(30, acked=2500).good
    assert judged(kills=0, resent_after_commit=0).good


def test_without_a_cut_there_is_no_arrival_to_time() -> None:
    found = judged(first_arrival_s=None, drain_s=None)
    assert found.outcome.first_arrival_s is None
    assert "after the cut" not in tell(found, Picture())


def test_the_answer_of_the_cloud_becomes_rows() -> None:
    common = {
        "_origin": "demo/a",
        "_site": "demo",
        "_class": "normal",
        "_lane": 0,
        "_arrival": 7,
        "_rule_version": "v",
        "_late": False,
        "_boost": False,
    }
    window = {
        "rule": "r", "version": "v", "start": 0, "end": 5, "revision": 1, "complete": True,
        "count": 2, "min": 1, "max": 2.5, "mean": 1.75, "std": 0.1, "sum": 3.5, "quantiles": {},
    }  # fmt: skip
    answer = {
        "rows": [
            {
                "name": "a/b",
                "labels": {"site": "demo"},
                "ts": 5,
                "seq": None,
                "value": 1.5,
                "kind": 0,
                **common,
            },
            {
                "name": "a/b",
                "labels": {"core": "0", "site": "demo"},
                "ts": 0,
                "seq": None,
                "value": window,
                "kind": 1,
                **common,
            },
        ]
    }
    reading, summary = rows_of(answer)
    assert (reading.kind, reading.value, reading.arrival, reading.origin) == (READING, 1.5, 7, "demo/a")
    assert (reading.series, summary.series) == ("a/b", "a/b{core=0}")
    assert summary.kind == WINDOW
    assert summary.window is not None
    assert (summary.window.count, summary.window.sum, summary.window.revision) == (2, 3.5, 1)


def test_decision_times_are_read_from_a_nodes_metrics() -> None:
    text = (
        "# HELP headland_stage_seconds Latency of a stage.\n"
        'headland_stage_quantile_seconds{stage="decide",quantile="0.5"} 5.1e-05\n'
        'headland_stage_quantile_seconds{stage="decide",quantile="0.99"} 0.002\n'
        'headland_stage_quantile_seconds{stage="decide",quantile="0.999"} 0.0041\n'
        'headland_stage_quantile_seconds{stage="decide",quantile="1"} 0.2\n'
        'headland_stage_quantile_seconds{stage="commit",quantile="0.5"} 7\n'
        'headland_stage_misses_total{stage="decide",cause="waited"} 10\n'
        'headland_stage_misses_total{stage="decide",cause="disk"} 2\n'
        'headland_stage_misses_total{stage="commit",cause="disk"} 5\n'
    )
    assert decide_stage(text) == DecideStage(0.051, 2.0, 4.1, 200.0, 12)
    assert decide_stage("") == DecideStage()
