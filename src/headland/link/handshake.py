"""What the two first messages decide: version, name, and where each end stands."""

from __future__ import annotations

from headland.link.bounds import MAX_EPOCHS
from headland.link.contract import Alarm, StreamKey, StreamWelcome
from headland.link.positions import ChildState
from headland.link.protocol import MAGIC, VERSION_MAX, VERSION_MIN, CloseReason, Hello


class Refusal(Exception):
    """A hello is not acceptable.

    Attributes:
        reason: For the CLOSE message.
        detail: One sentence.
    """

    def __init__(self, reason: CloseReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def agree(hello: Hello, peer_name: str | None) -> int:
    """The version to speak: the highest that both know.

    Args:
        hello: The child's first message.
        peer_name: Name in its certificate; None where the connection proves none (development only).

    Raises:
        Refusal: Not this protocol, no common version, another name than the certificate's, malformed.
    """
    if hello.magic != MAGIC or len(hello.epoch) != 16 or len(hello.epochs) > MAX_EPOCHS or not hello.node:
        raise Refusal(CloseReason.PROTOCOL, "this is not a hello of this protocol")
    if any(len(item.epoch) != 16 for item in hello.epochs):
        raise Refusal(CloseReason.PROTOCOL, "an epoch is not 16 bytes")
    if peer_name is not None and hello.node != peer_name:
        raise Refusal(CloseReason.NAME, f"the certificate says {peer_name}, the hello {hello.node}")
    version = min(hello.version_max, VERSION_MAX)
    if version < max(hello.version_min, VERSION_MIN):
        raise Refusal(
            CloseReason.VERSION,
            f"versions {hello.version_min}-{hello.version_max} here, {VERSION_MIN}-{VERSION_MAX} there",
        )
    return version


def same_process(connected: Hello, hello: Hello) -> bool:
    """Whether two connections of one name are of one process: then the first is dead, and nobody noticed.

    Of another process nothing can be told from its hello: a copy of the data directory of a node that runs
    calls itself that node's successor, as the node itself does after a restart.
    """
    return hello.epoch == connected.epoch


def compare(child: ChildState, hello: Hello) -> list[Alarm]:
    """What does not fit between a child's word of itself and what is here."""
    alarms = []
    for item in hello.epochs:
        for stream in item.streams:
            here = child.streams.get(StreamKey(item.epoch, stream.priority, stream.lane))
            if here is None:
                continue
            if here.p > stream.sealed:
                detail = f"{child.name} {here.key}: has {stream.sealed}, sent {here.p}"
                alarms.append(Alarm("child_went_back", detail))
            elif here.p == stream.acked and here.chain != stream.chain:
                alarms.append(Alarm("fork", f"{child.name} {here.key}: another chain value at {here.p}"))
    named = {item.epoch for item in hello.epochs}
    known = child.epochs()
    if known and known[-1] not in named and not hello.partial:
        alarms.append(Alarm("child_went_back", f"{child.name} does not know its epoch {known[-1].hex()}"))
    return alarms


def standing(
    child: ChildState, epoch: bytes, priority: int, lane: int, acked: int, floor: int
) -> StreamWelcome:
    """What a welcome says of a stream."""
    key = StreamKey(epoch, priority, lane)
    here = child.streams.get(key)
    if here is None:
        return StreamWelcome(key, -1 if acked or floor else 0)
    return StreamWelcome(key, here.durable_p, here.durable_chain, tuple(here.exceptions), here.heard)
