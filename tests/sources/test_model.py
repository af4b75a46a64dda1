"""Laws of the modelled machine."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from headland.sources.bearing import Geometry, MachineConfig, MachineState, initial, rms_mm_s, step, vibration
from headland.sources.contract import SourceContext
from headland.sources.model import ModelConfig, ModelSource
from headland.sources.recordings.arrays import load
from headland.vocabulary import Instant

START = Instant(10**9, 1_700_000_000 * 10**9)
DATA = Path(os.environ.get("HEADLAND_DATA", Path(__file__).parents[3] / "shared" / "data"))
MFPT = DATA / "mfpt_bearing_NC" / "inner_1.npz"


def run(config: MachineConfig, seconds: int, seed: int = 3) -> list[MachineState]:
    states = [initial(config)]
    for _ in range(seconds):
        states.append(step(config, states[-1], 1.0, seed))
    return states


def test_defect_frequencies_are_those_of_a_real_bearing() -> None:
    if not MFPT.exists():
        pytest.skip(f"recorded data is not here: {MFPT}")
    real = load(str(MFPT))
    shaft = float(real["shaft_hz"])
    bearing = Geometry()
    assert bearing.bpfo_hz(shaft) == pytest.approx(float(real["bpfo_hz"]), rel=1e-3)
    assert bearing.bpfi_hz(shaft) == pytest.approx(float(real["bpfi_hz"]), rel=1e-3)
    assert bearing.bsf_hz(shaft) == pytest.approx(float(real["bsf_hz"]), rel=1e-3)


def test_outer_and_inner_passings_add_up_to_all_elements() -> None:
    bearing = Geometry(elements=9, element_mm=7.9, pitch_mm=39.0, contact_deg=15.0)
    assert bearing.bpfo_hz(25) + bearing.bpfi_hz(25) == pytest.approx(9 * 25)
    assert bearing.ftf_hz(25) * 9 == pytest.approx(bearing.bpfo_hz(25))


@pytest.mark.parametrize("defect", ["outer_race", "inner_race"])
def test_the_envelope_of_a_damaged_bearing_shows_its_defect_frequency(defect: str) -> None:
    config = MachineConfig(defect=defect)
    rate = 16_384.0
    state = MachineState(step=5, rpm=1500.0, load=0.7, damage=0.6, phase="running")
    samples = vibration(config, state, 4.0, rate, 1)
    high = np.fft.rfft(samples)
    high[: (1500 * 4)] = 0  # only the resonance is left
    envelope = np.abs(np.fft.irfft(high)) ** 2
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    hz = np.fft.rfftfreq(len(envelope), 1 / rate)
    expected = Geometry().bpfo_hz(25) if defect == "outer_race" else Geometry().bpfi_hz(25)
    near = (hz > 60) & (hz < 140)
    assert hz[near][np.argmax(spectrum[near])] == pytest.approx(expected, rel=0.02)


def test_a_running_machine_warms_with_inertia_and_a_standing_one_cools() -> None:
    states = run(MachineConfig(defect="none", cycle_s=400.0), 400)
    warmest = max(state.bearing_celsius for state in states)
    assert 30 < warmest < 90
    steps = np.diff([state.bearing_celsius for state in states])
    assert np.max(np.abs(steps)) < 1.0
    stopped = [
        i for i, state in enumerate(states[1:], 1) if state.rpm == 0 and states[i - 1].bearing_celsius > 23
    ]
    assert all(states[i].bearing_celsius < states[i - 1].bearing_celsius for i in stopped)


def test_damage_grows_only_while_it_runs_and_is_heard() -> None:
    sound, damaged = (
        run(MachineConfig(defect="none"), 300)[-1],
        run(MachineConfig(defect_after_s=60.0), 300)[-1],
    )
    assert sound.damage == 0 < damaged.damage <= 1
    quiet = vibration(MachineConfig(), sound, 1.0, 4096.0, 3)
    loud = vibration(MachineConfig(), damaged, 1.0, 4096.0, 3)
    assert np.std(loud) > 1.5 * np.std(quiet)


def test_velocity_of_a_pure_tone_is_what_calculus_says() -> None:
    rate, hz, amplitude_g = 4096.0, 50.0, 0.1
    t = np.arange(4096) / rate
    rms = rms_mm_s(amplitude_g * np.sin(2 * np.pi * hz * t), rate)
    assert rms == pytest.approx(amplitude_g * 9.80665 / (2 * np.pi * hz) / np.sqrt(2) * 1000, rel=1e-6)


def test_equal_seeds_give_equal_machines_however_they_are_polled() -> None:
    def rows(polls: list[float], seed: int) -> list[object]:
        source = ModelSource(
            ModelConfig(vibration_hz=64.0, seed=seed), SourceContext("m", random.Random(1), START)
        )
        out: list[object] = []
        for seconds in polls:
            batch = source.poll(START.later(seconds))
            out += [
                (batch.series[r].name, t, v) for r, t, v in zip(batch.row, batch.ts, batch.value, strict=True)
            ]
        return out

    assert rows([float(i) for i in range(60)], 5) == rows([7.5, 30.0, 31.0, 59.0], 5)
    assert rows([59.0], 5) != rows([59.0], 6)


def test_changes_of_state_are_written_to_its_log() -> None:
    source = ModelSource(ModelConfig(cycle_s=60.0, seed=5), SourceContext("m", random.Random(1), START))
    batch = source.poll(START.later(120))
    lines = [
        str(v) for r, v in zip(batch.row, batch.value, strict=True) if batch.series[r].name == "machine/log"
    ]
    assert any("INFO [m1] stopped -> starting" in line for line in lines)
    assert any("running" in line for line in lines)


def test_a_machine_that_was_not_polled_for_long_leaves_steps_out() -> None:
    source = ModelSource(ModelConfig(every_s=0.01, seed=5), SourceContext("m", random.Random(1), START))
    source.poll(START.later(30))
    assert source.counters["skipped_steps"] == 2000
