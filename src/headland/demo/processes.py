"""All processes of the demo: one group of their own, ended whatever happens to the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

GUARD_GRACE_S = 2.0
STOP_S = 15.0


class Child:
    """One process of the group, with its stderr in a file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    async def kill(self) -> None:
        """SIGKILL, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self, within_s: float = STOP_S) -> int:
        """SIGTERM, wait, and SIGKILL if that takes too long; the exit code."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), within_s)
            except TimeoutError:
                await self.kill()
        assert self.process.returncode is not None
        return self.process.returncode

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class ProcessGroup:
    """Starts children; `group` makes one and ends it."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._children: list[Child] = []

    async def start(self, name: str, arguments: list[str], log: Path, environment: dict[str, str]) -> Child:
        """Start `python -m ARGUMENTS` in the group, its stderr appended to `log`."""
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **environment},
                process_group=self._leader,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    async def end(self) -> None:
        """Stop all children at once."""
        await asyncio.gather(*(child.stop() for child in self._children if child.running))


@contextlib.asynccontextmanager
async def group() -> AsyncIterator[ProcessGroup]:
    """A process group whose members do not outlive this block, nor this process."""
    read_end, write_end = os.pipe()
    guard = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headland.demo.guard",
        str(GUARD_GRACE_S),
        stdin=read_end,
        process_group=0,
    )
    os.close(read_end)
    processes = ProcessGroup(guard.pid)
    try:
        yield processes
    finally:
        try:
            await processes.end()
        finally:
            # The guard leads the group: it is killed last, and takes along whoever is left.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(guard.pid, signal.SIGKILL)
            await guard.wait()
            os.close(write_end)
