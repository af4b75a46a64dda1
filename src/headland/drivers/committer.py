"""Threads that execute disk operations in order and post the outcome back to the event loop.

Laws:

* Plans given to one worker are executed in the order given, each operation after the one before it is done.
* Every job is answered exactly once, on the loop, in the order given.
* `NoSpace` means that a preallocation of the plan found no space and nothing after it was executed; the
  worker goes on. Any other error is `Failed`, and from then on the worker executes nothing: every later plan
  is answered `Failed` too, because what the kernel does with unsynced pages after an error is unknown.
* A worker thread runs under SCHED_OTHER, whatever the loop's thread runs under.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

import msgspec

from headland.drivers import scheduling
from headland.journal.plan import Create

T = TypeVar("T")
Op = TypeVar("Op")
OpIn = TypeVar("OpIn", contravariant=True)


class Disk(Protocol[OpIn]):
    """What a worker needs of a disk; raises OSError."""

    def apply(self, op: OpIn, /) -> None:
        """Execute one operation, fully."""
        ...


class Done(msgspec.Struct, frozen=True, gc=False):
    """All of it happened."""


class NoSpace(msgspec.Struct, frozen=True, gc=False):
    """A preallocation found no space; nothing after it was executed."""

    detail: str


class Failed(msgspec.Struct, frozen=True, gc=False):
    """An operation failed; nothing may be acknowledged any more."""

    detail: str


Outcome = Done | NoSpace | Failed
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_DONE = Done()


class DiskWorker(Generic[Op]):
    """One thread over one disk.

    `execute` takes a list of operations and tells the outcome; `call` takes any function that blocks on the
    disk (reading a block) and tells its result or the error it raised. Both callbacks run on the loop.
    """

    def __init__(
        self, disk: Disk[Op], loop: asyncio.AbstractEventLoop, name: str, *, urgent: bool = False
    ) -> None:
        """Make a worker.

        Args:
            disk: What it works on.
            loop: Where outcomes are told.
            name: Of its thread.
            urgent: Real-time, one step behind the thread that starts it, if that one is.
        """
        self._urgent = urgent
        self._disk = disk
        self._loop = loop
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._broken = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False
        self.waiting = 0
        """Jobs given and not yet answered."""

    def start(self) -> None:
        """Start the thread."""
        self._started = True
        self._urgent = self._urgent and scheduling.is_real_time()
        self._thread.start()

    def execute(self, ops: Sequence[Op], tell: Callable[[Outcome], None]) -> None:
        """Execute `ops` in order, then tell."""
        self.waiting += 1
        self._jobs.put(lambda: self._post(tell, self._execute(ops)))

    def call(self, work: Callable[[], T], tell: Callable[[T | Exception], None]) -> None:
        """Run `work` on the thread, in turn with the rest, then tell what it returned or raised."""
        self.waiting += 1
        self._jobs.put(lambda: self._post(tell, _attempt(work)))

    def stop(self) -> None:
        """Execute what was given, then end the thread; waits for it."""
        if self._started:
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        if not self._urgent or scheduling.real_time(scheduling.COMMIT_PRIORITY):
            scheduling.ordinary()
        while (job := self._jobs.get()) is not None:
            job()

    def _execute(self, ops: Sequence[Op]) -> Outcome:
        if self._broken:
            return Failed(self._broken)
        op: Op | None = None
        try:
            for op in ops:
                self._disk.apply(op)
        except OSError as error:
            detail = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
            if error.errno in _NO_SPACE and isinstance(op, Create):
                return NoSpace(detail)
            self._broken = detail
            return Failed(detail)
        except Exception as error:  # noqa: BLE001 - a defect in here must stop the acknowledgements, not the thread
            self._broken = f"{type(error).__name__}: {error}"
            return Failed(self._broken)
        return _DONE

    def _post(self, tell: Callable[[T], None], result: T) -> None:
        try:
            self._loop.call_soon_threadsafe(self._tell, tell, result)
        except RuntimeError:
            return  # the loop has been closed: nobody is left to be told

    def _tell(self, tell: Callable[[T], None], result: T) -> None:
        self.waiting -= 1
        tell(result)


def _attempt(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - handed to the one who asked
        return error
