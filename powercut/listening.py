"""A disk of a simulated host whose operations the real driver executes too, and is listened to."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headland.drivers.disk import RealDisk
from headland.journal import DiskOp
from headland.simulation.disk import SimulatedDisk
from powercut.calls import Call, PowerCut, recording
from powercut.choosing import draw
from powercut.medium import Kept, Medium
from powercut.placing import DATA, in_memory, on_disk

UNTOLD = ("/lock",)
"""The lock file says who runs, to people; no byte of it is ever read back by a node."""


class Directory:
    """The real directory of one host, and what is durable in it.

    Attributes:
        real: The driver.
    """

    def __init__(self, base: Path, owner: str, heard: Callable[[Call], None]) -> None:
        self._base, self._owner, self._heard = base, owner, heard
        self._medium = Medium()
        self._deaf = False
        self.real: RealDisk | None = None

    @contextmanager
    def listening(self) -> Iterator[ListenedDisk]:
        """Within the block every call is heard; gives a disk, empty."""
        self._base.mkdir(parents=True)
        with recording(self._base, self._hear):
            try:
                self.reopen()
                yield ListenedDisk(self)
            finally:
                self.close()

    def reopen(self) -> None:
        """Another process uses the directory."""
        self.close()
        self.real = RealDisk(self._base / DATA, self._owner)

    def close(self) -> None:
        """The process has ended."""
        if self.real is not None:
            self.real.close()
            self.real = None

    def lose(self, kept: Kept) -> ListenedDisk:
        """The power goes, and leaves these of the pending changes; the disk of the next process."""
        self.close()
        state = self._medium.after(kept)
        self._hear(PowerCut(kept))
        self._deaf = True
        if (self._base / DATA).exists():
            shutil.rmtree(self._base / DATA)
        on_disk(state, self._base)
        self._deaf = False
        self.reopen()
        disk = ListenedDisk(self)
        in_memory(state, disk)
        return disk

    def draw(self, rng: random.Random) -> Kept:
        """Anything that a power cut may leave now."""
        return draw(self._medium.pending(), rng)

    def _hear(self, call: Call) -> None:
        if self._deaf or getattr(call, "path", "").endswith(UNTOLD):
            return
        self._medium.take(call)
        self._heard(call)


class ListenedDisk(SimulatedDisk):
    """Executes every operation twice."""

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory

    def apply(self, op: DiskOp, /) -> None:
        """Execute one operation, in memory and by the driver."""
        super().apply(op)
        assert self._directory.real is not None
        self._directory.real.apply(op)

    def crash(self, rng: random.Random) -> SimulatedDisk:
        """The power goes; anything may be left."""
        return self._directory.lose(self._directory.draw(rng))

    def power_cut(self) -> SimulatedDisk:
        """The power goes; nothing is left of what was not synced."""
        return self._directory.lose({})

    def process_kill(self) -> SimulatedDisk:
        """The process is gone, the page cache is not."""
        self._directory.reopen()
        return self
