"""A motor with a bearing, as a small physical model: what the demo's devices measure without recorded data.

State advances by one step per round of metrics, `STEP_S` of machine time. Orders of magnitude are those of
a 7.5 kW four-pole induction motor at 400 V, 50 Hz:

* load: production cycles of 24 s between idling (0.25) and full load (1.0), ramped over 2 s;
* speed = 1500 (1 - slip), slip 3 % at full load, rpm;
* current = I0 + I1 load, idling 6 A, full load 15 A; power = sqrt(3) U I cos(phi), cos(phi) 0.4 idling to
  0.84;
* energy integrates power, kWh: a counter that only grows;
* temperature follows load with one time constant: tau dT/dt = T_ambient + 55 K load + 20 K wear - T, tau 40
  s;
* the bearing's outer race begins to spall at `ONSET_S`; wear grows towards 1 with a time constant of 30 s;
* vibration (velocity, RMS, mm/s) = 0.9 + 0.5 load + 3 wear, with impacts of the spall: Poisson, 0.5 a
  second at full wear, 2 to 6 mm/s high, 0.3 s long (ISO 20816-3 calls above 4.5 mm/s unsatisfactory for
  this class);
* alarm is 1 above 4.5 mm/s and 0 below 3.5.

Sensor noise is Gaussian. Equal seeds give equal samples.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

STEP_S = 0.2
CYCLE_S = 24.0
RAMP_S = 2.0
ONSET_S = 15.0
WEAR_TAU_S = 30.0
THERMAL_TAU_S = 40.0
AMBIENT_C = 22.0
VOLTAGE = 400.0
ALARM_ABOVE, ALARM_BELOW = 4.5, 3.5


def load_at(seconds: float, phase_s: float = 0.0) -> float:
    """Share of full load, 0.25 to 1."""
    within = (seconds + phase_s) % CYCLE_S
    up = min(1.0, within / RAMP_S)
    down = min(1.0, max(0.0, (within - CYCLE_S * 2 / 3) / RAMP_S))
    return 0.25 + 0.75 * max(0.0, up - down)


def machine_samples(seed: int) -> Iterator[tuple[str, float]]:
    """Endless (metric, value), each metric in turn."""
    chance = random.Random(seed)
    phase_s = chance.uniform(0, CYCLE_S)
    onset_s = ONSET_S + chance.uniform(0, 15)
    seconds = temperature = energy = wear = shock = 0.0
    temperature = AMBIENT_C + 20
    alarm = 0
    while True:
        load = load_at(seconds, phase_s)
        wear = 1 - math.exp(-max(0.0, seconds - onset_s) / WEAR_TAU_S)
        temperature += STEP_S / THERMAL_TAU_S * (AMBIENT_C + 55 * load + 20 * wear - temperature)
        current = 6 + 12 * (load - 0.25)
        power = math.sqrt(3) * VOLTAGE * current * (0.4 + 0.44 * load) / 1000
        energy += power * STEP_S / 3600
        if chance.random() < 0.5 * wear * STEP_S:
            shock = chance.uniform(2, 6)
        vibration = 0.9 + 0.5 * load + 3 * wear + shock
        shock *= math.exp(-STEP_S / 0.3)
        alarm = 1 if vibration > ALARM_ABOVE else 0 if vibration < ALARM_BELOW else alarm
        yield "temperature", round(temperature + chance.gauss(0, 0.05), 2)
        yield "current", round(current + chance.gauss(0, 0.05), 3)
        yield "speed", round(1500 * (1 - 0.03 * load) + chance.gauss(0, 1), 1)
        yield "power", round(power * (1 + chance.gauss(0, 0.005)), 3)
        yield "vibration", round(max(0.0, vibration + chance.gauss(0, 0.08)), 3)
        yield "energy", round(energy, 5)
        yield "alarm", alarm
        seconds += STEP_S


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
