"""Chance and unpredictable bytes, from the operating system."""

from __future__ import annotations

import os
import random


def generator(seed: int | None = None) -> random.Random:
    """A generator for jitter and choices; the same numbers again for the same seed. Not for keys."""
    return random.Random(seed if seed is not None else int.from_bytes(os.urandom(32)))


def unpredictable(size: int) -> bytes:
    """`size` bytes that nobody can guess (epochs, tokens, salts)."""
    return os.urandom(size)
