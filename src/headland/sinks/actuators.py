"""Actuations that leave this process: HTTP calls and commands, each in its turn, while its reading is young.

Laws:

* An actuation whose reading is too old when its turn comes is not begun.
* The most urgent waiting one that can be done is done next; those of one class for one target keep their
  order (a start never overtakes the stop before it).
* One target (a server, a program) has at most one in hand per class: one that hangs delays its own class at
  that target, and nobody else. `THREADS_MAX` may be in hand in all, the last `CRITICAL_THREADS` of them only
  critical ones.
* `PER_TARGET_MAX` of a class wait for a target, `WAITING_MAX` in all. Beyond it one of the class goes: the
  oldest for that target, which would be too old first. Each is answered once: done, failed, late or dropped.

MQTT actuations never come here: the node's own broker publishes them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from queue import SimpleQueue

import msgspec

from headland.drivers import scheduling
from headland.line.deciding import Actuation, Outcome, Reference
from headland.sinks.doing import Trouble, execute
from headland.vocabulary import Priority

WAITING_MAX = 1_000
PER_TARGET_MAX = 100
THREADS_MAX = 64
CRITICAL_THREADS = 8
IDLE_S = 60.0
"""A thread without anything to do ends after so long."""

Tell = Callable[[Actuation, Outcome, str], None]
"""Told from any thread what became of one, and why."""


class _Lane(msgspec.Struct, eq=False):
    """What waits for one target, of one class, in order of arrival; `busy` while one is in hand."""

    urgency: Priority
    waiting: deque[Actuation]
    busy: bool = False


class Actuators:
    """Threads that do what rules want done; they begin when they are needed, but for one that sorts."""

    def __init__(
        self,
        tell: Tell,
        reveal: Callable[[Reference], str],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make it idle.

        Args:
            tell: Is told what became of each.
            reveal: The secret behind a reference; raises a `HeadlandError`.
            monotonic_ns: The clock that `Actuation.not_after_ns` is of.
        """
        self._tell = tell
        self._reveal = reveal
        self._now_ns = monotonic_ns
        self._arrived: SimpleQueue[Actuation | Collection[str] | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._lanes: dict[tuple[str, Priority], _Lane] = {}
        self._waiting = 0
        self._busy = 0
        self._idle = 0
        self._threads = 0
        self._closed = False
        threading.Thread(target=self._sort, name="actuators", daemon=True).start()

    def expect(self, kinds: Collection[str]) -> None:
        """Have at hand what actuations of these kinds are done with, before the first of them arrives."""
        self._arrived.put(kinds)

    def start(self, actuation: Actuation) -> None:
        """Do it as soon as its turn comes; never waits, not even for a thread that holds a lock."""
        self._arrived.put(actuation)

    def _sort(self) -> None:
        """Give each its lane, in order of arrival."""
        scheduling.ordinary()
        while (arrived := self._arrived.get()) is not None:
            if isinstance(arrived, Actuation):
                self._place(arrived)
            elif "http" in arrived:
                import headland.sinks.posting  # noqa: F401 - see there

    def _place(self, actuation: Actuation) -> None:
        dropped: list[Actuation] = []
        with self._changed:
            if self._closed:
                return
            place = (target_of(actuation), actuation.urgency)
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane(actuation.urgency, deque())
            lane.waiting.append(actuation)
            self._waiting += 1
            if len(lane.waiting) > PER_TARGET_MAX:
                dropped.append(self._drop(lane))
            elif self._waiting > WAITING_MAX:
                full = [one for one in self._lanes.values() if one.waiting]
                dropped.append(self._drop(max(full, key=lambda one: (one.urgency, len(one.waiting)))))
            self._call_a_thread()
        for one in dropped:
            self._tell(one, Outcome.DROPPED, "too many wait")

    def close(self) -> None:
        """Begin nothing more; what runs ends by its own time limit."""
        self._arrived.put(None)
        with self._changed:
            self._closed = True
            self._lanes.clear()
            self._changed.notify_all()

    def _call_a_thread(self) -> None:
        ready = len(self._ready())
        if ready and self._idle:
            self._changed.notify()
        if ready > self._idle and self._threads < THREADS_MAX:
            thread = threading.Thread(target=self._work, name="actuator", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads: those that there are do it
                thread.start()
                self._threads += 1

    def _drop(self, lane: _Lane) -> Actuation:
        self._waiting -= 1
        return lane.waiting.popleft()

    def _ready(self) -> list[_Lane]:
        full = self._busy >= THREADS_MAX - CRITICAL_THREADS
        return [
            lane
            for lane in self._lanes.values()
            if lane.waiting and not lane.busy and (lane.urgency == Priority.CRITICAL or not full)
        ]

    def _next(self) -> _Lane | None:
        """The lane whose first is to be done now, or None."""
        return min(self._ready(), key=lambda lane: (lane.urgency, lane.waiting[0].not_after_ns), default=None)

    def _work(self) -> None:
        scheduling.ordinary()
        while True:
            with self._changed:
                lane = self._next()
                if lane is None and not self._closed:
                    self._idle += 1
                    self._changed.wait(IDLE_S)
                    self._idle -= 1
                    lane = self._next()
                if lane is None or self._closed:
                    self._threads -= 1
                    return
                actuation = lane.waiting.popleft()
                self._waiting -= 1
                self._busy += 1
                lane.busy = True
            try:
                outcome, why = self._do(actuation)
            finally:
                with self._changed:
                    self._busy -= 1
                    lane.busy = False
                    if not lane.waiting:
                        self._lanes.pop((target_of(actuation), actuation.urgency), None)
            self._tell(actuation, outcome, why)

    def _do(self, actuation: Actuation) -> tuple[Outcome, str]:
        late_ns = self._now_ns() - actuation.not_after_ns
        if late_ns > 0:
            return Outcome.LATE, f"its turn came {late_ns / 1e9:.3f} s too late"
        try:
            if actuation.kind == "http":
                from headland.sinks.posting import post

                secret = actuation.authorization
                post(actuation, "" if secret is None else self._reveal(secret))
            else:
                execute(actuation)
        except Trouble as trouble:
            return Outcome.FAILED, str(trouble)
        except Exception as error:  # noqa: BLE001 - one actuation fails, not the thread that does the next
            return Outcome.FAILED, f"{type(error).__name__}: {error}"
        return Outcome.DONE, ""


def target_of(actuation: Actuation) -> str:
    """What an actuation waits for: a server, or a program."""
    if actuation.kind != "http":
        return actuation.target
    return actuation.target.partition("://")[2].partition("/")[0].partition("?")[0]
