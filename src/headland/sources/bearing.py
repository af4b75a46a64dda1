"""A documented physical model of a machine with a rolling bearing, for places without a recording.

Nothing here is measured; it is a plausible machine whose figures follow stated formulas, so that rules,
filters and forecasts have something to find. A machine is a pure function of (seed, step): equal seeds give
equal machines on every computer of one floating-point behaviour.

Speed: first-order lag behind a schedule (stopped, full, half) of `cycle_s`.

Load: 0 to 1, an autoregressive drift around the schedule's demand.

Bearing temperature: friction heats, the housing cools,

    M = 0.5 mu P d              frictional moment, N mm (P bearing load in N, d bore in mm, mu = 0.0015)
    Q = 1.05e-4 M n             heat, W (n in 1/min)
    C dT/dt = Q - (T - T_amb)/R

(SKF, Rolling bearings, 2018, section B.3, friction), solved exactly over each step. Damage multiplies M.

Vibration: unbalance at shaft frequency f growing with f squared, misalignment at 2 f, noise, and bursts that
ring at a resonance and decay, one per passing of a rolling element over a defect of the outer or inner race:

    BPFO = N/2 f (1 - d/D cos a)        BPFI = N/2 f (1 + d/D cos a)
    BSF  = D/2d f (1 - (d/D cos a)^2)   FTF  = f/2 (1 - d/D cos a)

(R. B. Randall and J. Antoni, Rolling element bearing diagnostics - a tutorial, Mechanical Systems and Signal
Processing 25 (2011) 485-520); bursts of an inner race are modulated at f, as it passes the loaded zone. The
default geometry is that of the MFPT bearing data set (NICE bearing, 8 elements).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    import numpy as np

    Samples = np.ndarray[tuple[int], np.dtype[np.float64]]

_RESONANCE_HZ: Final = 3200.0
_DECAY_S: Final = 0.0012
_SPEED_LAG_S: Final = 8.0
_FRICTION: Final = 0.0015
_BORE_MM: Final = 25.0
_THERMAL_J_PER_K: Final = 90.0
_THERMAL_K_PER_W: Final = 2.5
_FULL_LOAD_N: Final = 6000.0
_G: Final = 9.80665


class Geometry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bearing's geometry."""

    elements: Annotated[int, Meta(description="Rolling elements.", ge=3)] = 8
    element_mm: Annotated[float, Meta(description="Diameter of an element, mm.", gt=0)] = 5.969
    pitch_mm: Annotated[float, Meta(description="Pitch diameter, mm.", gt=0)] = 31.623
    contact_deg: Annotated[float, Meta(description="Contact angle, degrees.", ge=0, lt=90)] = 0.0

    @property
    def ratio(self) -> float:
        """d/D cos a."""
        return self.element_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    def bpfo_hz(self, shaft_hz: float) -> float:
        """Passings over a point of the outer race, per second."""
        return self.elements / 2 * shaft_hz * (1 - self.ratio)

    def bpfi_hz(self, shaft_hz: float) -> float:
        """Passings over a point of the inner race, per second."""
        return self.elements / 2 * shaft_hz * (1 + self.ratio)

    def bsf_hz(self, shaft_hz: float) -> float:
        """Turns of an element, per second."""
        return self.pitch_mm / (2 * self.element_mm) * shaft_hz * (1 - self.ratio**2)

    def ftf_hz(self, shaft_hz: float) -> float:
        """Turns of the cage, per second."""
        return shaft_hz / 2 * (1 - self.ratio)


class MachineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine."""

    full_rpm: Annotated[float, Meta(description="Full speed, 1/min.", gt=0, le=30_000)] = 1500.0
    cycle_s: Annotated[
        float, Meta(description="A cycle: 10 % stopped, 60 % full, 30 % half speed.", gt=0)
    ] = 600.0
    ambient_celsius: Annotated[float, Meta(description="Temperature around it.", ge=-60, le=60)] = 22.0
    defect: Annotated[
        Literal["none", "outer_race", "inner_race"], Meta(description="Which race is damaged.")
    ] = "outer_race"
    defect_after_s: Annotated[float, Meta(description="Running time until damage shows, seconds.", ge=0)] = (
        120.0
    )
    defect_doubling_s: Annotated[float, Meta(description="Time in which damage doubles, seconds.", gt=0)] = (
        60.0
    )
    geometry: Annotated[Geometry, Meta(description="The bearing.")] = Geometry()


class MachineState(msgspec.Struct, frozen=True):
    """A machine at the end of a step.

    Attributes:
        step: Steps done.
        time_s: Seconds since its start.
        running_s: Seconds of those in which it turned.
        rpm: Speed, 1/min.
        angle: Shaft angle, turns.
        load: 0 to 1.
        bearing_celsius: Bearing temperature.
        current_a: Motor current, A.
        damage: 0 (sound) to 1 (to be replaced).
        phase: ``stopped``, ``starting``, ``running``, ``stopping``.
    """

    step: int = 0
    time_s: float = 0.0
    running_s: float = 0.0
    rpm: float = 0.0
    angle: float = 0.0
    load: float = 0.0
    bearing_celsius: float = 22.0
    current_a: float = 0.0
    damage: float = 0.0
    phase: str = "stopped"


def initial(config: MachineConfig) -> MachineState:
    """A cold machine that stands still."""
    return MachineState(bearing_celsius=config.ambient_celsius)


def step(config: MachineConfig, state: MachineState, seconds: float, seed: int) -> MachineState:
    """The machine after another `seconds`."""
    noise = _noise(seed, state.step, 0)
    time_s = state.time_s + seconds
    target = _demand(config, time_s, seed)
    lag = 1 - math.exp(-seconds / _SPEED_LAG_S)
    rpm = max(0.0, state.rpm + (target * config.full_rpm - state.rpm) * lag)
    rpm = 0.0 if target == 0 and rpm < 0.01 * config.full_rpm else rpm
    turning = rpm > 0
    load = 0.0
    if turning:
        load = min(
            1.0, max(0.05, state.load + (0.7 - state.load) * 0.05 + 0.02 * float(noise.standard_normal()))
        )
    running_s = state.running_s + (seconds if turning else 0.0)
    damage = _damage(config, running_s)
    moment = 0.5 * _FRICTION * (0.15 + load) * _FULL_LOAD_N * _BORE_MM * (1 + 1.5 * damage)
    heat_w = 1.05e-4 * moment * rpm
    settled = config.ambient_celsius + heat_w * _THERMAL_K_PER_W
    cooling = math.exp(-seconds / (_THERMAL_J_PER_K * _THERMAL_K_PER_W))
    current = 0.0
    if turning:
        inrush = 3.0 * max(0.0, target - rpm / config.full_rpm)
        current = 2.0 + 8.0 * load + inrush + 0.05 * float(noise.standard_normal())
    return MachineState(
        step=state.step + 1,
        time_s=time_s,
        running_s=running_s,
        rpm=rpm,
        angle=(state.angle + (state.rpm + rpm) / 120 * seconds) % 1e9,
        load=load,
        bearing_celsius=settled + (state.bearing_celsius - settled) * cooling,
        current_a=current,
        damage=damage,
        phase=_phase(target * config.full_rpm, rpm, config.full_rpm),
    )


def vibration(
    config: MachineConfig, state: MachineState, seconds: float, rate_hz: float, seed: int
) -> Samples:
    """Acceleration in g over the step that ended in `state`.

    Args:
        config: The machine.
        state: Its state at the end of the step.
        seconds: Length of the step.
        rate_hz: Samples a second.
        seed: Seed of the machine.
    """
    import numpy as np

    count = round(seconds * rate_hz)
    noise = _noise(seed, state.step, 1)
    samples = noise.standard_normal(count) * 0.01
    if state.rpm <= 0 or count == 0:
        return samples
    shaft_hz = state.rpm / 60
    t = np.arange(count) / rate_hz
    turns = state.angle - shaft_hz * seconds + shaft_hz * t
    size = (shaft_hz / 25) ** 2
    samples += size * (0.03 * np.sin(2 * np.pi * turns) + 0.02 * np.sin(4 * np.pi * turns + 0.7))
    samples += noise.standard_normal(count) * 0.03 * (0.5 + state.load)
    if state.damage > 0 and config.defect != "none":
        samples += _bursts(config, state, t, turns, rate_hz, noise)
    return samples


def rms_mm_s(acceleration_g: Samples, rate_hz: float) -> float:
    """RMS velocity in mm/s from 10 Hz to 1 kHz, the measure of ISO 20816-1."""
    import numpy as np

    if len(acceleration_g) < 2:
        return 0.0
    spectrum = np.fft.rfft(acceleration_g * _G) / len(acceleration_g)
    hz = np.fft.rfftfreq(len(acceleration_g), 1 / rate_hz)
    band = (hz >= 10) & (hz <= 1000)
    velocity = spectrum[band] / (2 * np.pi * hz[band])
    return float(np.sqrt(2 * np.sum(np.abs(velocity) ** 2)) * 1000)


def rms_g(acceleration_g: Samples) -> float:
    """RMS acceleration in g."""
    return math.sqrt(float((acceleration_g**2).mean())) if len(acceleration_g) else 0.0


def _bursts(
    config: MachineConfig,
    state: MachineState,
    t: Samples,
    turns: Samples,
    rate_hz: float,
    noise: np.random.Generator,
) -> Samples:
    import numpy as np

    shaft_hz = state.rpm / 60
    inner = config.defect == "inner_race"
    hz = config.geometry.bpfi_hz(shaft_hz) if inner else config.geometry.bpfo_hz(shaft_hz)
    passings = max(1, round(hz * len(t) / rate_hz))
    at = (np.arange(passings) + noise.normal(0, 0.01, passings)) / hz  # elements slip by about a per cent
    impulses = np.zeros(len(t))
    places = np.clip(np.round(at * rate_hz).astype(int), 0, len(t) - 1)
    height = np.full(passings, 1.0)
    if inner:
        height *= 0.6 + 0.4 * np.cos(2 * np.pi * turns[places])
    np.add.at(impulses, places, height * (0.5 + state.load))
    ring_t = np.arange(max(1, round(6 * _DECAY_S * rate_hz))) / rate_hz
    resonance = min(_RESONANCE_HZ, rate_hz / 5)
    ring = np.exp(-ring_t / _DECAY_S) * np.sin(2 * np.pi * resonance * ring_t)
    return np.convolve(impulses, ring)[: len(t)] * (4.0 * state.damage)


def _demand(config: MachineConfig, time_s: float, seed: int) -> float:
    place = (time_s / config.cycle_s + (seed % 97) / 970) % 1.0
    if place < 0.1:
        return 0.0
    return 1.0 if place < 0.7 else 0.5


def _damage(config: MachineConfig, running_s: float) -> float:
    if config.defect == "none" or running_s < config.defect_after_s:
        return 0.0
    return float(
        min(1.0, 0.05 * 2 ** min(20.0, (running_s - config.defect_after_s) / config.defect_doubling_s))
    )


def _phase(target_rpm: float, rpm: float, full_rpm: float) -> str:
    if rpm == 0:
        return "starting" if target_rpm else "stopped"
    if abs(target_rpm - rpm) <= 0.03 * full_rpm:
        return "running"
    return "starting" if target_rpm > rpm else "stopping"


def _noise(seed: int, number: int, channel: int) -> np.random.Generator:
    import numpy as np  # only a node with a modelled machine pays for it

    return np.random.Generator(np.random.Philox(key=seed & (2**64 - 1), counter=[number, channel, 0, 0]))
