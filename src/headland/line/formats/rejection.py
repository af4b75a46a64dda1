"""Why a payload is not readings: a closed list of reasons, and the value that carries one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headland.vocabulary import PeerError


class RejectReason(StrEnum):
    """Reasons of the quarantine. Stable words: they appear in listings, metrics and HTTP errors."""

    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_MANY_READINGS = "too_many_readings"
    INVALID_UTF8 = "invalid_utf8"
    NOT_JSON = "not_json"
    NOT_PROTOBUF = "not_protobuf"
    NOT_LINE_PROTOCOL = "not_line_protocol"
    NOT_CLOUDEVENT = "not_cloudevent"
    NOT_A_NUMBER = "not_a_number"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    NO_VALUE = "no_value"
    WRONG_TYPE = "wrong_type"
    BAD_TIME = "bad_time"
    BAD_SEQUENCE = "bad_sequence"
    BAD_NAME = "bad_name"
    UNKNOWN_ALIAS = "unknown_alias"
    UNSUPPORTED = "unsupported"
    SERIES_LIMIT = "series_limit"
    NO_MAPPING = "no_mapping"
    MIXED_DURABILITY = "mixed_durability"
    DECODER_FAILED = "decoder_failed"


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """One message that became no readings; nothing of it is in the batch.

    Attributes:
        index: Its index in the run.
        reason: Which duty it failed.
        detail: Where and what, for a person: a JSON path, a line, an offset. Never longer than 200
            characters.
    """

    index: int
    reason: RejectReason
    detail: str = ""


class Unfit(PeerError):
    """Raised inside a decoder, caught by `Mapping` (which turns it into `Rejected`) and by the HTTP handler.

    Attributes:
        reason: Which duty the payload failed.
        path: JSON path, ``line N`` or ``byte N`` of the mistake, or "".
    """

    def __init__(self, reason: RejectReason, detail: str = "", *, path: str = "", hint: str = "") -> None:
        super().__init__(detail, hint=hint)
        self.reason = reason
        self.path = path

    @property
    def detail(self) -> str:
        """The message with its path, cut to 200 characters."""
        text = str(self.args[0])
        return (f"{text} - at `{self.path}`" if self.path else text)[:200]
