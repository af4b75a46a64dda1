"""The modelled machine as a source: readings at an interval, vibration, and log lines on changes of state.

Series (label `machine`)::

    rpm, load_ratio, bearing_celsius, current_a      every step
    vibration_mm_s, vibration_rms_g                  RMS velocity 10 Hz - 1 kHz, RMS acceleration, of a step
    vibration_g                                      samples, if `vibration_hz` is not 0
    log                                              a text when its state changes

Device time of step k is the moment of the start plus k intervals; samples lie evenly in the step. It is a
model (see `bearing`), and its series say so by the label ``modelled=true``.
"""

from __future__ import annotations

import time
from typing import Annotated, Final

from msgspec import Meta

from headland.sources.bearing import MachineConfig, MachineState, initial, rms_g, rms_mm_s, step, vibration
from headland.sources.contract import SeriesList, Source, SourceBatch, SourceContext, SourceDeclaration
from headland.vocabulary import Instant, SeriesKey

_RMS_RATE_HZ: Final = 4096.0
_BEHIND_STEPS: Final = 1000
_HOT: Final = 80.0
_ROUGH_G: Final = 0.25


class ModelConfig(MachineConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A modelled machine with a bearing."""

    machine: Annotated[str, Meta(description="Name of the machine; becomes a label.", min_length=1)] = "m1"
    every_s: Annotated[float, Meta(description="Interval of the readings, seconds.", ge=0.01, le=3600)] = 1.0
    vibration_hz: Annotated[
        float, Meta(description="Samples of acceleration a second; 0 gives none.", ge=0, le=51_200)
    ] = 0.0
    seed: Annotated[int, Meta(description="Seed; 0 takes the node's generator.", ge=0)] = 0


class ModelSource:
    """Steps the machine up to the moment of the poll; what is more than 1000 steps behind is left out."""

    def __init__(self, config: ModelConfig, context: SourceContext) -> None:
        self.counters: dict[str, int] = {}
        self._config = config
        self._series = SeriesList()
        self._seed = config.seed or 1 + int(context.chance.random() * (2**53 - 1))
        self._state = initial(config)
        self._start = context.started
        self._every_ns = round(config.every_s * 1e9)
        self._max = context.max_readings
        self._samples = round(config.vibration_hz * config.every_s)
        self._warned: set[str] = set()
        self._closed = False

    def poll(self, now: Instant) -> SourceBatch:
        """The steps whose time has come."""
        batch = SourceBatch(self._series.all)
        behind = (now.monotonic_ns - self._start.monotonic_ns) // self._every_ns - self._state.step
        while (
            not self._closed
            and self._state.step * self._every_ns <= now.monotonic_ns - self._start.monotonic_ns
        ):
            if len(batch) and len(batch) + 8 + self._samples > self._max:
                break
            before = self._state
            self._state = step(self._config, before, self._config.every_s, self._seed)
            if behind > _BEHIND_STEPS:
                behind -= 1
                self.counters["skipped_steps"] = self.counters.get("skipped_steps", 0) + 1
                continue
            self._give(before, self._state, self._start.wall_ns + before.step * self._every_ns, batch)
        return batch

    def next_poll(self, now: Instant) -> int | None:
        """When the next step is over."""
        return None if self._closed else self._start.monotonic_ns + self._state.step * self._every_ns

    def confirmed(self, position: bytes) -> None:
        """Nothing to do: a model has no position."""

    def snapshot(self) -> bytes:
        """No position."""
        return b""

    def close(self) -> None:
        """Stop the machine."""
        self._closed = True

    def _give(self, before: MachineState, state: MachineState, ts: int, batch: SourceBatch) -> None:
        config = self._config
        rate = config.vibration_hz or _RMS_RATE_HZ
        samples = vibration(config, state, min(config.every_s, 1.0), rate, self._seed)
        rms = rms_g(samples)
        for name, value in (
            ("rpm", state.rpm),
            ("load_ratio", state.load),
            ("bearing_celsius", state.bearing_celsius),
            ("current_a", state.current_a),
            ("vibration_mm_s", rms_mm_s(samples, rate)),
            ("vibration_rms_g", rms),
        ):
            batch.add(self._row(name), ts, round(value, 4), 8)
        if self._samples:
            row = self._row("vibration_g")
            spacing = 1e9 / rate
            for index, sample in enumerate(samples.tolist()[: max(1, self._max - 8)]):
                batch.add(row, ts + round(index * spacing), round(sample, 5), 8)
        for line in self._lines(before, state, rms, ts):
            batch.add(self._row("log"), ts, line, len(line.encode()))

    def _lines(self, before: MachineState, state: MachineState, rms: float, ts: int) -> list[str]:
        said: list[tuple[str, str]] = []
        if state.phase != before.phase:
            said.append(("INFO", f"{before.phase} -> {state.phase} at {state.rpm:.0f} rpm"))
        for name, level, value, limit, text in (
            ("hot", "WARN", state.bearing_celsius, _HOT, f"bearing at {state.bearing_celsius:.1f} degrees"),
            ("rough", "WARN", rms, _ROUGH_G, f"vibration at {rms:.2f} g"),
            ("worn", "ERROR", state.damage, 0.99, "bearing damage: replace"),
        ):
            if value >= limit and name not in self._warned:
                self._warned.add(name)
                said.append((level, text))
            elif value < 0.9 * limit:
                self._warned.discard(name)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ts // 1_000_000_000))
        millis = ts // 1_000_000 % 1000
        return [f"{stamp},{millis:03d} {level} [{self._config.machine}] {text}" for level, text in said]

    def _row(self, name: str) -> int:
        labels = (("machine", self._config.machine), ("modelled", "true"))
        return self._series.row(SeriesKey(f"machine/{name}", labels))


def _make(config: ModelConfig, context: SourceContext) -> Source:
    return ModelSource(config, context)


MODEL: Final = SourceDeclaration(
    kind="model",
    summary="A modelled machine with a bearing, for places without a recording.",
    config=ModelConfig,
    make=_make,
    durable=False,
    example='kind = "model"\nmachine = "press-7"\nevery_s = 1\n',
)
