"""The host itself: processor, memory, disks, network, temperatures, by psutil.

Series (label in brackets)::

    host/cpu_percent [core=0.., all without]   host/load_1m, host/load_5m, host/load_15m
    host/memory_used_bytes, host/memory_available_bytes, host/memory_percent, host/swap_percent
    host/disk_used_bytes, host/disk_percent [mount]
    host/disk_read_bytes, host/disk_written_bytes [disk]      counters since boot
    host/net_received_bytes, host/net_sent_bytes, host/net_errors [interface]      counters since boot
    host/temperature_celsius [sensor], host/fan_rpm [sensor], host/battery_percent
    host/uptime_s, host/process_count

A sensor that is not there is tried again every 60 polls; one that fails is counted under its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal

import msgspec
import psutil
from msgspec import Meta

from headland.sources.contract import (
    SeriesList,
    Source,
    SourceBatch,
    SourceContext,
    SourceDeclaration,
    value_bytes,
)
from headland.vocabulary import Instant, SeriesKey, Value

Sensor = Literal["cpu", "load", "memory", "disk", "disk_io", "network", "temperature", "system"]
Measured = tuple[str, tuple[tuple[str, str], ...], Value]
_PAUSE_POLLS: Final = 60
_PSEUDO: Final = frozenset({"squashfs", "overlay", "tmpfs", "devtmpfs", "proc", "sysfs"})
_SKIPPED_DISKS: Final = ("loop", "ram")


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings of the host."""

    every_s: Annotated[float, Meta(description="Interval of the readings, seconds.", gt=0, le=86_400)] = 5.0
    sensors: Annotated[tuple[Sensor, ...], Meta(description="Which groups are read.")] = (
        "cpu",
        "load",
        "memory",
        "disk",
        "disk_io",
        "network",
        "temperature",
        "system",
    )
    prefix: Annotated[str, Meta(description="First part of the series names.", min_length=1)] = "host"
    per_core: Annotated[bool, Meta(description="Whether each processor core is a series of its own.")] = True


class HostSource:
    """Reads the host's sensors at an interval; device time is the moment of the poll."""

    def __init__(self, config: HostConfig, context: SourceContext) -> None:
        self.counters: dict[str, int] = {}
        self._config = config
        self._series = SeriesList()
        self._every_ns = round(config.every_s * 1e9)
        self._due = context.started.monotonic_ns + min(self._every_ns, 1_000_000_000)
        self._max = context.max_readings
        self._paused: dict[str, int] = {}
        self._closed = False
        psutil.cpu_percent(percpu=True)  # psutil's first figure is meaningless: it has no interval yet
        psutil.cpu_percent()

    def poll(self, now: Instant) -> SourceBatch:
        """All sensors once, if the interval is over."""
        batch = SourceBatch(self._series.all)
        if self._closed or now.monotonic_ns < self._due:
            return batch
        behind = now.monotonic_ns - self._due
        self._due += self._every_ns * (1 + behind // self._every_ns)
        for sensor in self._config.sensors:
            if self._paused.get(sensor, 0) > 0:
                self._paused[sensor] -= 1
                continue
            self._read(sensor, now, batch)
        return batch

    def next_poll(self, now: Instant) -> int | None:
        """When the interval is over."""
        return None if self._closed else self._due

    def confirmed(self, position: bytes) -> None:
        """Nothing to do: the present has no position."""

    def snapshot(self) -> bytes:
        """No position."""
        return b""

    def close(self) -> None:
        """Read no more."""
        self._closed = True

    def _read(self, sensor: Sensor, now: Instant, batch: SourceBatch) -> None:
        try:
            measured = list(_SENSORS[sensor](self._config, now))
        except Exception:  # noqa: BLE001 - a sensor's driver may raise anything; the node goes on and counts it
            self.counters[sensor] = self.counters.get(sensor, 0) + 1
            self._paused[sensor] = _PAUSE_POLLS
            return
        if not measured:
            self._paused[sensor] = _PAUSE_POLLS
        for name, labels, value in measured[: self._max - len(batch)]:
            row = self._series.row(SeriesKey(f"{self._config.prefix}/{name}", labels))
            batch.add(row, now.wall_ns, value, value_bytes(value))


def _cpu(config: HostConfig, now: Instant) -> Iterable[Measured]:
    yield "cpu_percent", (), psutil.cpu_percent()
    if config.per_core:
        for core, percent in enumerate(psutil.cpu_percent(percpu=True)):
            yield "cpu_percent", (("core", str(core)),), percent


def _load(config: HostConfig, now: Instant) -> Iterable[Measured]:
    for name, load in zip(("load_1m", "load_5m", "load_15m"), psutil.getloadavg(), strict=True):
        yield name, (), load


def _memory(config: HostConfig, now: Instant) -> Iterable[Measured]:
    memory = psutil.virtual_memory()
    yield "memory_used_bytes", (), memory.total - memory.available
    yield "memory_available_bytes", (), memory.available
    yield "memory_percent", (), memory.percent
    yield "swap_percent", (), psutil.swap_memory().percent


def _disk(config: HostConfig, now: Instant) -> Iterable[Measured]:
    seen: set[str] = set()
    for part in psutil.disk_partitions(all=False):
        if part.device in seen or part.fstype in _PSEUDO:
            continue
        seen.add(part.device)
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue  # an absent medium or a mount of another user: the others still count
        label = (("mount", part.mountpoint),)
        yield "disk_used_bytes", label, usage.used
        yield "disk_percent", label, usage.percent


def _disk_io(config: HostConfig, now: Instant) -> Iterable[Measured]:
    for disk, io in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if not disk.startswith(_SKIPPED_DISKS):
            yield "disk_read_bytes", (("disk", disk),), io.read_bytes
            yield "disk_written_bytes", (("disk", disk),), io.write_bytes


def _network(config: HostConfig, now: Instant) -> Iterable[Measured]:
    for interface, io in psutil.net_io_counters(pernic=True).items():
        label = (("interface", interface),)
        yield "net_received_bytes", label, io.bytes_recv
        yield "net_sent_bytes", label, io.bytes_sent
        yield "net_errors", label, io.errin + io.errout + io.dropin + io.dropout


def _temperature(config: HostConfig, now: Instant) -> Iterable[Measured]:
    for chip, sensors in getattr(psutil, "sensors_temperatures", dict)().items():
        for position, sensor in enumerate(sensors):
            if sensor.current is not None:
                name = f"{chip}/{sensor.label or position}"
                yield "temperature_celsius", (("sensor", name),), float(sensor.current)
    for chip, fans in getattr(psutil, "sensors_fans", dict)().items():
        for position, fan in enumerate(fans):
            yield "fan_rpm", (("sensor", f"{chip}/{fan.label or position}"),), fan.current
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    if battery is not None:
        yield "battery_percent", (), float(battery.percent)


def _system(config: HostConfig, now: Instant) -> Iterable[Measured]:
    yield (
        "uptime_s",
        (),
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else (now.wall_ns / 1e9 - psutil.boot_time()),
    )
    yield "process_count", (), len(psutil.pids())


_SENSORS: Final[dict[str, Callable[[HostConfig, Instant], Iterable[Measured]]]] = {
    "cpu": _cpu,
    "load": _load,
    "memory": _memory,
    "disk": _disk,
    "disk_io": _disk_io,
    "network": _network,
    "temperature": _temperature,
    "system": _system,
}


def _make(config: HostConfig, context: SourceContext) -> Source:
    return HostSource(config, context)


HOST: Final = SourceDeclaration(
    kind="host",
    summary="The host's processor, memory, disks, network and temperatures.",
    config=HostConfig,
    make=_make,
    durable=False,
    example='kind = "host"\nevery_s = 5\n',
)
