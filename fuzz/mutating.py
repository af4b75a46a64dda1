"""Mutation with a seed: the suite's way, and the way where no coverage-guided engine is installed.

Equal seeds, corpora and rounds give equal inputs, in any build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_STEPS_MAX = 6


def mutated(
    corpus: Sequence[bytes], words: Sequence[bytes], seed: int, input_bytes_max: int
) -> Iterator[bytes]:
    """Endless inputs made of those of a corpus.

    Args:
        corpus: What to begin with, at least one.
        words: What the format gives a meaning to.
        seed: Of everything that is drawn.
        input_bytes_max: Longest input.
    """
    rng = Random(seed)
    while True:
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.randint(1, _STEPS_MAX)):
            _step(data, rng, corpus, words)
        yield bytes(data[:input_bytes_max])


def _step(data: bytearray, rng: Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    till = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 32, 128)))
    match rng.randrange(10):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.choice(_EDGES)
        case 2 if at < len(data):
            data[at] = (data[at] + rng.choice((-1, 1, 16, -16))) & 0xFF
        case 3:
            del data[at:till]
        case 4:
            data[at:at] = data[at:till]
        case 5:
            data[at:till] = rng.randbytes(till - at)
        case 6 if words:
            data[at:at] = rng.choice(words)
        case 7 if words:
            word = rng.choice(words)
            data[at : at + len(word)] = word
        case 8:
            other = rng.choice(corpus)
            begin = rng.randrange(len(other) + 1)
            data[at:] = other[begin:]
        case _:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(
                (0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1), rng.getrandbits(8 * width))
            )
            data[at : at + width] = number.to_bytes(width, rng.choice(("big", "little")))
