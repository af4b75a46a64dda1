"""Passwords, tokens and topic filters: who gets in, and where to."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headland.mqtt.surface import Claim, Peer, Principal
from headland.trust.access import (
    ADDRESSES_MAX,
    ANONYMOUS,
    CHECKS_WAITING,
    SLOW_BURST,
    Door,
    Tokens,
    User,
    Users,
    covers,
    host_of,
    is_right,
    quick_hash,
)
from headland.trust.passwords import check_form, hash_password, verify
from headland.vocabulary import ConfigurationError

SLOW = hash_password("correct horse", salt=bytes(16))
PEER = Peer(1, "127.0.0.1:1")


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def enter(door: Users, name: str | None, password: bytes | None, peer: Peer = PEER) -> Principal | None:
    """As a client does: a claim is checked, and what became of it told."""
    found = door.authenticate("c", name, password, peer)
    return door.proven(found, is_right(found)) if isinstance(found, Claim) else found


def users(*known: User, seconds: Seconds | None = None, **doors: Door) -> Users:
    return Users(known, doors, seconds or Seconds())


def test_a_password_is_verified_by_its_hash_and_no_other_is() -> None:
    assert verify("correct horse", SLOW)
    assert not verify("wrong horse", SLOW)
    assert hash_password("x") != hash_password("x"), "salted"
    assert "correct" not in SLOW


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "$scrypt$",
        SLOW[:-1],
        SLOW.replace("ln=14", "ln=99"),
        SLOW.replace("r=8", "r=99"),
        SLOW.replace("p=1", "p=9"),
    ],
)
def test_a_hash_of_another_form_or_of_ruinous_cost_is_refused(stored: str) -> None:
    with pytest.raises(ConfigurationError):
        check_form(stored)


@pytest.mark.parametrize("stored", [SLOW, quick_hash("correct horse"), "correct horse"])
def test_a_user_gets_in_with_the_right_password_only_however_it_is_kept(stored: str) -> None:
    door = users(User("gw", stored))
    assert enter(door, "gw", b"correct horse") == Principal("gw")
    for name, password in (
        ("gw", b"wrong"),
        ("gw", b""),
        ("gw", None),
        ("GW", b"correct horse"),
        ("nobody", b"correct horse"),
        ("gw", b"\xff\xfe"),
    ):
        assert enter(door, name, password) is None
    assert door.refused == 6


def test_a_stored_hash_is_not_itself_a_password() -> None:
    for stored in (SLOW, quick_hash("p")):
        assert enter(users(User("gw", stored)), "gw", stored.encode()) is None


def test_a_user_without_a_password_needs_a_certificate() -> None:
    door = users(User("site/press"), mqtt=Door(certificates=True))
    assert door.authenticate("c", "site/press", b"", PEER) is None
    shown = Peer(1, "", tls=True, certificate_name="site/press")
    assert door.authenticate("c", None, None, shown) == Principal("site/press")
    assert users(User("site/press")).authenticate("c", None, None, shown) is None, "the listener did not ask"


def test_whoever_is_not_in_the_list_of_users_may_nothing() -> None:
    gone = Principal("dev1")
    for door in (users(User("dev2", "x")), users(User("dev2", "x"), mqtt=Door(anonymous=True))):
        assert not door.may_publish(gone, "plant/stop")
        assert not door.may_subscribe(gone, "#")
        assert not door.holds(gone, PEER)
        assert not door.holds(gone, None)


def test_anonymous_clients_may_what_they_may_only_while_a_listener_lets_them_in() -> None:
    door = users(mqtt=Door(anonymous=True))
    assert door.may_publish(ANONYMOUS, "a")
    assert door.holds(ANONYMOUS, PEER)
    assert not door.holds(ANONYMOUS, Peer(1, "", listener="other"))
    shut = users(User("gw", "x"))
    assert not shut.may_publish(ANONYMOUS, "a")
    assert not shut.holds(ANONYMOUS, PEER)
    limited = users(User("anonymous", publish=("public/#",)), mqtt=Door(anonymous=True))
    assert limited.may_publish(ANONYMOUS, "public/a")
    assert not limited.may_publish(ANONYMOUS, "a")


def test_a_certificate_that_names_no_user_opens_a_door_only_by_name() -> None:
    def shown(name: str) -> Peer:
        return Peer(1, "", tls=True, certificate_name=name)

    shut = users(User("site/press"), mqtt=Door(certificates=True))
    assert shut.authenticate("c", None, None, shown("site/other")) is None
    door = users(User("gw", "secret"), mqtt=Door(certificates=True, members=("site/*",)))
    other = door.authenticate("c", None, None, shown("site/other"))
    assert other == Principal("site/other")
    assert door.may_publish(other, "a")
    assert door.holds(other, shown("site/other"))
    assert not door.holds(other, PEER), "a user of that name, with a password, who is no more"
    assert door.authenticate("c", None, None, shown("elsewhere/other")) is None
    assert door.authenticate("c", "gw", b"secret", shown("elsewhere/other")) == Principal("gw")
    everybody = users(mqtt=Door(certificates=True, members=("*",)))
    assert everybody.authenticate("c", None, None, shown("anonymous")) is None


def test_another_password_is_told_from_another_right_and_from_a_new_user() -> None:
    before = users(User("a", "1"), User("b", "1"), User("c", "1"))
    now = users(User("a", "2"), User("b", "1", publish=()), User("new", "1"))
    assert now.other_passwords(before) == {"a"}


def test_anonymous_clients_get_in_where_the_listener_says_so_and_wrong_passwords_do_not() -> None:
    door = users(mqtt=Door(anonymous=True))
    assert door.authenticate("c", None, None, PEER) == ANONYMOUS
    assert door.authenticate("c", "gw", b"x", PEER) is None
    assert door.authenticate("c", None, None, Peer(1, "", listener="other")) is None


def test_guessing_cannot_buy_more_slow_checks_than_the_budget_and_known_users_are_not_slowed() -> None:
    seconds = Seconds()
    door = users(User("person", SLOW), User("device", quick_hash("token")), seconds=seconds)
    assert enter(door, "person", b"correct horse")
    claims = [door.authenticate("c", "person", b"guess %d" % i, PEER) for i in range(100)]
    assert sum(isinstance(one, Claim) for one in claims) == SLOW_BURST - 1
    assert door.throttled == 100 - (SLOW_BURST - 1)
    assert enter(door, "person", b"correct horse"), "remembered, so not slow"
    assert enter(door, "device", b"token"), "never slow"
    before = door.throttled
    seconds.now += 1.0
    for _ in range(10):
        door.authenticate("c", "person", b"guess", PEER)
    assert door.throttled - before == 6, "four a second"


def test_who_guesses_locks_out_nobody_at_another_address() -> None:
    """Kills: one budget of slow checks for all."""
    door = users(User("person", SLOW))
    for i in range(100):
        claim = door.authenticate("c", "person", b"guess %d" % i, Peer(1, f"192.0.2.7:{i}"))
        if isinstance(claim, Claim):
            door.proven(claim, False)
    assert door.throttled > 90
    assert enter(door, "person", b"correct horse", Peer(2, "192.0.2.8:1")) == Principal("person")


def test_checks_that_wait_and_addresses_that_are_known_are_bounded() -> None:
    """Kills: memory, or a queue before the worker, that grows with the addresses that ask."""
    door = users(User("person", SLOW))
    peers = [Peer(i, f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}:1") for i in range(2 * ADDRESSES_MAX)]
    claims = [door.authenticate("c", "person", b"guess", peer) for peer in peers]
    waiting = [one for one in claims if isinstance(one, Claim)]
    assert len(waiting) == door.waiting == CHECKS_WAITING
    assert len(door._buckets) == ADDRESSES_MAX
    for one in waiting:
        assert door.proven(one, False) is None
    assert door.waiting == 0
    assert isinstance(door.authenticate("c", "person", b"guess", peers[0]), Claim)


def test_a_claim_opens_nothing_when_the_user_has_another_password_meanwhile() -> None:
    claim = users(User("person", SLOW)).authenticate("c", "person", b"correct horse", PEER)
    assert isinstance(claim, Claim)
    assert users(User("person", SLOW)).proven(claim, True) == Principal("person")
    other = hash_password("another", salt=bytes(16))
    for door in (users(User("person", other)), users(User("somebody", SLOW))):
        assert door.proven(claim, True) is None
    assert "horse" not in repr(claim)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("192.0.2.1:5000", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8:1:2:3:4:5:6]:7", "2001:0db8:0001:0002"),
        ("[2001:db8:1:2::9]:8", "2001:0db8:0001:0002"),
        ("[::ffff:192.0.2.1]:9", "192.0.2.1"),
        ("[fe80::1%eth0]:9", "fe80:0000:0000:0000"),
        ("a unix socket", "a unix socket"),
    ],
)
def test_whose_attempts_are_counted_together(address: str, host: str) -> None:
    assert host_of(address) == host


def test_a_user_publishes_and_subscribes_only_where_its_filters_say() -> None:
    door = users(User("gw", "x", publish=("plant/%u/#",), subscribe=("commands/+/%u", "$SYS/#")))
    gw = Principal("gw")
    assert door.may_publish(gw, "plant/gw/a/b")
    assert not door.may_publish(gw, "plant/other/a")
    assert door.may_subscribe(gw, "commands/+/gw")
    assert door.may_subscribe(gw, "commands/7/gw")
    assert not door.may_subscribe(gw, "commands/+/+")
    assert not door.may_subscribe(gw, "#")
    assert door.may_subscribe(gw, "$SYS/uptime")
    assert not door.may_subscribe(gw, "$OTHER/#")


@pytest.mark.parametrize("name", ["#", "+", "a/b", "a/#"])
def test_a_name_that_could_widen_a_filter_opens_nothing(name: str) -> None:
    door = users(User(name, "x", publish=("plant/%u/#",)))
    for topic in ("plant/a/b", "plant/#", f"plant/{name}/x", "anything"):
        assert not door.may_publish(Principal(name), topic)


@pytest.mark.parametrize(
    ("allowed", "asked", "expected"),
    [
        ("#", "a/b", True),
        ("#", "#", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a/#", True),
        ("a/#", "a/+/#", True),
        ("a/#", "+/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/+", True),
        ("a/+", "a/#", False),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/+", False),
        ("a/b", "a/b", True),
        ("a//b", "a//b", True),
        ("a/+/b", "a//b", True),
    ],
)
def test_a_filter_covers_what_it_matches_whole(allowed: str, asked: str, expected: bool) -> None:
    assert covers(allowed, asked) is expected


LEVEL = st.sampled_from(["a", "b", "", "+"])


@given(
    st.lists(LEVEL, min_size=1, max_size=4),
    st.booleans(),
    st.lists(LEVEL, min_size=1, max_size=4),
    st.booleans(),
)
def test_covering_means_matching_every_name_that_the_other_matches(
    allowed: list[str], all_open: bool, asked: list[str], asked_open: bool
) -> None:
    first = "/".join([*allowed, *(["#"] if all_open else [])])
    second = "/".join([*asked, *(["#"] if asked_open else [])])
    names = ["/".join(parts) for parts in sample_names(5)]
    if covers(first, second):
        assert all(covers(first, name) for name in names if covers(second, name))
    elif "+" not in second and not asked_open:
        assert not covers(first, second)
    else:
        assert any(covers(second, name) and not covers(first, name) for name in names)


def sample_names(levels: int) -> list[list[str]]:
    """All names of up to so many levels over a small alphabet that includes a level no filter names."""
    found: list[list[str]] = [[one] for one in ("a", "b", "", "z")]
    last = found
    for _ in range(levels - 1):
        last = [[*parts, one] for parts in last for one in ("a", "b", "", "z")]
        found = found + last
    return found


def test_a_token_names_its_bearer_and_a_short_one_is_refused() -> None:
    tokens = Tokens(
        {"0123456789abcdef": ("scada", frozenset({"push"})), quick_hash("other-token"): ("x", frozenset())}
    )
    assert tokens.who("0123456789abcdef") == ("scada", frozenset({"push"}))
    assert tokens.who("other-token") == ("x", frozenset())
    assert tokens.who("") is None
    assert tokens.who(quick_hash("other-token")) is None
    with pytest.raises(ConfigurationError, match="shorter than 16"):
        Tokens({"short": ("x", frozenset())})


def test_no_repr_shows_a_stored_password() -> None:
    assert "horse" not in repr(User("gw", "correct horse"))


def test_a_check_that_finds_no_memory_has_failed_and_ends_nothing() -> None:
    """In a process of its own. OpenSSL's word for it is a ValueError; whoever knows a name may cause it."""
    code = (
        "import resource\n"
        "from headland.mqtt.surface import Claim\n"
        "from headland.trust.access import is_right\n"
        "from headland.trust.passwords import hash_password, verify\n"
        "stored = hash_password('x', salt=bytes(16)).replace('ln=14', 'ln=18').replace('r=8', 'r=16')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)\n"
        "try:\n"
        "    verify('x', stored)\n"
        "except MemoryError as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "MemoryError\n"
