"""An actuator that answers nonsense costs one actuation, never the threads that do the others."""

from __future__ import annotations

import socket
import threading
import time

from headland.line.deciding import Actuation
from headland.line.deciding.actuation import ActuationKey
from headland.sinks.actuators import THREADS, Actuators

KEY = ActuationKey("rule", "series", 1)


def posted(target: str) -> Actuation:
    return Actuation("http", target, b"1", KEY, 2.0)


def until(done: Actuators, count: int) -> None:
    end = time.monotonic() + 20
    while done.done + done.failed < count and time.monotonic() < end:
        time.sleep(0.01)


def test_answers_that_are_no_http_and_targets_that_are_no_url_do_not_end_the_threads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = [b"nonsense\r\n\r\n"] * THREADS + [b"HTTP/1.1 204 \r\n\r\n"]

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        logged: list[str] = []
        actuators = Actuators(lambda _level, event, _fields: logged.append(event))
        for _ in range(THREADS):
            actuators.start(posted(f"http://127.0.0.1:{port}/bell"))
        until(actuators, THREADS)
        for _ in range(THREADS):
            actuators.start(posted(f"http://127.0.0.1:{port}/a bell"))
        until(actuators, 2 * THREADS)
        actuators.start(posted(f"http://127.0.0.1:{port}/bell"))
        until(actuators, 2 * THREADS + 1)
        actuators.close()
    assert (actuators.done, actuators.failed) == (1, 2 * THREADS)
    assert logged == ["actuation_failed"] * 2 * THREADS
