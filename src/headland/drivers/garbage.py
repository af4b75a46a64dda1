"""When the interpreter looked for garbage, and for how long: it stops every thread meanwhile."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


class Garbage:
    """Tells of every collection from its making on."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        """`tell` is given begin and end, monotonic ns, on whichever thread it happened."""
        self._tell = tell
        self._begun_ns = 0
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._begun_ns = time.monotonic_ns()
        elif self._begun_ns:
            self._tell(self._begun_ns, time.monotonic_ns())

    def close(self) -> None:
        """Tell of no more."""
        if self._heard in gc.callbacks:
            gc.callbacks.remove(self._heard)
