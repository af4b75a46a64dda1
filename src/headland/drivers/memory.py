"""Memory that a start has used and needs no more goes back to the system (glibc keeps freed pages otherwise)."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect garbage and trim the heap; does nothing where the C library cannot (musl, macOS)."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
