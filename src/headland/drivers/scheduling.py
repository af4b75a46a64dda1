"""Real-time scheduling of the loop's thread, where the machine permits it, and turns of the interpreter.

Under SCHED_FIFO the thread that decides runs before compression, reads and all else on its core; threads made
from it fall back to SCHED_OTHER (SCHED_RESET_ON_FORK). The thread that commits mostly waits, and every
acknowledgement waits for it: it follows one step behind. See sched(7).
"""

from __future__ import annotations

import os
import sys
import time

LOOP_PRIORITY = 10
"""Low among real-time priorities: below the kernel's own interrupt threads (50)."""
COMMIT_PRIORITY = LOOP_PRIORITY - 1
TURN_S = 0.0003
"""How long a thread may keep the interpreter while another asks for it. CPython's own 5 ms would be the wait
of a decision behind a block that is being encoded, and several times that of a commit behind a busy loop."""


def short_turns() -> None:
    """Let no thread of this process keep the interpreter for long."""
    sys.setswitchinterval(TURN_S)


def real_time(priority: int = LOOP_PRIORITY) -> str:
    """Put the calling thread under SCHED_FIFO; returns "" or the reason why it was refused."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror} (needs CAP_SYS_NICE or LimitRTPRIO={priority} or more)"
    return ""


def is_real_time() -> bool:
    """Whether the calling thread runs under SCHED_FIFO."""
    if not hasattr(os, "sched_getscheduler"):
        return False
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO


def ordinary() -> None:
    """Put the calling thread back under SCHED_OTHER; never refused for one's own thread."""
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            return


class Breath:
    """Keeps a real-time thread below the share of a processor at which the kernel would stop it.

    Linux lets real-time threads have at most 95 % of each second (sched_rt_runtime_us): one that is always
    busy stands still for 50 ms then. So a busy loop rests by itself, less than a millisecond at a time, in
    which everything else on its processor has its turn.
    """

    WINDOW_NS = 10_000_000
    SHARE = 0.92

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()
        self._used_ns = time.thread_time_ns()

    def take(self) -> None:
        """Call it between events, on the thread that it is about; mostly it only looks at the clock."""
        now_ns = time.monotonic_ns()
        if now_ns - self._began_ns < self.WINDOW_NS:
            return
        used_ns = time.thread_time_ns()
        rest_ns = (used_ns - self._used_ns) / self.SHARE - (now_ns - self._began_ns)
        if rest_ns > 0:
            time.sleep(rest_ns / 1e9)
            now_ns = time.monotonic_ns()
        self._began_ns, self._used_ns = now_ns, used_ns
