"""The log: JSON lines on stderr, at and above a level. It never raises.

A log that cannot be written (its reader is gone, its disk is full) must not stop what is being done: lines
that got lost are counted, and the next one that can be written tells how many.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

LEVELS = ("debug", "info", "warning", "error")
_RANKS = {"debug": 0, "info": 1, "warning": 2, "alarm": 3, "error": 3}


class LogBook:
    """Writes lines.

    Attributes:
        lost: Lines that could not be written since one was.
    """

    def __init__(self, level: str, stream: TextIO | None = None) -> None:
        self.level = level
        self.lost = 0
        self._stream = stream

    def __call__(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Write one line; what stderr does not take is counted."""
        if _RANKS.get(level, 1) < LEVELS.index(self.level):
            return
        line = {"time": round(time.time(), 3), "level": level, "event": event, **fields}
        if self.lost:
            line["lines_lost"] = self.lost
        stream = self._stream if self._stream is not None else sys.stderr
        try:
            stream.write(json.dumps(line, default=str) + "\n")
            stream.flush()
        except (OSError, ValueError):
            self.lost += 1
        else:
            self.lost = 0
