"""What a process asked the kernel to do with files below one directory, in order.

`recording` listens to the calls of `os` that the file driver makes, and makes them. So what is recorded is
what the driver does, not what the plan wanted: one that forgets an fsync is seen to forget it.

Paths are relative to the directory, with "/" between parts. Reads are not recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec


class Make(msgspec.Struct, frozen=True, tag=True):
    """A file that was not there is made, empty (open with O_CREAT)."""

    path: str


class MakeDirectory(msgspec.Struct, frozen=True, tag=True):
    """A directory is made."""

    path: str


class Allocate(msgspec.Struct, frozen=True, tag=True):
    """A file is at least `size` bytes long from now on (posix_fallocate)."""

    path: str
    size: int


class Write(msgspec.Struct, frozen=True, tag=True):
    """Bytes at an offset (pwrite)."""

    path: str
    offset: int
    data: bytes


class Resize(msgspec.Struct, frozen=True, tag=True):
    """A file is `size` bytes long from now on (ftruncate, or open with O_TRUNC)."""

    path: str
    size: int


class SyncFile(msgspec.Struct, frozen=True, tag=True):
    """Data and length of a file are durable (fdatasync, fsync)."""

    path: str


class SyncDirectory(msgspec.Struct, frozen=True, tag=True):
    """The names in a directory are durable (fsync of the directory)."""

    path: str


class Rename(msgspec.Struct, frozen=True, tag=True):
    """A file has another name; whatever had it is gone."""

    source: str
    target: str


class Unlink(msgspec.Struct, frozen=True, tag=True):
    """A name is gone."""

    path: str


class PowerCut(msgspec.Struct, frozen=True, tag=True):
    """No call: here the power went, and of what was not synced these stretches of these changes were left.

    `powercut.medium` says what the numbers are.
    """

    kept: Mapping[int, tuple[tuple[int, int], ...]]


Call = (
    Make | MakeDirectory | Allocate | Write | Resize | SyncFile | SyncDirectory | Rename | Unlink | PowerCut
)


class _Listener:
    """Stands in the place of some functions of `os`."""

    def __init__(self, base: Path, take: Callable[[Call], None]) -> None:
        self._base = base.resolve()
        self._take = take
        self._open: dict[int, str | None] = {}
        self._directories: set[int] = set()

    def _relative(self, path: str | os.PathLike[str]) -> str | None:
        try:
            inside = Path(path).relative_to(self._base).as_posix()
        except (TypeError, ValueError):
            return None
        return "" if inside == "." else inside

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        inside = self._relative(path)
        fresh = inside is not None and bool(flags & os.O_CREAT) and not Path(path).exists()
        descriptor = self.real["open"](path, flags, mode, **more)
        if inside is not None:
            self._open[descriptor] = inside
            if flags & os.O_DIRECTORY:
                self._directories.add(descriptor)
            if fresh:
                self._take(Make(inside))
            elif flags & os.O_TRUNC:
                self._take(Resize(inside, 0))
        return int(descriptor)

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._directories.discard(descriptor)
        self.real["close"](descriptor)

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        written: int = self.real["pwrite"](descriptor, data, offset)
        if (path := self._open.get(descriptor)) is not None:
            self._take(Write(path, offset, bytes(memoryview(data)[:written])))
        return written

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        self.real["posix_fallocate"](descriptor, offset, length)
        if (path := self._open.get(descriptor)) is not None:
            self._take(Allocate(path, offset + length))

    def ftruncate(self, descriptor: int, length: int) -> None:
        self.real["ftruncate"](descriptor, length)
        if (path := self._open.get(descriptor)) is not None:
            self._take(Resize(path, length))

    def fsync(self, descriptor: int) -> None:
        self.real["fsync"](descriptor)
        if (path := self._open.get(descriptor)) is not None:
            self._take(SyncDirectory(path) if descriptor in self._directories else SyncFile(path))

    def fdatasync(self, descriptor: int) -> None:
        self.real["fdatasync"](descriptor)
        if (path := self._open.get(descriptor)) is not None:
            self._take(SyncFile(path))

    def mkdir(self, path: Any, mode: int = 0o777, **more: Any) -> None:
        self.real["mkdir"](path, mode, **more)
        if (inside := self._relative(path)) is not None:
            self._take(MakeDirectory(inside))

    def rename(self, source: Any, target: Any, **more: Any) -> None:
        self.real["rename"](source, target, **more)
        before, after = self._relative(source), self._relative(target)
        if before is not None and after is not None:
            self._open = {
                one: after if path == before else None if path == after else path
                for one, path in self._open.items()
            }
            self._take(Rename(before, after))

    def unlink(self, path: Any, **more: Any) -> None:
        self.real["unlink"](path, **more)
        if (inside := self._relative(path)) is not None:
            self._open = {one: None if name == inside else name for one, name in self._open.items()}
            self._take(Unlink(inside))

    names = (
        "open",
        "close",
        "pwrite",
        "posix_fallocate",
        "ftruncate",
        "fsync",
        "fdatasync",
        "mkdir",
        "rename",
        "unlink",
    )
    real: dict[str, Any]


@contextmanager
def recording(base: Path, take: Callable[[Call], None]) -> Iterator[None]:
    """Within the block, `take` is told of every call below `base`, after it was made.

    For one thread: a driver on another thread is heard too, but not in its order.
    """
    listener = _Listener(base, take)
    listener.real = {name: getattr(os, name) for name in _Listener.names}
    for name in _Listener.names:
        setattr(os, name, getattr(listener, name))
    try:
        yield
    finally:
        for name, function in listener.real.items():
            setattr(os, name, function)
