"""Private files: written so that no other user can read them at any moment, and replaced in one step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
PUBLIC_FILE = 0o644


def make_private_directory(path: Path) -> None:
    """Make `path` (and what leads to it) and let only its owner in.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != PRIVATE_DIRECTORY:
        path.chmod(PRIVATE_DIRECTORY)


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Within it no other process is within `alone` of the same directory; waits for its turn."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write beside, sync, rename, sync the directory: after a crash there is the old file or the new, whole.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_private(path: Path) -> bool:
    """Whether only its owner can read `path`."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077
