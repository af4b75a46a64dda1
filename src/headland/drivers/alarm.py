"""An alarm clock for an event loop whose own timers count in milliseconds.

Commits begin a millisecond apart: with uvloop's timers that is one or two, or a loop that asks again and
again whether it is time. A timerfd(2) rings to the microsecond and lets the loop sleep until then.

Laws:

* After `set(due)` it rings once, at `due` or later, on the loop; a later `set` replaces an earlier one.
* A moment that has passed rings at the next turn of the loop, after the sockets have been looked at.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

_ABSOLUTE = 1
"""TFD_TIMER_ABSTIME."""
_SECOND_NS = 1_000_000_000


class _Spec(ctypes.Structure):
    """struct itimerspec: interval and value, each (s, ns)."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` at a moment of the monotonic clock.

    Attributes:
        due_ns: When it will ring, monotonic ns, or None.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        """Make one that is not set.

        Raises:
            OSError: The kernel gives no timer.
        """
        self.due_ns: int | None = None
        self._loop = loop
        self._ring = ring
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = _Spec()
        self._soon: asyncio.Handle | None = None
        self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        loop.add_reader(self._file, self._rung)

    def set(self, due_ns: int | None, now_ns: int) -> None:
        """Ring at `due_ns`, or not at all."""
        if due_ns == self.due_ns:
            return
        self.due_ns = due_ns
        if due_ns is not None and due_ns <= now_ns:
            if self._soon is None:
                self._soon = self._loop.call_soon(self._now)
            return
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._spec.value_s, self._spec.value_ns = divmod(due_ns or 0, _SECOND_NS)
        if self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(self._spec), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """Give it back; it does not ring any more."""
        self.set(None, 0)
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _now(self) -> None:
        self._soon = None
        self._ringing()

    def _rung(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return  # set anew since it rang
        self._ringing()

    def _ringing(self) -> None:
        if self.due_ns is not None:
            self.due_ns = None
            self._ring()
