"""What a long-running node asks of the C library's heap, so that a peak does not become the level.

Linux with glibc: one arena for all threads, large buffers straight from the system (and straight back), and
after the start everything that is free goes back. Elsewhere (musl, macOS) nothing is done. See mallopt(3).
"""

from __future__ import annotations

import ctypes
import gc

M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
LARGE_BYTES = 128 * 1024


def settle_heap() -> None:
    """Before the first thread: one arena, and a fixed size from which buffers come from the system."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, 1)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    except (OSError, AttributeError):
        return


def give_back() -> None:
    """Collect garbage and return free pages."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
