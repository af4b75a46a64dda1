"""One trial of one system, as a process of its own: `turn KEY TRIAL REPEAT SIZES`; prints figures as JSON.

Whatever it starts is in its process group, so that who runs it can end all of it at any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benches.peers import trials
from benches.peers.draining import draining
from benches.peers.headland import Headland
from benches.peers.mosquitto import MosquittoBridge
from benches.peers.nats_leaf import NatsLeaf
from benches.peers.node_red import NodeRed
from benches.peers.system import System
from benches.peers.thingsboard import ThingsBoardGateway
from benches.peers.trials import Sizes

SYSTEMS: dict[str, Callable[[Path], System]] = {
    "headland": Headland,
    "mosquitto-autosave": lambda home: MosquittoBridge(home, "autosave default", ""),
    "mosquitto-1s": lambda home: MosquittoBridge(home, "autosave 1 s", "autosave_interval 1"),
    "mosquitto-each": lambda home: MosquittoBridge(
        home, "autosave each change", "autosave_on_changes true, autosave_interval 1"
    ),
    "nats-default": lambda home: NatsLeaf(home, "default"),
    "nats-always": lambda home: NatsLeaf(home, "always"),
    "thingsboard-file": lambda home: ThingsBoardGateway(home, "file"),
    "thingsboard-sqlite": lambda home: ThingsBoardGateway(home, "SQLite"),
    "node-red": NodeRed,
}
TRIALS: dict[str, Callable[[System, int, Sizes], Any]] = {
    "losing": lambda system, repeat, _: trials.losing(system, repeat),
    "taking": lambda system, _, sizes: trials.taking(system, sizes),
    "carrying": lambda system, _, sizes: trials.carrying(system, sizes),
    "draining": lambda system, _, sizes: draining(system, sizes),
}
TURN_S = 150.0
"""No trial takes longer; one that does is ended, with all it started."""


class Turn(msgspec.Struct):
    """What a trial found.

    Attributes:
        name: Of the system, in the tables.
        how: Its configuration.
        durable: Whether an acknowledgement is said to be on disk.
        figures: By name; None where it was not measured.
        remarks: What must be said beside them.
        trouble: Why there are no figures; "" where there are.
    """

    name: str
    how: str
    durable: bool
    figures: dict[str, float | None] = {}
    remarks: list[str] = []
    trouble: str = ""


def run(key: str, trial: str, repeat: int, sizes: Sizes) -> Turn:
    """One trial in a process of its own; whatever happens there is a turn, and nothing of it is left."""
    asked = msgspec.json.encode(sizes).decode()
    try:
        out = output([sys.executable, "-m", "benches.peers.turn", key, trial, str(repeat), asked], TURN_S)
        return msgspec.json.decode(out, type=Turn)
    except subprocess.TimeoutExpired:
        return _failed(key, f"not ended after {TURN_S:g} s")
    except (subprocess.CalledProcessError, msgspec.DecodeError) as problem:
        return _failed(key, f"the trial itself failed: {problem}")


def output(command: list[str], limit_s: float) -> bytes:
    """What a command prints; then, or when its time is over, it is ended with all that it has started.

    Raises:
        TimeoutExpired: It took longer.
        CalledProcessError: It ended with another code than 0.
    """
    # Into a file: of a pipe, a server that it has left behind would hold the other end.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, start_new_session=True)
        try:
            code = process.wait(limit_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            raise subprocess.CalledProcessError(code, command[:6])
        out.seek(0)
        return out.read()


def _failed(key: str, why: str) -> Turn:
    with tempfile.TemporaryDirectory() as work:
        system = SYSTEMS[key](Path(work) / "named")
        return Turn(system.name, system.how, system.durable, trouble=why)


def here(make: Callable[[Path], System], trial: str, repeat: int, sizes: Sizes) -> Turn:
    """One trial in this process; an error is a turn without figures."""
    with tempfile.TemporaryDirectory(prefix="headland-peers-", ignore_cleanup_errors=True) as work:
        system = make(Path(work) / trial)
        turn = Turn(system.name, system.how, system.durable)
        try:
            system.start()
            figures = msgspec.to_builtins(TRIALS[trial](system, repeat, sizes))
            turn.remarks = figures.pop("remarks", [])
            turn.figures = figures
        except Exception as problem:  # noqa: BLE001 - one system must not end the comparison
            traceback.print_exc(file=sys.stderr)
            turn.trouble = (str(problem).strip() or type(problem).__name__).splitlines()[-1][-300:]
        finally:
            system.stop()
    return turn


def _main(key: str, trial: str, repeat: str, sizes: str) -> None:
    found = here(SYSTEMS[key], trial, int(repeat), msgspec.json.decode(sizes, type=Sizes))
    sys.stdout.write(json.dumps(msgspec.to_builtins(found)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
