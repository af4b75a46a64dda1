"""A machine with a bearing at the demo's pace, by the documented model of `headland.sources.bearing`.

One step is `STEP_S` of machine time. The cycle is short and the damage quick, so that a minute shows a
start, full and half speed, and a bearing that goes bad. Beside the model's own quantities stand those of a
drive:

* power = sqrt(3) U I cos(phi), U 400 V, cos(phi) 0.4 idling to 0.84 at full load, kW;
* energy integrates power, kWh: a counter that only grows;
* alarm is 1 above 0.25 g of vibration and 0 below 0.2.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

from headland.sources import bearing

STEP_S = 0.2
RATE_HZ = 4096.0
CYCLE_S = 24.0
VOLTAGE = 400.0
ALARM_ABOVE_G, ALARM_BELOW_G = 0.25, 0.2


def machine_samples(seed: int) -> Iterator[tuple[str, float]]:
    """Endless (metric, value), each metric in turn; equal seeds give equal samples."""
    config = bearing.MachineConfig(
        cycle_s=CYCLE_S,
        defect="inner_race" if seed % 2 else "outer_race",
        defect_after_s=10.0 + seed % 7,
        defect_doubling_s=6.0,
    )
    state = bearing.initial(config)
    energy = 0.0
    alarm = 0
    while True:
        state = bearing.step(config, state, STEP_S, seed)
        samples = bearing.vibration(config, state, STEP_S, RATE_HZ, seed)
        rms = bearing.rms_g(samples)
        power = math.sqrt(3) * VOLTAGE * state.current_a * (0.4 + 0.44 * state.load) / 1000
        energy += power * STEP_S / 3600
        alarm = 1 if rms > ALARM_ABOVE_G else 0 if rms < ALARM_BELOW_G else alarm
        yield "rpm", round(state.rpm, 1)
        yield "current", round(state.current_a, 3)
        yield "temperature", round(state.bearing_celsius, 3)
        yield "vibration", round(rms, 4)
        yield "power", round(power, 3)
        yield "energy", round(energy, 6)
        yield "alarm", alarm


_EVENTS = (
    ("INFO", "cycle {n} finished, {n} parts"),
    ("INFO", "lubrication pump on for 3 s"),
    ("DEBUG", "sensor bus polled, 7 answers"),
    ("INFO", "spindle at rated speed"),
    ("WARN", "vibration above warning limit, cycle {n}"),
    ("INFO", "operator acknowledged message {n}"),
    ("ERROR", "bearing temperature sensor: no answer, attempt {n}"),
)
_SHARES = (40, 20, 25, 10, 3, 1, 1)


def machine_log(client: str, seed: int) -> Iterator[str]:
    """Endless lines of a controller's log: date, time, level, unit, message; few are worth sending."""
    chance = random.Random(seed)
    for number in itertools.count():
        level, text = chance.choices(_EVENTS, _SHARES)[0]
        seconds = number * STEP_S
        clock = f"{int(seconds // 3600) % 24:02}:{int(seconds // 60) % 60:02}:{int(seconds) % 60:02}"
        yield f"2026-01-01 {clock},{number % 1000:03} {level} {client}.controller: {text.format(n=number)}"
