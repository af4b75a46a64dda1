"""How a program is run for an actuation, within its time limit.

It runs without a shell, in a session of its own: past its limit all of it is killed. What it prints goes
nowhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from headland.line.deciding import Actuation
from headland.line.deciding.actuation import PROGRAMS


class Trouble(Exception):
    """It was not done, and why."""


def execute(actuation: Actuation) -> None:
    """Run an actuation's program.

    Raises:
        Trouble: It could not be started, took too long (it and what it started are killed), or did not end
            with 0.
    """
    try:
        running = subprocess.Popen(  # noqa: S603 - the program is the operator's own, without a shell
            [actuation.target, *actuation.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HEADLAND_KEY": actuation.key.text(), "PATH": PROGRAMS},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise Trouble(str(error)) from None
    with running:
        try:
            running.communicate(actuation.payload, timeout=actuation.limit_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(running.pid, signal.SIGKILL)
            raise Trouble(f"not done after {actuation.limit_s:g} s") from None
    if running.returncode:
        raise Trouble(f"ended with {running.returncode}")
