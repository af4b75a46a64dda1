"""Disks of the harness below a node's data directory: a small tmpfs, an ext4 in a file of its own.

Both are mounted in the campaign's own mount namespace and end with it. The ext4 can be frozen (every write
and sync waits), can report an error and so become read-only, and can lose what was written and not synced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from pathlib import Path

from headland.vocabulary import HeadlandError

RUN_S = 20.0
IMAGE_BYTES = 144 << 20


async def run(*command: str) -> str:
    """Run a command to its end; what it said.

    Raises:
        HeadlandError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), RUN_S)
    if process.returncode:
        raise HeadlandError(f"{' '.join(command)}: {said.decode(errors='replace').strip()}")
    return said.decode(errors="replace")


async def unmount(place: Path) -> None:
    """Take a disk away, whoever uses it."""
    with contextlib.suppress(HeadlandError):
        await run("umount", "-l", str(place))


class SmallDisk:
    """A tmpfs of so many bytes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"

    async def mount(self, size: int) -> None:
        """Put it in place, empty."""
        self.place.mkdir(exist_ok=True)
        await run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(self.place))

    def fill(self) -> tuple[int, int]:
        """Take every byte that is left; how many they were, and how often the kernel said ENOSPC."""
        taken = 0
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                while True:
                    try:
                        taken += os.write(file.fileno(), bytes(size))
                    except OSError as problem:
                        if problem.errno != errno.ENOSPC:
                            raise
                        break
        return taken, 2

    def empty(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


class FileDisk:
    """An ext4 in a file, mounted through a loop device."""

    def __init__(self, place: Path, image: Path) -> None:
        self.place = place
        self._image = image
        self._cuts = 0

    async def mount(self) -> None:
        """Make it and put it in place, empty."""
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        await run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", str(self._image))
        await self._mount()

    async def _mount(self) -> None:
        self.place.mkdir(exist_ok=True)
        # Nothing is written back by itself for a long time: only what is synced gets into the image.
        options = "loop,errors=remount-ro,commit=300"
        await run("mount", "-t", "ext4", "-o", options, str(self._image), str(self.place))
        self.place.chmod(0o700)

    async def freeze(self, seconds: float) -> None:
        """Let every write and sync wait for so long, and return then.

        A process of its own session thaws it, so that it is thawed even if this one is killed.
        """
        place = str(self.place)
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            'fsfreeze -f "$0" && sleep "$1"; fsfreeze -u "$0"',
            place,
            f"{seconds:.2f}",
            start_new_session=True,
        )
        if await asyncio.wait_for(process.wait(), seconds + RUN_S):
            raise HeadlandError(f"{place} could not be frozen")

    async def report_error(self) -> bool:
        """Let the file system find an error in itself; whether writing is refused with EROFS since."""
        device = Path((await run("findmnt", "-n", "-o", "SOURCE", str(self.place))).strip()).name
        return self._report(Path(f"/sys/fs/ext4/{device}/trigger_fs_error"))

    def _report(self, trigger: Path) -> bool:
        trigger.write_text("1")
        try:
            (self.place / "probe").write_bytes(b"1")
        except OSError as problem:
            return problem.errno == errno.EROFS
        return False

    async def again(self) -> None:
        """Unmount it and mount it anew; nobody may use it."""
        await run("umount", str(self.place))
        await self._mount()

    async def cut_power(self) -> tuple[bool, int]:
        """Forget what was not synced; nobody may use it.

        Returns:
            Whether a file that was written and not synced is gone, and in how many bytes other files differ.
        """
        canary = self.place / "canary"
        canary.write_bytes(b"written, not synced")
        before = self._contents()
        self._cuts += 1
        copy = self._image.with_name(f"{self._image.name}-{self._cuts}")
        # --sparse, and from the image, not from what the kernel still holds above it.
        await run("cp", "--sparse=always", str(self._image), str(copy))
        await run("umount", str(self.place))
        self._image.unlink()
        self._image = copy
        await self._mount()
        after = self._contents()
        differing = sum(_differing(before.get(name, b""), after.get(name, b"")) for name in before | after)
        return not canary.exists(), differing - (0 if canary.exists() else 19)

    def _contents(self) -> dict[Path, bytes]:
        found = {}
        for path in self.place.rglob("*"):
            if path.is_file() and "lost+found" not in path.parts:
                with contextlib.suppress(FileNotFoundError):
                    found[path] = path.read_bytes()
        return found


def _differing(left: bytes, right: bytes) -> int:
    if left == right:
        return 0
    step = 4096
    size = max(len(left), len(right))
    return sum(
        min(step, size - at) for at in range(0, size, step) if left[at : at + step] != right[at : at + step]
    )
