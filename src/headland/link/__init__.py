"""Child and parent over one byte stream: framed, credited, resumed, answered. Sans I/O."""

from headland.link.children import Children, ChildrenSettings
from headland.link.contract import (
    Alarm,
    Answer,
    BlockEntry,
    GapEntry,
    GapRange,
    Later,
    LaterReason,
    PageIn,
    ParentName,
    Ref,
    Rejected,
    RejectReason,
    StreamKey,
)
from headland.link.protocol import IntentStatus
from headland.link.received import ReceivedBlock, ReceivedGap
from headland.link.uplink import Uplink, UplinkSettings

__all__ = [
    "Alarm",
    "Answer",
    "BlockEntry",
    "Children",
    "ChildrenSettings",
    "GapEntry",
    "GapRange",
    "IntentStatus",
    "Later",
    "LaterReason",
    "PageIn",
    "ParentName",
    "ReceivedBlock",
    "ReceivedGap",
    "Ref",
    "RejectReason",
    "Rejected",
    "StreamKey",
    "Uplink",
    "UplinkSettings",
]
