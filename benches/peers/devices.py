"""MQTT clients of the trial of losses, as a process: `devices.py PORT PLAN`; prints what was acknowledged.

Paho at QoS 1 with a session that survives a reconnect, a bounded number in flight, numbers that count up.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

REDIAL_S = 1
LATE_S = 10.0
"""How long after the planned end a client that had nobody to send to may go on with what it has left."""


class Device:
    """One client and its topic."""

    def __init__(self, number: int, port: int, window: int) -> None:
        self.topic = f"bench/{number}"
        self.acked: list[int] = []
        self._gate = threading.Semaphore(window)
        self._numbers: dict[int, int] = {}
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self.unanswered = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"device-{number}", clean_session=False
        )
        self._client.max_inflight_messages_set(window)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(REDIAL_S, REDIAL_S)
        self._client.on_publish = lambda _client, _data, mid, *_: self._answered(mid)
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()

    def _answered(self, mid: int) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)  # answered before `publish` has returned
            else:
                self._acked(number)

    def _acked(self, number: int) -> None:
        self.acked.append(number)
        self.unanswered -= 1
        self._gate.release()

    def run(self, rate: float, total: int, until: float, stamp: str) -> None:
        """Publish so many at a pace, until then at the latest: how long the edge takes to come back is not
        to decide how many readings the trial is of."""
        number, latest, begun = 0, 0, time.monotonic()
        while number < total and (now := time.monotonic()) < until:
            if (wait := begun + number / rate - now) > 0:
                time.sleep(wait)
            if not self._gate.acquire(timeout=0.2):
                continue
            number += 1
            latest = max(latest + 1, time.time_ns() // 1_000_000)  # some take a stamp for an identity
            body = b'{"%b":%d,"v":%d}' % (stamp.encode(), latest, number)
            # Not under the lock: Paho holds locks of its own here and where it tells of an answer.
            with self._lock:
                self.unanswered += 1
            mid = self._client.publish(self.topic, body, qos=1).mid
            with self._lock:
                if mid in self._early:
                    self._early.remove(mid)
                    self._acked(number)
                else:
                    self._numbers[mid] = number

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()


def main(port: int, plan: dict[str, Any]) -> None:
    """Run all clients, wait up to 20 s for what is unanswered."""
    devices = [Device(number, port, int(plan["window"])) for number in range(int(plan["clients"]))]
    until = time.monotonic() + plan["seconds"] + LATE_S
    course = plan["rate"], round(plan["rate"] * plan["seconds"]), until, plan["stamp"]
    threads = [threading.Thread(target=one.run, args=course) for one in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled = time.monotonic() + 20
    while any(one.unanswered for one in devices) and time.monotonic() < settled:
        time.sleep(0.02)
    for one in devices:
        one.close()
    sys.stdout.write(json.dumps([[one.topic, number] for one in devices for number in one.acked]))


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
