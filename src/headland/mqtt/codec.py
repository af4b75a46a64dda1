"""The hot bytes of MQTT: cutting a stream into packets, runs of PUBLISH as columns, runs of acknowledgements.

Wire format (MQTT 5.0 section 2.1, the same in 3.1.1)::

    u8 type << 4 | flags · remaining length: 1-4 bytes of 7 bits, low first (max 268,435,455) · body

    PUBLISH body:  u16 n · topic (n bytes of UTF-8) · u16 packet id (QoS > 0) · properties (5.0 only) ·
    payload

`parse_publishes` takes only the plain case (QoS 0 or 1, no retain, no properties, a topic the caller has
already validated and authorised): whatever else it meets ends the run, and `decoding.decode` judges that
packet.

This module compiles with mypyc unchanged; nothing here is more than loops over bytes, lists and a dict.
"""

from __future__ import annotations

from struct import pack

from headland.mqtt.reasons import ProtocolError, Reason

MAX_REMAINING = 268_435_455
"""Largest remaining length that four bytes can say."""

INCOMPLETE = -1


def frame_end(data: bytes, start: int, limit: int, minimal: bool) -> int:
    """Where the packet that begins at `start` ends, so far as its length is known.

    Args:
        data: Bytes as received.
        start: Offset of a packet's first byte.
        limit: Largest whole packet accepted, bytes.
        minimal: Whether the length must use as few bytes as possible (MQTT-1.5.5-1; 3.1.1 does not say).

    Returns:
        The offset after the packet (it may lie beyond the data), or `INCOMPLETE` when the length is cut off.

    Raises:
        ProtocolError: The length is malformed, or the packet is larger than `limit`.
    """
    end = len(data)
    at = start + 1
    shift = 0
    length = 0
    while at < end:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if minimal and byte == 0 and shift > 0:
                raise ProtocolError(
                    "remaining length is not minimal", Reason.MALFORMED_PACKET, "MQTT-1.5.5-1"
                )
            if at + length - start > limit:
                raise ProtocolError(
                    f"packet of {at + length - start} bytes is over {limit}",
                    Reason.PACKET_TOO_LARGE,
                    "MQTT-3.2.2-15",
                )
            return at + length
        shift += 7
        if shift == 28:
            raise ProtocolError("remaining length has more than four bytes", Reason.MALFORMED_PACKET)
    return INCOMPLETE


def body_start(data: bytes, start: int) -> int:
    """Offset of the body of the packet at `start`, whose length `frame_end` has accepted."""
    at = start + 1
    while data[at] >= 0x80:
        at += 1
    return at + 1


def parse_publishes(
    data: bytes,
    start: int,
    limit: int,
    v5: bool,
    known: dict[bytes, str],
    topics: list[str],
    payloads: list[bytes],
    packet_ids: list[int],
    qos: list[int],
    dup: list[bool],
) -> int:
    """Append a run of plain PUBLISH packets to the columns.

    Args:
        data: Bytes as received.
        start: Offset of a packet's first byte.
        limit: Largest whole packet accepted, bytes.
        v5: Whether a property length follows the variable header.
        known: Topics of this client, validated and authorised, by their bytes.
        topics: Column to append to, like the following ones.
        payloads: Column of payloads.
        packet_ids: Column of packet identifiers (0 at QoS 0).
        qos: Column of 0 and 1.
        dup: Column of DUP flags.

    Returns:
        Offset after the run: the end of the data, an incomplete packet, or a packet for `decoding.decode`.
    """
    end = len(data)
    at = start
    while end - at >= 4:
        first = data[at]
        if first != 0x32 and first != 0x30 and first != 0x3A:
            break
        length = data[at + 1]
        body = at + 2
        if length >= 0x80:
            high = data[at + 2]
            if high >= 0x80 or high == 0:
                # Three and four bytes of length: rare enough for the general way, unless the payload is
                # large.
                if high == 0 or end - at < 5 or data[at + 3] >= 0x80 or data[at + 3] == 0:
                    break
                length = (length & 0x7F) | (high & 0x7F) << 7 | data[at + 3] << 14
                body = at + 4
            else:
                length = (length & 0x7F) | high << 7
                body = at + 3
        stop = body + length
        if stop > end or stop - at > limit or length < 2:
            break
        begin = body + 2 + (data[body] << 8 | data[body + 1])
        if begin > stop:
            break
        topic = known.get(data[body + 2 : begin])
        if topic is None:
            break
        identifier = 0
        if first != 0x30:
            if begin + 2 > stop:
                break
            identifier = data[begin] << 8 | data[begin + 1]
            if identifier == 0:
                break
            begin += 2
        if v5:
            if begin >= stop or data[begin] != 0:
                break
            begin += 1
        topics.append(topic)
        payloads.append(data[begin:stop])
        packet_ids.append(identifier)
        if first == 0x32:
            qos.append(1)
            dup.append(False)
        elif first == 0x30:
            qos.append(0)
            dup.append(False)
        else:
            qos.append(1)
            dup.append(True)
        at = stop
    return at


def encode_acks(packet_ids: list[int], qos: list[int], start: int, stop: int) -> bytes:
    """PUBACKs and PUBRECs (success) for the messages `start` to `stop` of a run, in order; QoS 0 has none."""
    if stop - start == 1 and qos[start] == 1:
        return pack(">I", 0x40020000 | packet_ids[start])
    words: list[int] = []
    for index in range(start, stop):
        level = qos[index]
        if level == 1:
            words.append(0x40020000 | packet_ids[index])
        elif level == 2:
            words.append(0x50020000 | packet_ids[index])
    return pack(f">{len(words)}I", *words)


def encode_publish(
    topic: bytes, payload: bytes, flags: int, packet_id: int, v5: bool, properties: bytes
) -> bytes:
    """A PUBLISH packet.

    Args:
        topic: UTF-8 of the topic name (empty when an alias stands for it).
        payload: The message.
        flags: DUP << 3 | QoS << 1 | RETAIN.
        packet_id: Identifier, used when QoS > 0.
        v5: Whether to write properties.
        properties: Encoded properties without their length.
    """
    size = len(topic)
    head = pack(">H", size) + topic
    if flags & 0x06:
        head += pack(">H", packet_id)
    if v5:
        head += varint(len(properties)) + properties if properties else b"\x00"
    length = len(head) + len(payload)
    return bytes((0x30 | flags,)) + varint(length) + head + payload


def varint(value: int) -> bytes:
    """A variable byte integer (MQTT 5.0 section 1.5.5); at most `MAX_REMAINING`."""
    if value < 0x80:
        return bytes((value,))
    out: list[int] = []
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
