"""Times at the head of log lines, as common programs write them. A time without a zone is taken as UTC.

| form | example | written by |
|---|---|---|
| iso | ``2015-10-18 18:01:47,978``, ``[2016-12-19 16:31:46,143]``, with T, Z, offset | log4j, most |
| syslog | ``Jun 14 15:16:01`` (no year) | syslog (RFC 3164) |
| apache | ``[Sun Dec 04 04:47:44 2005]`` | Apache error log |
| clf | ``... [17/May/2015:10:05:03 +0000]`` | Apache and nginx access logs |
| hadoop | ``081109 203615`` | HDFS |
| slashes | ``17/06/09 20:10:40`` (year first) | Spark |
| epoch | ``- 1117838570 2005.06.03 ...`` | BGL |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from headland.vocabulary import NO_TIME

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_ZONE_NS: Final = 86_400 * 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(
    r"\[?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_SYSLOG: Final = re.compile(r"(?:<\d{1,3}>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)\b", re.ASCII)
_APACHE: Final = re.compile(
    r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? (\d{4})\]", re.ASCII
)
_CLF: Final = re.compile(
    r"[^\[]{1,200}\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\]", re.ASCII
)
_HADOOP: Final = re.compile(r"(\d\d)(\d\d)(\d\d) (\d\d)(\d\d)(\d\d)\b", re.ASCII)
_SLASHES: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)\b", re.ASCII)
_BGL: Final = re.compile(r"\S{1,20} (\d{9,10}) \d{4}\.\d\d\.\d\d ", re.ASCII)


def _iso(match: re.Match[str], year: int) -> int:
    y, mo, d, h, mi, s, fraction, zone = match.groups()
    return _ns(int(y), int(mo), int(d), int(h), int(mi), int(s), _zone(zone)) + int(
        (fraction or "0").ljust(9, "0")
    )


def _syslog(match: re.Match[str], year: int) -> int:
    month, d, h, mi, s = match.groups()
    return _ns(year, _MONTHS[month], int(d), int(h), int(mi), int(s))


def _apache(match: re.Match[str], year: int) -> int:
    month, d, h, mi, s, fraction, y = match.groups()
    return _ns(int(y), _MONTHS[month], int(d), int(h), int(mi), int(s)) + int((fraction or "0").ljust(9, "0"))


def _clf(match: re.Match[str], year: int) -> int:
    d, month, y, h, mi, s, zone = match.groups()
    return _ns(int(y), _MONTHS[month], int(d), int(h), int(mi), int(s), _zone(zone))


def _two_digit_year(match: re.Match[str], year: int) -> int:
    y, mo, d, h, mi, s = (int(group) for group in match.groups())
    return _ns(2000 + y, mo, d, h, mi, s)


def _epoch(match: re.Match[str], year: int) -> int:
    return int(match.group(1)) * 1_000_000_000


Form = tuple[str, re.Pattern[str], Callable[[re.Match[str], int], int]]
FORMS: Final[tuple[Form, ...]] = (
    ("iso", _ISO, _iso),
    ("syslog", _SYSLOG, _syslog),
    ("apache", _APACHE, _apache),
    ("hadoop", _HADOOP, _two_digit_year),
    ("slashes", _SLASHES, _two_digit_year),
    ("epoch", _BGL, _epoch),
    ("clf", _CLF, _clf),
)


class LineClock:
    """Finds the time of each line of one file; remembers the form, and the year where lines do not say it.

    Args:
        year: Year of the first line, where lines do not say it.
        ahead_ns: What the zone of lines that do not say it is ahead of UTC by at a local moment; None is UTC.

    Attributes:
        form: Name of the form found last, or "".
    """

    def __init__(self, year: int, ahead_ns: Callable[[int], int] | None = None) -> None:
        self.form = ""
        self._ahead_ns = ahead_ns
        self._year = year
        self._last = 0
        self._forms = list(FORMS)

    def at(self, line: str) -> int | None:
        """The time of a line in ns UTC, or None when it has none at its head."""
        for position, (name, pattern, read) in enumerate(self._forms):
            match = pattern.match(line)
            if match is None:
                continue
            year = self._year
            try:
                at = read(match, year)
                if name == "syslog" and at < self._last - 300 * 86_400 * 10**9:
                    year += 1  # December became January
                    at = read(match, year)
            except (KeyError, ValueError, OverflowError):
                continue
            if not NO_TIME + _ZONE_NS < at < -NO_TIME - _ZONE_NS:
                continue  # beyond what 64-bit nanoseconds can say: years before 1678 or after 2261
            self.form, self._last, self._year = name, at, year
            if self._ahead_ns is not None and not _says_zone(name, match):
                at -= self._ahead_ns(at)
            if position:
                self._forms.insert(0, self._forms.pop(position))
            return at
        return None


def _says_zone(name: str, match: re.Match[str]) -> bool:
    return name in ("clf", "epoch") or (name == "iso" and match.group(8) is not None)


def _zone(zone: str | None) -> timezone:
    if zone is None or zone == "Z":
        return UTC
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)


def _ns(y: int, mo: int, d: int, h: int, mi: int, s: int, zone: timezone = UTC) -> int:
    since = datetime(y, mo, d, h, mi, min(s, 59), tzinfo=zone) - _EPOCH
    return (since.days * 86_400 + since.seconds + (s - min(s, 59))) * 1_000_000_000
