"""When a child dials again."""

from __future__ import annotations

from headland.link.dialling import Dialling
from headland.vocabulary import Instant

S = 1_000_000_000


class Half:
    def random(self) -> float:
        return 0.5


class Low:
    def random(self) -> float:
        return 0.0


def at(seconds: float) -> Instant:
    return Instant(int(seconds * S), 0)


def waits(dialling: Dialling, start: float, count: int) -> list[float]:
    out, now = [], start
    for _ in range(count):
        dialling.dialled()
        dialling.failed(at(now))
        assert dialling.at is not None
        out.append(dialling.at / S - now)
        now = dialling.at / S
    return out


def test_at_once_then_every_second_for_ten_minutes_then_the_published_steps():
    dialling = Dialling(Half())
    dialling.begin(at(100))
    assert dialling.at == 100 * S
    steps = waits(dialling, 100, 606)
    assert steps[:600] == [1.0] * 600
    assert steps[600:] == [30.0, 60.0, 300.0, 900.0, 900.0, 900.0]


def test_a_metered_profile_uses_the_long_steps_from_the_start():
    dialling = Dialling(Half(), metered=True)
    dialling.begin(at(0))
    assert waits(dialling, 0, 5) == [30.0, 60.0, 300.0, 900.0, 900.0]


def test_steps_are_spread_by_a_fifth():
    dialling = Dialling(Low())
    dialling.begin(at(0))
    assert waits(dialling, 0, 1) == [0.8]


def test_a_connection_that_lasted_is_redialled_at_once():
    dialling = Dialling(Half())
    dialling.begin(at(0))
    dialling.up(at(1))
    dialling.failed(at(60))
    assert dialling.at == 60 * S


def test_a_parent_that_accepts_and_drops_is_not_dialled_in_a_tight_loop():
    # Kills: schedule starts again at every accepted connection.
    dialling = Dialling(Half())
    dialling.begin(at(0))
    dialling.up(at(1))
    dialling.failed(at(1.1))
    assert dialling.at == int(2.1 * S)
