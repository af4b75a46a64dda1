"""Laws of the alarm clock."""

from __future__ import annotations

import asyncio
import time

import uvloop

from headland.drivers.alarm import Alarm

MS = 1_000_000


class Rung:
    """Notes when it rang."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.once = asyncio.Event()
        self.alarm = Alarm(asyncio.get_running_loop(), self._ring)

    def _ring(self) -> None:
        self.at.append(time.monotonic_ns())
        self.once.set()

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.once.wait()
        self.once.clear()


def run(work: object) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)  # type: ignore[arg-type]


def test_it_rings_once_and_never_too_early() -> None:
    """Kills: a wait that is rounded down; a timer that repeats."""

    async def work() -> None:
        rung = Rung()
        for wait_ns in (300_000, 2 * MS, MS // 2):
            now_ns = time.monotonic_ns()
            rung.alarm.set(now_ns + wait_ns, now_ns)
            await rung.wait()
            assert rung.at[-1] >= now_ns + wait_ns
        await asyncio.sleep(0.01)
        assert len(rung.at) == 3
        rung.alarm.close()

    run(work())


def test_a_moment_that_has_passed_rings_at_the_next_turn() -> None:
    """Kills: a kernel timer for what is due; one that rings inside `set`."""

    async def work() -> None:
        rung = Rung()
        now_ns = time.monotonic_ns()
        rung.alarm.set(now_ns, now_ns)
        assert rung.at == []
        await asyncio.sleep(0)
        assert len(rung.at) == 1
        rung.alarm.close()

    run(work())


def test_the_last_word_counts() -> None:
    """Kills: ringing for what was taken back, by either way."""

    async def work() -> None:
        rung = Rung()
        now_ns = time.monotonic_ns()
        rung.alarm.set(now_ns + MS, now_ns)
        rung.alarm.set(now_ns + 20 * MS, now_ns)
        rung.alarm.set(now_ns, now_ns)
        rung.alarm.set(now_ns + 5 * MS, now_ns)
        await rung.wait()
        assert rung.at[0] >= now_ns + 5 * MS
        rung.alarm.set(now_ns, now_ns)
        rung.alarm.set(None, now_ns)
        rung.alarm.set(time.monotonic_ns() + MS, time.monotonic_ns())
        rung.alarm.set(None, now_ns)
        await asyncio.sleep(0.01)
        assert len(rung.at) == 1
        rung.alarm.close()

    run(work())
