"""Readings and blocks as an observer outside the nodes names them."""

from __future__ import annotations

import msgspec

from headland.simulation.device import Published

Identity = tuple[str, bytes, int, int]
"""(origin, epoch, class, k)."""


class Reading(msgspec.Struct):
    """One reading of a device, as seen from outside."""

    host: str
    client: str
    published: Published
    first_ns: int
    acked_ns: int | None = None
    blocks: list[Identity] = []


def label(identity: Identity) -> str:
    """A block in a story."""
    origin, epoch, cls, k = identity
    return f"{origin}/{epoch.hex()[:6]}/{cls}/{k}"
