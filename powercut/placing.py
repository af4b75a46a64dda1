"""Puts the files of a state where a node can be recovered from them: in memory, or in a directory."""

from __future__ import annotations

from pathlib import Path

from headland.journal.plan import Create, Sync, SyncDir, Write
from headland.simulation.disk import SimulatedDisk
from powercut.medium import State

DATA = "data"
"""The data directory, below the directory that is listened to."""
NODE_DIRECTORIES = ("journal/", "checkpoint/", "outbox/", "store/")


def in_memory(state: State, disk: SimulatedDisk | None = None) -> SimulatedDisk:
    """The files of a state on a simulated disk, durable."""
    disk = SimulatedDisk() if disk is None else disk
    for path, data in state.files.items():
        inside = path.removeprefix(f"{DATA}/")
        if inside.startswith(NODE_DIRECTORIES):
            for op in (Create(inside, len(data)), Write(inside, 0, data), Sync(inside)):
                SimulatedDisk.apply(disk, op)
            SimulatedDisk.apply(disk, SyncDir(inside.rpartition("/")[0]))
    return disk


def on_disk(state: State, folder: Path) -> Path:
    """The files of a state in a directory; the data directory, which may not be there."""
    folder.mkdir(parents=True, exist_ok=True)
    for directory in sorted(state.directories - {""}):
        (folder / directory).mkdir()
    for path, data in state.files.items():
        (folder / path).write_bytes(data)
    return folder / DATA
