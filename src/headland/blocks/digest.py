r"""What rows are, whatever bytes they travel in: the digest of a block and the chain over a stream.

The digest is BLAKE2b (RFC 7693) with 16 bytes of output over the canonical form of the decoded rows, integers
little-endian:

```
"HLrows1\0" | u32 rows | u8 1, u8 kind of all values; or u8 0, rows x u8 kinds
i64 sid each | i64 ts each | f64 floats | i64 ints | u8 bools | u32 length of each text | texts
then for seq, kind, flags, size: u8 0 if all are default, else u8 1 and i64 each
```
The chain value of position p is BLAKE2b-128 over `previous | identity | digest`: equal values at both ends of
a stream prove that nothing was lost, reordered or changed up to p.
"""

from __future__ import annotations

import hashlib
import struct

from headland.blocks.packed import Packed, pack, raw
from headland.vocabulary import Columns

DIGEST_BYTES = 16
CHAIN_START = bytes(DIGEST_BYTES)
"""Chain value before the first position of a stream."""


def digest(columns: Columns) -> bytes:
    """The 16-byte digest of rows; equal rows have equal digests in every codec.

    Raises:
        DefectError: the columns cannot be stored (see `codec.encode`).
    """
    return digest_packed(pack(columns))


def digest_packed(packed: Packed) -> bytes:
    """`digest` of rows already taken apart."""
    kinds = b"\0" + packed.kinds if packed.kind < 0 else bytes((1, packed.kind))
    found = hashlib.blake2b(b"HLrows1\0", digest_size=DIGEST_BYTES)
    found.update(struct.pack("<I", packed.rows) + kinds)
    for code, column in (("q", packed.sid), ("q", packed.ts), ("d", packed.floats), ("q", packed.ints)):
        found.update(raw(code, column))
    found.update(packed.bools)
    found.update(raw("I", list(map(len, packed.texts))))
    found.update(b"".join(packed.texts))
    for extra in packed.extras:
        if extra is None:
            found.update(b"\0")
        else:
            found.update(b"\1")
            found.update(raw("q", extra))
    return found.digest()


def identity_bytes(origin: str, epoch: bytes, priority: int, k: int) -> bytes:
    """Canonical form of a block's identity: u16 length and UTF-8 of the origin, epoch, u8 class, u64 k."""
    name = origin.encode("utf-8")
    return struct.pack("<H", len(name)) + name + epoch + struct.pack("<BQ", priority, k)


def chain(previous: bytes, identity: bytes, block_digest: bytes) -> bytes:
    """The chain value after a block (or a tombstone, which gives its own 16 bytes as digest)."""
    return hashlib.blake2b(previous + identity + block_digest, digest_size=DIGEST_BYTES).digest()
