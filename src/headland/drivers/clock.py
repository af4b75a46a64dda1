"""The clock: one `Instant` a reading, and whether the machine's wall clock can be believed.

A wall clock is trusted when the kernel says that something disciplines it: adjtimex(2) returns TIME_ERROR and
sets STA_UNSYNC until an NTP daemon (chrony, ntpd, systemd-timesyncd, PTP) has set it. Until then what an
authenticated parent says counts (`Clock.believe`), and what journal, certificate and this version know is the
least it can be (`Clock.at_least`): both are offsets, and end when the kernel's clock is disciplined. An
offset that stayed would make a right clock wrong, and that time would be in the journal for the next start.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import time
from collections.abc import Callable

import headland
from headland.vocabulary import Instant

_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
_ASK_EVERY_NS = 10_000_000_000


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; only `status` is read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def disciplined() -> bool:
    """Whether the kernel's clock is being kept by NTP or the like; False where that cannot be known."""
    try:
        timex = _Timex()
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return False
    return state >= 0 and state != _TIME_ERROR and not timex.status & _STA_UNSYNC


class Clock:
    """Reads the machine's clocks. `now()` costs well under a microsecond; discipline is asked every 10 s."""

    def __init__(
        self,
        *,
        is_disciplined: Callable[[], bool] = disciplined,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._is_disciplined = is_disciplined
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = 0
        self._believed = False
        self._trusted = False
        self._asked_ns = 0
        self._ask(monotonic_ns())

    def now(self) -> Instant:
        """This moment."""
        monotonic = self._monotonic_ns()
        if monotonic - self._asked_ns > _ASK_EVERY_NS:
            self._ask(monotonic)
        return Instant(monotonic, self._wall_ns() + self._offset_ns, self._trusted)

    def _ask(self, monotonic: int) -> bool:
        """Whether the kernel's clock rules now; then no offset does."""
        self._asked_ns = monotonic
        rules = self._is_disciplined()
        if rules:
            self._offset_ns, self._believed = 0, False
        self._trusted = rules or self._believed
        return rules

    def believe(self, wall_ns: int) -> None:
        """An authenticated parent says that it is `wall_ns` (UTC); kept as an offset, unless NTP rules."""
        if not self._ask(self._monotonic_ns()):
            self._offset_ns = wall_ns - self._wall_ns()
            self._believed = self._trusted = True

    def at_least(self, wall_ns: int) -> None:
        """It cannot be earlier than `wall_ns` (see `earliest_ns`), unless NTP says so."""
        if not self._ask(self._monotonic_ns()):
            self._offset_ns = max(self._offset_ns, wall_ns - self._wall_ns())


def earliest_ns(journal_ns: int, certificate_s: float, made_after: str = headland.__made_after__) -> int:
    """What a clock shows at least, ns UTC.

    Args:
        journal_ns: Newest node time in the journal.
        certificate_s: When the newest certificate of this node's own begins, s UTC.
        made_after: Day after which this version was made.
    """
    made = dt.datetime.fromisoformat(made_after).replace(tzinfo=dt.UTC)
    return max(journal_ns, int(certificate_s * 1e9), int(made.timestamp()) * 1_000_000_000)
