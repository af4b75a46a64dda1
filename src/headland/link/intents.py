"""Intents: desired state that comes down the link, in parts, whole and verified or not at all.

An intent is (kind, version, body); of one kind only the newest version counts. Bodies are at most 1 MiB and
travel in parts of 16 KiB between blocks, so that a large one does not hold up heartbeats. An intent is
sent on every connection until the child names its version as applied, in its hello or by a status.
"""

from __future__ import annotations

import hashlib

from headland.link.protocol import IntentChunk
from headland.vocabulary import PeerError

MAX_BODY = 1 << 20
PART = 16 * 1024
MAX_KINDS = 64
MAX_KIND_NAME = 64


def split(kind: str, version: int, body: bytes, signature: bytes = b"") -> list[IntentChunk]:
    """The parts of an intent (one empty part for an empty body)."""
    digest = hashlib.blake2b(body, digest_size=16).digest()
    return [
        IntentChunk(kind, version, digest, at, len(body), body[at : at + PART], signature)
        for at in range(0, max(1, len(body)), PART)
    ]


class Assembler:
    """Puts parts together; one unfinished intent a kind, `MAX_KINDS` kinds."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[IntentChunk, bytearray]] = {}

    def add(self, chunk: IntentChunk) -> bytes | None:
        """Take a part; the whole body when it was the last.

        Raises:
            PeerError: Out of order, too large, or the digest does not hold.
        """
        if len(chunk.kind) > MAX_KIND_NAME or not 0 <= chunk.total <= MAX_BODY:
            raise PeerError(f"intent {chunk.kind[:MAX_KIND_NAME]!r} of {chunk.total} bytes")
        if chunk.at == 0:
            if chunk.kind not in self._parts and len(self._parts) >= MAX_KINDS:
                raise PeerError("too many unfinished intents")
            self._parts[chunk.kind] = (chunk, bytearray())
        begun = self._parts.get(chunk.kind)
        if begun is None:
            raise PeerError(f"intent {chunk.kind}: a part without its beginning")
        first, body = begun
        same = (first.version, first.digest, first.total) == (chunk.version, chunk.digest, chunk.total)
        if not same or chunk.at != len(body) or len(body) + len(chunk.body) > chunk.total:
            del self._parts[chunk.kind]
            raise PeerError(f"intent {chunk.kind} {chunk.version}: parts that do not fit together")
        body += chunk.body
        if len(body) < chunk.total:
            if not chunk.body:
                raise PeerError(f"intent {chunk.kind}: an empty part")
            return None
        del self._parts[chunk.kind]
        if hashlib.blake2b(body, digest_size=16).digest() != chunk.digest:
            raise PeerError(f"intent {chunk.kind} {chunk.version}: its digest does not hold")
        return bytes(body)
