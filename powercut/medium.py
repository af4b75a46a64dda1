"""A disk as the calls leave it: what is durable, and what a power cut may take or leave.

The model, weaker than any one file system (ALICE, OSDI 2014, calls the like a persistence model):

* Data of a write is durable when its file is synced. Before, any of its sectors may be there, whatever was
  written earlier or later; those that are not show what was there before (zeros where nothing was).
* The length of a file is durable when the file is synced. Before, each change of it is there or not: a file
  may be long and hold zeros where its writes have not arrived.
* A name (made, renamed, removed) is durable when its directory is synced. Before, each change is there or
  not, whatever came earlier or later, however durable the file itself is. A rename is atomic.
* Nothing decays: what was durable stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from powercut import calls

Pieces = tuple[tuple[int, int], ...]
"""Stretches (from, to) of a write, counted from its first byte."""
Kept = Mapping[int, Pieces]
"""What a power cut leaves: number of a change -> stretches of it; a length or a name is there whole."""
ALL: Pieces = ((0, 1 << 62),)


class Change(msgspec.Struct, frozen=True):
    """Something that is not durable yet.

    Attributes:
        number: Of all changes, in order.
        path: Whose it is.
        kind: data, length or name.
        offset: Of data, where it begins; of a length, what it is.
        data: What was written.
    """

    number: int
    path: str
    kind: str
    offset: int = 0
    data: bytes = b""


class _File:
    """A file or (with `directory`) a directory."""

    def __init__(self, number: int, *, directory: bool = False) -> None:
        self.number = number
        self.directory = directory
        self.version = 0
        self.durable = b""
        self.live = bytearray()
        self.changes: list[Change] = []

    def after(self, kept: Kept) -> bytes:
        """Its bytes after a power cut."""
        if not any(change.number in kept for change in self.changes):
            return self.durable
        out, size = bytearray(self.durable), len(self.durable)
        for change in self.changes:
            pieces = kept.get(change.number, ())
            if pieces and change.kind == "length":
                size = change.offset
                del out[size:]
                continue
            for begin, end in pieces:
                _put(out, change.offset + begin, change.data[begin:end])
        del out[size:]
        return bytes(out) + bytes(size - len(out))


class State(msgspec.Struct, frozen=True):
    """Files after a power cut.

    Attributes:
        directories: Those that are there.
        files: Path -> bytes.
    """

    directories: frozenset[str]
    files: dict[str, bytes]


class Medium:
    """Takes calls, and tells what a power cut after the last of them may leave."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._name_changes: list[tuple[Change, dict[str, _File | None]]] = []
        self._numbers = 0

    def take(self, call: calls.Call) -> None:
        """One more call was made."""
        match call:
            case calls.Make(path):
                self._rename({path: _File(self._number())}, path)
            case calls.MakeDirectory(path):
                self._rename({path: _File(self._number(), directory=True)}, path)
            case calls.Allocate(path, size):
                if size > len(self._names[path].live):
                    self._resize(path, size)
            case calls.Write(path, offset, data):
                file = self._names[path]
                if offset + len(data) > len(file.live):
                    self._resize(path, offset + len(data))
                _put(file.live, offset, data)
                file.changes.append(Change(self._number(), path, "data", offset, data))
            case calls.Resize(path, size):
                self._resize(path, size)
            case calls.SyncFile(path):
                file = self._names[path]
                if file.changes:
                    file.durable, file.version = bytes(file.live), self._number()
                    file.changes = []
            case calls.SyncDirectory(path):
                self._sync_names(path)
            case calls.Rename(source, target):
                self._rename({source: None, target: self._names[source]}, target)
            case calls.Unlink(path):
                self._rename({path: None}, path)
            case calls.PowerCut(kept):
                self._begin_again(self.after(kept))
            case _:
                assert_never(call)

    def pending(self) -> list[Change]:
        """What is not durable, in order."""
        found = [change for change, _ in self._name_changes]
        for file in self._everything():
            found += file.changes
        return sorted(found, key=lambda change: change.number)

    def durable_key(self) -> tuple[tuple[str, int, int], ...]:
        """Equal as long as nothing that is durable changes."""
        return tuple((path, file.number, file.version) for path, file in sorted(self._durable_names.items()))

    def after(self, kept: Kept) -> State:
        """The files after a power cut that leaves these of the pending changes."""
        names = dict(self._durable_names)
        for change, changed in self._name_changes:
            if change.number in kept:
                for path, file in changed.items():
                    if file is None:
                        names.pop(path, None)
                    else:
                        names[path] = file
        directories = {""}
        files = {}
        for path, file in sorted(names.items()):  # a directory comes before what is in it
            if path.rpartition("/")[0] not in directories:
                continue
            if file.directory:
                directories.add(path)
            else:
                files[path] = file.after(kept)
        return State(frozenset(directories), files)

    def _begin_again(self, state: State) -> None:
        """What a power cut has left is durable."""
        self._name_changes = []
        self._names = {
            path: _File(self._number(), directory=True) for path in sorted(state.directories - {""})
        }
        for path, data in state.files.items():
            file = self._names[path] = _File(self._number())
            file.durable, file.live = data, bytearray(data)
        self._durable_names = dict(self._names)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _resize(self, path: str, size: int) -> None:
        file = self._names[path]
        del file.live[size:]
        file.live += bytes(size - len(file.live))
        file.changes.append(Change(self._number(), path, "length", size))

    def _rename(self, changed: dict[str, _File | None], about: str) -> None:
        for path, file in changed.items():
            if file is None:
                del self._names[path]
            else:
                self._names[path] = file
        self._name_changes.append((Change(self._number(), about, "name"), changed))

    def _sync_names(self, directory: str) -> None:
        left = []
        for change, changed in self._name_changes:
            if not any(path.rpartition("/")[0] == directory for path in changed):
                left.append((change, changed))
                continue
            for path, file in changed.items():
                if file is None:
                    self._durable_names.pop(path, None)
                else:
                    self._durable_names[path] = file
        self._name_changes = left

    def _everything(self) -> Sequence[_File]:
        """Every file that a power cut may leave."""
        seen = dict.fromkeys(self._durable_names.values())
        for _, changed in self._name_changes:
            seen.update(dict.fromkeys(file for file in changed.values() if file is not None))
        return list(seen)


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if len(image) < offset:
        image += bytes(offset - len(image))
    image[offset : offset + len(data)] = data
