"""Files that somebody may change while the node runs: the configuration, certificates, secrets.

Asked by the node every few seconds; nothing is watched in between. A file is changed when its inode, size or
time of modification is another, so an editor's rename, a swapped symlink and a plain write are all seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Look = tuple[int, int, int] | None


class FileWatch:
    """Remembers how files looked."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: _look(path) for path in paths}

    def changed(self) -> list[Path]:
        """Files that look other than when last asked; one that is missing for a moment is not yet changed."""
        found = []
        for path, before in self._seen.items():
            now = _look(path)
            if now is not None and now != before:
                self._seen[path] = now
                found.append(path)
        return found


def _look(path: Path) -> Look:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
