"""From when to when a certificate is valid: the one thing that a running node wants to know of its own.

So it needs no X.509 parser (`cryptography` costs 8 MB of memory, `authority` is for those who make or judge
certificates). What is read here has been accepted by TLS; nothing is verified.
"""

from __future__ import annotations

import binascii
import datetime as dt
import re
from pathlib import Path

from headland.vocabulary import TrustError

_PEM = re.compile(
    rb"-----BEGIN (?:X509 )?CERTIFICATE-----(.+?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL
)
_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def begins(path: Path) -> float:
    """When the newest certificate of a PEM file begins (UTC seconds since 1970); 0 where there is none.

    It was signed by then: a clock that shows less is wrong.
    """
    try:
        return max(first for first, _ in _spans(path))
    except TrustError:
        return 0.0


def span(path: Path) -> tuple[float, float]:
    """From when to when the first certificate of a PEM file is valid, UTC seconds since 1970.

    Raises:
        TrustError: It cannot be read.
    """
    return _spans(path)[0]


def _spans(path: Path) -> list[tuple[float, float]]:
    """Validity of each certificate of a PEM file, at least one.

    Raises:
        TrustError: It cannot be read or holds none.
    """
    try:
        spans = [_validity(binascii.a2b_base64(body)) for body in _PEM.findall(path.read_bytes())]
    except (OSError, ValueError) as error:
        raise TrustError(f"{path}: {error}") from None
    if not spans:
        raise TrustError(f"{path}: no certificate in it")
    return spans


def _validity(der: bytes) -> tuple[float, float]:
    """Of one certificate in DER (RFC 5280, 4.1). Raises ValueError where it is none."""
    _, start, end = _element(der, 0, len(der), _SEQUENCE)
    _, start, end = _element(der, start, end, _SEQUENCE)  # what was signed
    tag, _, after = _element(der, start, end)
    if tag == _VERSION:
        start = after
    for _ in ("serial number", "signature algorithm", "issuer"):
        _, _, start = _element(der, start, end)
    _, start, end = _element(der, start, end, _SEQUENCE)
    tag, first, after = _element(der, start, end)
    begin_s = _seconds(tag, der[first:after])
    tag, first, after = _element(der, after, end)
    return begin_s, _seconds(tag, der[first:after])


def _element(der: bytes, at: int, end: int, wanted: int | None = None) -> tuple[int, int, int]:
    """Tag, first byte and end of the contents of the element at an offset. Raises ValueError."""
    if at + 2 > end:
        raise ValueError("a certificate that ends too early")
    tag, length, first = der[at], der[at + 1], at + 2
    if length & 0x80:
        width = length & 0x7F
        length, first = int.from_bytes(der[first : first + width], "big"), first + width
    if first + length > end or (wanted is not None and tag != wanted):
        raise ValueError("not a certificate in DER")
    return tag, first, first + length


def _seconds(tag: int, text: bytes) -> float:
    """UTCTime (two digits of the year: 1950 to 2049) or GeneralizedTime, both to the second and UTC."""
    if tag == _UTC_TIME:
        text = (b"20" if text < b"5" else b"19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("a certificate without a time of validity")
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("a certificate with another form of time")
    year, month, day, hour, minute, second = map(int, found.groups())
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC).timestamp()
