"""Variable-length integers and bounded reading: the smallest words of every format here.

A varint is unsigned LEB128 of at most 10 bytes (the shortest form is written, longer ones are accepted).
A signed varint is zigzag: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
"""

from __future__ import annotations

from headland.vocabulary import PeerError

_U64 = (1 << 64) - 1


def put_varint(out: bytearray, value: int) -> None:
    """Append an unsigned varint (0 to 2^64 - 1)."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_signed(out: bytearray, value: int) -> None:
    """Append a zigzag varint (signed 64 bit)."""
    put_varint(out, (value << 1) ^ (value >> 63))


class Reader:
    """Takes bytes from the front of a buffer and never past its end.

    Attributes:
        data: The buffer.
        at: Index of the next byte.
    """

    __slots__ = ("at", "data")

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self.data) - self.at

    def byte(self) -> int:
        """One byte.

        Raises:
            PeerError: nothing is left.
        """
        at = self.at
        if at >= len(self.data):
            raise PeerError("cut short")
        self.at = at + 1
        return self.data[at]

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            PeerError: fewer are left.
        """
        at = self.at
        if count < 0 or count > len(self.data) - at:
            raise PeerError("cut short")
        self.at = at + count
        return bytes(self.data[at : self.at])

    def varint(self, bound: int = _U64) -> int:
        """An unsigned varint of at most `bound`.

        Raises:
            PeerError: cut short, longer than 10 bytes, or above the bound.
        """
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise PeerError("a varint is longer than 10 bytes")
        if value > bound:
            raise PeerError(f"{value} is above the bound {bound}")
        return value

    def signed(self) -> int:
        """A zigzag varint, signed 64 bit.

        Raises:
            PeerError: as `varint`.
        """
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def end(self) -> None:
        """Check that everything has been taken.

        Raises:
            PeerError: bytes are left over.
        """
        if self.at != len(self.data):
            raise PeerError(f"{self.left} bytes left over")
