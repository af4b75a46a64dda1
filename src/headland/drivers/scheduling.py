"""Real-time scheduling of the loop's thread, where the machine permits it.

Under SCHED_FIFO the thread that decides runs before compression, fsync and all else on its core; threads made
from it fall back to SCHED_OTHER (SCHED_RESET_ON_FORK). See sched(7).
"""

from __future__ import annotations

import os

LOOP_PRIORITY = 10
"""Low among real-time priorities: below the kernel's own interrupt threads (50)."""


def real_time(priority: int = LOOP_PRIORITY) -> str:
    """Put the calling thread under SCHED_FIFO; returns "" or the reason why it was refused."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror} (needs CAP_SYS_NICE or LimitRTPRIO={priority} or more)"
    return ""


def ordinary() -> None:
    """Put the calling thread back under SCHED_OTHER; never refused for one's own thread."""
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            return
