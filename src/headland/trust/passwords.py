"""Password hashes, scrypt (RFC 7914): `$scrypt$ln=14,r=8,p=1$<salt>$<hash>`, base64 without padding.

16 MiB and about 50 ms a check. Cost parameters above ln=18, r=16, p=4 are refused: a hash file must not be
able to stop the node.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from headland.vocabulary import ConfigurationError

_LN, _R, _P = 14, 8, 1
_FORM = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d)\$([A-Za-z0-9+/]{16,88})\$([A-Za-z0-9+/]{43})")


def hash_password(password: str, salt: bytes | None = None) -> str:
    """A new hash of `password`, with a random salt of 16 bytes."""
    salt = os.urandom(16) if salt is None else salt
    return f"$scrypt$ln={_LN},r={_R},p={_P}${_text(salt)}${_text(_scrypt(password, salt, _LN, _R, _P))}"


def is_hash(text: str) -> bool:
    """Whether `text` claims to be one of these hashes."""
    return text.startswith("$scrypt$")


def check_form(stored: str) -> None:
    """Raise ConfigurationError unless `stored` is a hash that this module can check."""
    _parse(stored)


def verify(password: str, stored: str) -> bool:
    """Whether `password` is the one hashed in `stored`, in constant time.

    Raises:
        ConfigurationError: `stored` is not such a hash.
    """
    ln, r, p, salt, expected = _parse(stored)
    return hmac.compare_digest(_scrypt(password, salt, ln, r, p), expected)


def _parse(stored: str) -> tuple[int, int, int, bytes, bytes]:
    match = _FORM.fullmatch(stored)
    if match is None:
        raise ConfigurationError("not a $scrypt$ password hash")
    ln, r, p = (int(match[i]) for i in (1, 2, 3))
    if not (1 <= ln <= 18 and 1 <= r <= 16 and 1 <= p <= 4):
        raise ConfigurationError("password hash has cost parameters out of bounds")
    return ln, r, p, _bytes(match[4]), _bytes(match[5])


def _scrypt(password: str, salt: bytes, ln: int, r: int, p: int) -> bytes:
    try:
        return hashlib.scrypt(
            password.encode(), salt=salt, n=1 << ln, r=r, p=p, maxmem=256 * (1 << ln) * r, dklen=32
        )
    except ValueError as error:  # so OpenSSL says that it found no memory: the parameters are in bounds
        raise MemoryError(f"scrypt: {error}") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
