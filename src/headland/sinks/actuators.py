"""Actuations that leave this process: HTTP calls and commands, bounded, each with its time limit.

At most `WAITING_MAX` wait; beyond it an actuation is dropped and said. A command runs without a shell. MQTT
actuations never come here: the node's own broker publishes them.
"""

from __future__ import annotations

import http.client
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import Any

from headland.line.deciding import Actuation

WAITING_MAX = 1_000
THREADS = 4
Log = Callable[[str, str, dict[str, Any]], None]


class Actuators:
    """A few threads that do what rules want done."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._queue: Queue[Actuation | None] = Queue(WAITING_MAX)
        self._threads: list[threading.Thread] = []
        self.done = 0
        self.failed = 0
        self.dropped = 0

    def start(self, actuation: Actuation) -> None:
        """Do it soon; never waits."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
            for thread in self._threads:
                thread.start()
        try:
            self._queue.put_nowait(actuation)
        except Full:
            self.dropped += 1
            self._log("error", "actuation_dropped", {"target": actuation.target, "key": actuation.key.text()})

    def close(self) -> None:
        """Begin nothing more; what runs ends by its own time limit."""
        while True:
            try:
                self._queue.get_nowait()
            except Empty:
                break
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (actuation := self._queue.get()) is not None:
            try:
                if actuation.kind == "http":
                    self._post(actuation)
                else:
                    self._execute(actuation)
            except (
                OSError,
                http.client.HTTPException,  # an answer that is no HTTP, a target with a space in it
                subprocess.SubprocessError,
                ValueError,
            ) as error:
                self.failed += 1
                self._log(
                    "error",
                    "actuation_failed",
                    {"target": actuation.target, "key": actuation.key.text(), "reason": str(error)},
                )
            else:
                self.done += 1

    def _post(self, actuation: Actuation) -> None:
        request = urllib.request.Request(  # noqa: S310 - the target is the operator's own
            actuation.target,
            data=actuation.payload,
            headers={"Idempotency-Key": actuation.key.text(), "Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=actuation.limit_s) as answer:  # noqa: S310
            answer.read(1024)

    def _execute(self, actuation: Actuation) -> None:
        subprocess.run(  # noqa: S603 - the program is the operator's own, without a shell
            [actuation.target, *actuation.arguments],
            input=actuation.payload,
            timeout=actuation.limit_s,
            check=True,
            capture_output=True,
            env={"HEADLAND_KEY": actuation.key.text(), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        )
