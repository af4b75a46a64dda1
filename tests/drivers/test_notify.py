"""What a supervisor hears."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from headland.node.notify import Supervisor, keep_alive, on_signals


class Ear:
    """The supervisor's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_hears_ready_alive_status_reload_and_stop(tmp_path: Path, abstract: bool) -> None:
    name = f"headland-test-{os.getpid()}"
    path = str(tmp_path / "notify")
    ear = Ear(f"\0{name}" if abstract else path)
    voice = Supervisor({"NOTIFY_SOCKET": f"@{name}" if abstract else path})
    voice.ready("listening\non 1883")
    voice.alive()
    voice.status("draining")
    voice.reloading(5)
    voice.stopping()
    assert ear.heard() == [
        "READY=1\nSTATUS=listening on 1883",
        "WATCHDOG=1",
        "STATUS=draining",
        "RELOADING=1\nMONOTONIC_USEC=5",
        "STOPPING=1",
    ]
    ear.socket.close()
    voice.ready()
    voice.close()
    voice.ready()


def test_without_a_supervisor_nothing_happens() -> None:
    voice = Supervisor({})
    voice.ready()
    assert voice.watchdog_s is None


def test_the_watchdog_is_meant_for_this_process_or_for_none() -> None:
    assert Supervisor({"WATCHDOG_USEC": "30000000"}).watchdog_s == 30.0
    assert Supervisor({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30.0
    assert Supervisor({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Supervisor({"WATCHDOG_USEC": "never"}).watchdog_s is None


def test_the_watchdog_hears_the_loop_only_while_it_is_healthy(tmp_path: Path) -> None:
    ear = Ear(str(tmp_path / "notify"))

    async def body() -> tuple[int, int]:
        well = True
        voice = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"})
        keep_alive(voice, asyncio.get_running_loop(), lambda: well)
        heard: list[str] = []
        while len(heard) < 3:
            await asyncio.sleep(0.005)
            heard += ear.heard()
        well = False
        await asyncio.sleep(0.05)
        ear.heard()
        await asyncio.sleep(0.05)
        voice.close()
        return len(heard), len(ear.heard())

    alive, ill = asyncio.run(body())
    assert alive >= 3
    assert ill == 0
    ear.socket.close()


def test_signals_call_stop_once_and_reload_each_time() -> None:
    async def body() -> list[str]:
        heard: list[str] = []
        on_signals(
            asyncio.get_running_loop(),
            stop=lambda: heard.append("stop"),
            reload=lambda: heard.append("reload"),
        )
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.02)
        return heard

    assert asyncio.run(body()) == ["reload", "reload", "stop"]
