"""Reading the primitive types of MQTT out of one packet's body, never past its end."""

from __future__ import annotations

from headland.mqtt.reasons import ProtocolError


class Reader:
    """A cursor over the body of one packet.

    Attributes:
        data: Bytes that hold the body.
        at: Offset of the next byte.
        end: Offset after the body.
    """

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def u8(self) -> int:
        """One byte."""
        at = self.at
        if at >= self.end:
            raise ProtocolError("packet ends inside a byte field")
        self.at = at + 1
        return self.data[at]

    def u16(self) -> int:
        """Two bytes, high first."""
        at = self.at
        if at + 2 > self.end:
            raise ProtocolError("packet ends inside a two byte integer")
        self.at = at + 2
        return self.data[at] << 8 | self.data[at + 1]

    def u32(self) -> int:
        """Four bytes, high first."""
        high = self.u16()
        return high << 16 | self.u16()

    def varint(self) -> int:
        """A variable byte integer of one to four bytes (section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise ProtocolError("variable byte integer is not minimal", rule="MQTT-1.5.5-1")
                return value
        raise ProtocolError("variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Binary data with a two byte length (section 1.5.6)."""
        length = self.u16()
        at = self.at
        if at + length > self.end:
            raise ProtocolError("packet ends inside a string")
        self.at = at + length
        return self.data[at : at + length]

    def text(self) -> str:
        """A UTF-8 encoded string (section 1.5.4): well-formed, without surrogates and without U+0000."""
        raw = self.binary()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise ProtocolError("string is not well-formed UTF-8", rule="MQTT-1.5.4-1") from None
        if "\0" in text:
            raise ProtocolError("string holds U+0000", rule="MQTT-1.5.4-2")
        return text

    def rest(self) -> bytes:
        """Everything left."""
        at = self.at
        self.at = self.end
        return self.data[at : self.end]

    def finish(self) -> None:
        """Insist that nothing is left."""
        if self.at != self.end:
            raise ProtocolError("bytes after the end of the packet's fields")
