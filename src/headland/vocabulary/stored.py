"""Reading back what a machine wrote: whatever does not decode is damage of the storage, and says of what."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from headland.vocabulary.errors import StorageDamage

T = TypeVar("T")


class Versioned(Protocol):
    """A snapshot that says which version wrote it."""

    @property
    def version(self) -> int:
        """1, 2, 3 ..."""


V = TypeVar("V", bound=Versioned)


def read_back(decoder: msgspec.msgpack.Decoder[T], data: bytes, what: str) -> T:
    """A record or snapshot of this node.

    Raises:
        StorageDamage: It does not decode; `what` names it.
    """
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StorageDamage(f"{what}: {error}") from None


def read_snapshot(decoder: msgspec.msgpack.Decoder[V], data: bytes, what: str, newest: int) -> V:
    """A snapshot of this node, of a version up to `newest`.

    Raises:
        StorageDamage: It is not one, or a newer version's.
    """
    dumped = read_back(decoder, data, what)
    if dumped.version > newest:
        raise StorageDamage(f"{what}: written by a newer version ({dumped.version})")
    return dumped
