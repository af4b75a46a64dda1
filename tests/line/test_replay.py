"""Whatever the moment of a crash, a snapshot and the frames after it give the state of the live line."""

from __future__ import annotations

import copy
import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Books, Commit, S, assert_balanced, at, batch_of, table_of

from headland.blocks import codec
from headland.line.deciding import EventRule, Rate, Silence, Threshold
from headland.line.filtering import Boost, DeadBand, Drop, Keep, Summary, Vibration
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import NO_TIME

SERIES = ("a", "b", "c")
EXAMPLES = int(os.environ.get("HEADLAND_EXAMPLES", "120"))

RULES = {
    "keep": LineRules(default=SeriesRule(name="default", filter=Keep())),
    "deadband": LineRules(default=SeriesRule(name="default", filter=DeadBand(heartbeat_s=20))),
    "summary": LineRules(
        default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20))
    ),
    "boosted band": LineRules(
        default=SeriesRule(
            name="default", filter=Boost(before_s=6, after_s=4, above=90, inner=DeadBand(floor=20))
        )
    ),
    "boosted summary": LineRules(
        default=SeriesRule(
            name="default",
            filter=Boost(
                before_s=6, after_s=4, below=-90, inner=Summary(window_s=10, lateness_s=5, hold_s=20)
            ),
        )
    ),
    "boosted of several": LineRules(
        series=(
            SeriesRule(
                name="boost",
                match="*",
                filter=Boost(before_s=6, after_s=4, above=90, ring_rows=3, inner=DeadBand(floor=20)),
                final=False,
            ),
        ),
        default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20)),
    ),
    "several and boosted": LineRules(
        series=(
            SeriesRule(name="sum", filter=Summary(window_s=10, lateness_s=5, hold_s=20), final=False),
            SeriesRule(name="band", match="a", filter=DeadBand(floor=50), final=False, priority="high"),
        ),
        default=SeriesRule(
            name="default", filter=Boost(before_s=6, after_s=4, above=90, inner=DeadBand(floor=20))
        ),
    ),
    "pair": LineRules(
        series=(SeriesRule(name="band", filter=DeadBand(ratio=0.2, floor=20), final=False),),
        default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20)),
    ),
    "vibration": LineRules(
        default=SeriesRule(
            name="default",
            filter=Vibration(rate_hz=0.5, window=16, summary_s=64, limits={"peak": 60, "crest": 2.5}),
        )
    ),
    "triggered from outside": LineRules(
        default=SeriesRule(
            name="default",
            filter=Boost(before_s=8, after_s=4, on=("high", "steep"), inner=DeadBand(floor=20)),
        ),
    ),
    "several": LineRules(
        series=(
            SeriesRule(
                name="band", match="a", filter=DeadBand(ratio=0.2, floor=1), final=False, priority="high"
            ),
            SeriesRule(
                name="fine", match="*", filter=Summary(window_s=7, lateness_s=3, hold_s=20), final=False
            ),
            SeriesRule(name="drop", match="c", filter=Drop(above=50)),
        ),
        default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20)),
    ),
}


def state_of(line):
    """Everything that must come back; the index of repeats is judged by its own law."""
    return msgspec.msgpack.decode(line.snapshot())[:-1]


EVENTS = (
    EventRule(name="high", when=Threshold(above=50, hysteresis=5)),
    EventRule(name="lasting", match="a", when=Threshold(below=-10, for_s=6), max_age_s=5),
    EventRule(name="steep", match="b", when=Rate(above_per_s=5)),
    EventRule(name="quiet", match="c", when=Silence(after_s=20)),
)
CHANGED = LineRules(
    series=(SeriesRule(name="band", match="a", filter=DeadBand(floor=3)),),
    default=SeriesRule(name="default", filter=Summary(window_s=10, lateness_s=5, hold_s=20)),
    events=EVENTS[1:],
)


def committed(commit):
    """Rows as the journal gives them back."""
    return {
        cls: codec.decode(codec.encode(columns)) for cls, columns in commit.columns.items() if len(columns)
    }


values = st.one_of(
    st.floats(-100, 100), st.integers(-100, 100), st.sampled_from(["text", True, float("inf")])
)
offers = st.tuples(
    st.just("offer"),
    st.lists(st.tuples(st.integers(1, 3), st.one_of(st.integers(-40, 12), st.none()), values), max_size=8),
)
actions = st.one_of(
    offers,
    offers,
    st.tuples(st.just("wake"), st.integers(1, 60)),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("refresh"), st.integers(1, 3)),
    st.tuples(st.just("rules"), st.booleans()),
)


@pytest.mark.parametrize("kind", sorted(RULES))
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_snapshot_and_replay_give_the_live_state(kind, data):
    steps = data.draw(st.lists(actions, min_size=1, max_size=40))
    at_commit = data.draw(st.integers(0, 6))
    rules = msgspec.structs.replace(RULES[kind], events=EVENTS)
    line, books = Line(rules, table_of(*SERIES)), Books()
    commits, snapshot, commit, clock = [], line.snapshot(), Commit(1), 0
    for what, detail in [*steps, ("commit", None)]:
        clock += 1
        match what:
            case "offer":
                rows = [(s, NO_TIME if dt is None else T0 + (clock + dt) * S, v) for s, dt, v in detail]
                line.offer("x", batch_of(rows), at(clock), commit)
            case "wake":
                clock += detail
                line.wake(at(clock), commit)
            case "refresh":
                line.refresh([detail], at(clock), commit)
            case "rules":
                line.reconfigure(CHANGED if detail else rules, at(clock), commit)
            case "commit":
                books.add(commit)
                commits.append((commit, T0 + clock * S))
                if commit.n <= at_commit:
                    snapshot, commits = line.snapshot(), []
                commit = Commit(commit.n + 1)
        check = copy.deepcopy(books)
        check.add(commit)
        assert_balanced(check.entries)
    recovered = Line(rules, table_of(*SERIES, "headland/rules"))
    recovered.restore(snapshot, at(clock))
    for done, node_ns in commits:
        recovered.replay_frame(committed(done), done.states, done.n, node_ns, at(clock))
    assert repr(state_of(recovered)) == repr(state_of(line))
