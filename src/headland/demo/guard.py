"""Ends a group of processes when whoever holds its standard input is gone, however that ended.

The guard is the first process of the group. End of input (also when the demo itself is killed with SIGKILL)
sends SIGTERM to the whole group and, after a moment, SIGKILL. Run as `python -m headland.demo.guard
SECONDS`.
"""

from __future__ import annotations

import os
import signal
import sys
import time


def main(arguments: list[str]) -> int:
    """Wait for the end of input, then end the group."""
    grace_s = float(arguments[0])
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
