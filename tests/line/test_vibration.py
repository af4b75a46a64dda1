from __future__ import annotations

import struct
from math import pi, sin
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.line.doubles import T0, Books, Commit, S, assert_balanced, at, batch_of, table_of

from headland.line.filtering import Band, Vibration
from headland.line.filtering.spectrum import features
from headland.line.line import Line
from headland.line.rules import LineRules, SeriesRule
from headland.vocabulary import Account, ConfigurationError, RowClass, RowFlag, RowKind

DATA = Path(__file__).parents[2].parent / "shared" / "data"
BASE = T0 - T0 % (300 * S)


def line_with(**settings_):
    filter_ = Vibration(**settings_)
    return Line(LineRules(default=SeriesRule(name="default", filter=filter_)), table_of("a"))


def derived(commit, kind, cls):
    columns = commit.rows(cls)
    return [
        msgspec.msgpack.decode(value)
        for one, value in zip(columns.kind or [], columns.value, strict=False)
        if one == kind
    ]


def test_a_sine_has_its_known_features_and_its_energy_in_its_band():
    rate, n = 1000.0, 4096
    wave = [3.0 + 2.0 * sin(2 * pi * 50 * i / rate) for i in range(n)]
    found = features(wave, rate, [("low", 0, 40), ("mid", 40, 60), ("high", 60, 501)])
    assert found["rms"] == pytest.approx(2 / 2**0.5, rel=1e-2)
    assert found["peak"] == pytest.approx(2, rel=1e-2)
    assert found["kurtosis"] == pytest.approx(1.5, rel=1e-2)
    assert found["band.mid"] == pytest.approx(2 / 2**0.5, rel=2e-2)
    assert found["band.low"] < 0.01 * found["band.mid"]
    assert found["band.high"] < 0.01 * found["band.mid"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=16, max_size=64))
def test_features_of_any_samples_are_finite(samples):
    found = features(samples, 100.0, [("all", 0, 51)])
    assert all(value >= 0 for value in found.values())


def run(line, samples, rate, width=50, first=0):
    commit, books = Commit(1), Books()
    rows = [(1, BASE + int((first + i) * S / rate), v) for i, v in enumerate(samples)]
    for i in range(0, len(rows), width):
        line.offer("c", batch_of(rows[i : i + width]), at(400), commit)
        assert_balanced(commit.entries)
    books.add(commit)
    return commit


def test_a_limit_makes_an_event_at_once_and_again_only_after_it_was_kept():
    quiet = [0.1 * (-1) ** i for i in range(64)]
    loud = [9.0 * (-1) ** i for i in range(64)]
    line = line_with(rate_hz=64, window=64, limits={"rms": 1.0})
    commit = run(line, quiet + loud + loud + quiet + loud, 64)
    events = derived(commit, RowKind.EVENT, RowClass.HIGH)
    assert [e["since"] for e in events] == [BASE + S, BASE + 4 * S]
    assert events[0]["beyond"] == ["rms"]
    assert events[0]["features"]["rms"] == pytest.approx(9.0)


def test_one_feature_row_covers_the_windows_of_its_span_and_folds_their_samples():
    line = line_with(rate_hz=1, window=16, summary_s=60)
    commit = run(line, [float(i % 7) for i in range(150)], 1)
    rows = derived(commit, RowKind.FEATURES, RowClass.NORMAL)
    assert [(r["windows"], r["samples"], r["partial"]) for r in rows] == [(4, 64, 0), (4, 64, 0)]
    assert commit.entries[(Account.FOLDED, "default", 2, "default")][0] == 128
    assert commit.entries[(Account.HELD, "default", 2, "default")][0] == 22
    for second in range(400, 600):
        line.wake(at(second), commit)
    assert commit.entries[(Account.HELD, "default", 2, "default")][0] == 0
    last = derived(commit, RowKind.FEATURES, RowClass.NORMAL)[-1]
    assert (last["windows"], last["samples"], last["partial"]) == (1, 22, 6)
    assert line.next_wake() is None


def test_a_gap_ends_a_window_without_a_spectrum():
    line = line_with(rate_hz=1, window=16, summary_s=60)
    rows = [(1, BASE + i * S, 1.0) for i in range(10)] + [(1, BASE + (20 + i) * S, 1.0) for i in range(50)]
    commit = Commit(1)
    line.offer("c", batch_of(rows), at(400), commit)
    (row,) = derived(commit, RowKind.FEATURES, RowClass.NORMAL)
    assert (row["partial"], row["samples"]) == (10, 58)


def test_a_sample_not_newer_than_the_last_is_kept_late():
    line, commit = line_with(rate_hz=1, window=16), Commit(1)
    line.offer("c", batch_of([(1, BASE + S, 1.0), (1, BASE, 2.0), (1, BASE + 2 * S, "x")]), at(2), commit)
    columns = commit.rows(RowClass.NORMAL)
    assert (columns.value, columns.flags) == ([2.0, "x"], [RowFlag.LATE, 0])


def test_packed_blocks_are_samples_and_others_are_kept():
    line, commit = line_with(rate_hz=1000, window=16, packed="int16", limits={"peak": 50}), Commit(1)
    block = struct.pack("<20h", *([100, -100] * 10))
    line.offer("c", batch_of([(1, BASE, block), (1, BASE + S, b"odd")]), at(2), commit)
    (event,) = derived(commit, RowKind.EVENT, RowClass.HIGH)
    assert event["features"]["peak"] == 100
    assert commit.rows(RowClass.NORMAL).value == [b"odd"]


def test_a_limit_on_a_feature_that_does_not_exist_is_a_configuration_error():
    for bad in (
        {"rate_hz": 0},
        {"rate_hz": 10, "limits": {"loudness": 1}},
        {"rate_hz": 10, "window": 4},
        {"rate_hz": 10, "bands": (Band(name="b", low_hz=5, high_hz=1),)},
    ):
        with pytest.raises(ConfigurationError):
            Vibration(**bad)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=200), st.integers(1, 60), st.integers(1, 60))
def test_batches_of_any_width_give_the_same_state(samples, one, other):
    lines = [line_with(rate_hz=1, window=16, summary_s=40, limits={"rms": 3}) for _ in range(2)]
    commits = [run(line, samples, 1, width) for line, width in zip(lines, (one, other), strict=True)]
    assert lines[0].snapshot() == lines[1].snapshot()
    assert commits[0].rows(RowClass.NORMAL).value == commits[1].rows(RowClass.NORMAL).value


@pytest.mark.skipif(
    not (DATA / "mfpt_bearing_NC").is_dir(), reason="recorded bearing data is not beside the checkout"
)
def test_a_recorded_outer_race_fault_stands_out_in_kurtosis():
    numpy = pytest.importorskip("numpy")
    with numpy.load(DATA / "mfpt_bearing_NC" / "outer_3.npz") as recorded:
        samples, rate = recorded["g"].astype(float).tolist(), float(recorded["sr"])
    line = line_with(rate_hz=rate, window=8192, limits={"kurtosis": 4.0})
    commit = run(line, samples[:60_000], rate, width=1000)
    assert derived(commit, RowKind.EVENT, RowClass.HIGH)
    assert commit.entries[(Account.HELD, "default", 2, "default")][0] == 60_000
