"""The disk threads' laws."""

from __future__ import annotations

import asyncio
import errno
import os
import threading

import pytest

from headland.drivers import scheduling
from headland.drivers.committer import DiskWorker, Done, Failed, NoSpace, Outcome
from headland.journal.plan import Create, DiskOp, Sync, Write


class Script:
    """A disk that notes what it did and fails where it is told to."""

    def __init__(self, failures: dict[int, Exception] | None = None) -> None:
        self.done: list[DiskOp] = []
        self.failures = failures or {}
        self.calls = 0
        self.threads: set[str] = set()
        self.policies: set[int] = set()

    def apply(self, op: DiskOp) -> None:
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        self.policies.add(os.sched_getscheduler(0))
        failure = self.failures.get(self.calls)
        if failure is not None:
            raise failure
        self.done.append(op)


def outcomes(script: Script, *plans: list[DiskOp]) -> list[Outcome]:
    """What is told of each plan, in the order told."""

    async def body() -> list[Outcome]:
        told: list[Outcome] = []
        worker: DiskWorker[DiskOp] = DiskWorker(script, asyncio.get_running_loop(), "committer")
        worker.start()
        for plan in plans:
            worker.execute(plan, told.append)
        worker.stop()
        await asyncio.sleep(0)
        assert worker.waiting == 0
        return told

    return asyncio.run(body())


PLAN: list[DiskOp] = [Create("a", 8), Write("a", 0, b"12345678"), Sync("a")]


def test_operations_are_executed_in_order_on_one_thread_and_each_plan_is_answered_once() -> None:
    script = Script()
    assert outcomes(script, PLAN, PLAN[1:]) == [Done(), Done()]
    assert script.done == PLAN + PLAN[1:]
    assert script.threads == {"committer"}
    assert script.policies == {os.SCHED_OTHER}


def test_a_full_disk_at_a_preallocation_stops_the_plan_and_not_the_worker() -> None:
    script = Script({1: OSError(errno.ENOSPC, "No space left on device", "a")})
    assert outcomes(script, PLAN, PLAN) == [NoSpace("No space left on device: a"), Done()]
    assert script.done == PLAN


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.EIO, "Input/output error", "a"),
        OSError(errno.ENOSPC, "No space left on device", "a"),
        ValueError("a defect"),
    ],
)
def test_after_any_other_failure_nothing_is_executed_and_every_plan_is_told(failure: Exception) -> None:
    script = Script({2: failure})
    told = outcomes(script, PLAN, PLAN, PLAN)
    assert [type(one) for one in told] == [Failed] * 3
    assert len(set(map(str, told))) == 1, "the first cause is told every time"
    assert script.calls == 2


def test_a_call_tells_what_it_returned_or_raised_in_turn_with_the_rest() -> None:
    async def body() -> list[object]:
        told: list[object] = []
        worker: DiskWorker[DiskOp] = DiskWorker(Script(), asyncio.get_running_loop(), "reader")
        worker.start()
        worker.call(lambda: b"block", told.append)
        nothing: dict[int, bytes] = {}
        worker.call(lambda: nothing[1], told.append)
        worker.execute(PLAN, told.append)
        worker.stop()
        await asyncio.sleep(0)
        return told

    told = asyncio.run(body())
    assert told[0] == b"block"
    assert isinstance(told[1], KeyError)
    assert told[2] == Done()


def test_results_are_told_on_the_loops_own_thread() -> None:
    async def body() -> list[int]:
        told: list[int] = []
        worker: DiskWorker[DiskOp] = DiskWorker(Script(), asyncio.get_running_loop(), "committer")
        worker.start()
        worker.execute(PLAN, lambda _: told.append(threading.get_ident()))
        while not told:
            await asyncio.sleep(0.001)
        worker.stop()
        return told

    assert asyncio.run(body()) == [threading.get_ident()]


def test_a_worker_outlives_its_loop_quietly() -> None:
    loop = asyncio.new_event_loop()
    worker: DiskWorker[DiskOp] = DiskWorker(Script(), loop, "committer")
    loop.close()
    worker.start()
    worker.execute(PLAN, lambda _: None)
    worker.stop()


@pytest.mark.parametrize(("urgent", "loop_is_real_time"), [(True, True), (True, False), (False, True)])
def test_a_worker_is_real_time_only_where_it_is_urgent_and_the_loop_is_and_then_below_it(
    urgent: bool, loop_is_real_time: bool
) -> None:
    """Kills: a commit that waits for a processor behind compression; compression that delays a decision."""
    seen: list[tuple[int, int]] = []
    granted: list[bool] = []

    def body() -> None:
        granted.append(loop_is_real_time and not scheduling.real_time())
        loop = asyncio.new_event_loop()
        worker: DiskWorker[DiskOp] = DiskWorker(Script(), loop, "committer", urgent=urgent)
        worker.start()
        worker.call(
            lambda: seen.append((os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)),
            lambda _: None,
        )
        worker.stop()
        loop.close()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    policy, priority = seen[0]
    if granted[0] and urgent:
        assert policy & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        assert 0 < priority < scheduling.LOOP_PRIORITY
    else:
        assert (policy, priority) == (os.SCHED_OTHER, 0)
