"""What a supervisor and an operator tell the process, and it them: systemd's notifications, signals.

sd_notify(3): datagrams to the socket named by NOTIFY_SOCKET (a leading "@" stands for an abstract one).
Without it every call does nothing, so the same program runs under systemd, in a container and in a terminal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping


class Supervisor:
    """Notifications to systemd; each is sent at once and never waits, a full socket loses it.

    Attributes:
        watchdog_s: Interval in which `alive` is expected (WatchdogSec=), None for none.
    """

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environ, os.getpid() if pid is None else pid)

    def ready(self, status: str = "") -> None:
        """Start is complete: listeners are open."""
        self._send("READY=1", status)

    def reloading(self, monotonic_us: int) -> None:
        """A reload has begun (Type=notify-reload); `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}")

    def stopping(self, status: str = "") -> None:
        """Stop has begun."""
        self._send("STOPPING=1", status)

    def alive(self) -> None:
        """The loop turns; call it at half of `watchdog_s` or faster."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("", text)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, status: str = "") -> None:
        if self._socket is None:
            return
        if status:
            message += f"\nSTATUS={' '.join(status.split())}"
        try:
            self._socket.sendto(message.strip().encode(), self._address)
        except OSError:
            return


def keep_alive(supervisor: Supervisor, loop: asyncio.AbstractEventLoop, healthy: Callable[[], bool]) -> None:
    """Tell the watchdog from the loop itself, three times an interval, for as long as `healthy` says so."""
    watchdog_s = supervisor.watchdog_s
    if watchdog_s is None:
        return

    def turn() -> None:
        if healthy():
            supervisor.alive()
        loop.call_later(watchdog_s / 3, turn)

    turn()


def on_signals(
    loop: asyncio.AbstractEventLoop, *, stop: Callable[[], None], reload: Callable[[], None]
) -> None:
    """SIGTERM and SIGINT call `stop` (a second one ends the process at once), SIGHUP calls `reload`."""
    asked = False

    def stop_once() -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_once)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    text = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", str(pid))
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 and meant_for == str(pid) else None
