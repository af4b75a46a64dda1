"""Files of blocks: one directory for each class's outbox, or `store/` at a root.

A file is there when a commit says so (a STATE section "files") and gone when a commit says so: one that was
written and not noted is deleted at the next start, one that is gone is unlinked after that commit is durable.
A file that is being appended to is not given back meanwhile: the note would name what has been unlinked.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headland.journal import DiskOp, Draft
from headland.journal.outbox_files import FILE_BYTES, BlockFiles, FileInfo, outbox_directory
from headland.vocabulary import Priority

FILES = "files"
STORE = "store"


class FileNote(msgspec.Struct, frozen=True, array_like=True):
    """STATE section "files": files of one directory that changed, and those that are gone."""

    directory: str
    files: tuple[FileInfo, ...] = ()
    gone: tuple[int, ...] = ()


class KeptFiles:
    """The files of one node.

    Attributes:
        by_directory: Files of each directory.
        growing: (directory, number) of files that are being appended to and not noted yet.
    """

    def __init__(self, directories: Iterable[str], file_bytes: int = FILE_BYTES) -> None:
        self.by_directory = {name: BlockFiles(name, file_bytes) for name in directories}
        self.growing: set[tuple[str, int]] = set()
        self._unlink_after: list[tuple[int, list[DiskOp]]] = []

    @property
    def used_bytes(self) -> int:
        """Bytes in all files."""
        return sum(files.used_bytes for files in self.by_directory.values())

    def resize(self, file_bytes: int) -> None:
        """Files are full at another size from now on."""
        for files in self.by_directory.values():
            files.file_bytes = file_bytes

    @property
    def unlinking(self) -> bool:
        """Whether files are given back whose commit is not durable yet."""
        return bool(self._unlink_after)

    def end(self, priority: int, number: int) -> int:
        """Noted length of an outbox file; 0 when there is none."""
        files = self.by_directory[outbox_directory(Priority(priority))]
        return next((info.bytes for info in files.files() if info.number == number), 0)

    def note(self, directory: str, files: Iterable[FileInfo], draft: Draft) -> None:
        """These files have grown to what is told."""
        note = FileNote(directory, tuple(files))
        draft.state(FILES, msgspec.msgpack.encode(note))
        self._take(note)

    def remove(self, directory: str, number: int, draft: Draft) -> None:
        """A file is gone with this commit, and unlinked after it."""
        draft.state(FILES, msgspec.msgpack.encode(FileNote(directory, (), (number,))))
        self._unlink_after.append((draft.n, self.by_directory[directory].remove(number)))

    def committed(self, n: int) -> list[list[DiskOp]]:
        """Commit n is durable: what may be unlinked now."""
        ready = [ops for after_n, ops in self._unlink_after if after_n <= n]
        self._unlink_after = [item for item in self._unlink_after if item[0] > n]
        return ready

    def replay(self, data: bytes) -> None:
        """A STATE section "files" of a recovered commit."""
        self._take(msgspec.msgpack.decode(data, type=FileNote))

    def _take(self, note: FileNote) -> None:
        files = self.by_directory.setdefault(note.directory, BlockFiles(note.directory))
        infos = {info.number: info for info in (*files.files(), *note.files)}
        for number in note.gone:
            infos.pop(number, None)
        files.restore(infos.values(), files.next_number)

    def snapshot(self) -> bytes:
        """Everything, for a checkpoint."""
        return msgspec.msgpack.encode(
            {name: [files.next_number, files.files()] for name, files in self.by_directory.items()}
        )

    def restore(self, data: bytes) -> None:
        """Replace everything by a snapshot."""
        files = msgspec.msgpack.decode(data, type=dict[str, tuple[int, list[FileInfo]]])
        for name, (next_number, infos) in files.items():
            self.by_directory.setdefault(name, BlockFiles(name)).restore(infos, next_number)
