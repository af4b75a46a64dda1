"""Who may do what: MQTT users with passwords and topic filters, bearer tokens of the HTTP listener.

A password's slow check (scrypt, tens of milliseconds) would stop the decisions of a whole node, so:

* it is made beside the loop: `authenticate` gives a `Claim`, `is_right` checks it on a worker, and `proven`
  takes what became of it; the client's connection waits, and no other;
* a password that was right once is remembered as a keyed digest and costs microseconds from then on;
* each address (of IPv6: each /64) has its own `SLOW_BURST` and `SLOW_CHECKS_PER_S`, and at most
  `CHECKS_WAITING` of all wait; beyond either a connect is refused at once. The newest `ADDRESSES_MAX`
  addresses are known;
* machine-made passwords (`headland password` makes them) are 256 random bits and are kept as a plain SHA-256:
  nothing can be guessed, so nothing needs to be slow.

Whoever is not in the list of users may nothing, however it once came in: only anonymous clients, where a door
lets them in, and the certificates that a door names may everything without standing there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address

import msgspec

from headland.mqtt.surface import Claim, Peer, Principal
from headland.trust import passwords
from headland.vocabulary import ConfigurationError

SLOW_CHECKS_PER_S = 4.0
SLOW_BURST = 8.0
CHECKS_WAITING = 64
"""About three seconds of the worker."""
ADDRESSES_MAX = 4_096
ANONYMOUS = Principal("anonymous")
_SHA256 = re.compile(r"\$sha256\$([0-9a-f]{64})")


class User(msgspec.Struct, frozen=True):
    """A user as it may connect.

    Attributes:
        name: User name, or the name in a certificate.
        stored: A password hash, or the password itself, or "" for a user who needs a certificate.
        publish, subscribe: Topic filters; `%u` stands for the name.
    """

    name: str
    stored: str = ""
    publish: tuple[str, ...] = ("#",)
    subscribe: tuple[str, ...] = ("#",)

    def __repr__(self) -> str:
        return f"User({self.name!r})"


class Door(msgspec.Struct, frozen=True):
    """What a listener lets in: anonymous clients, and certificates in place of passwords.

    Attributes:
        anonymous: Whether clients without user name or certificate come in.
        certificates: Whether the name in a certificate is a user.
        members: Patterns (`*`: any part) of names in certificates that may everything without being users.
    """

    anonymous: bool = False
    certificates: bool = False
    members: tuple[str, ...] = ()

    def names(self, certificate: str) -> bool:
        """Whether the name in a certificate needs no user here."""
        return self.certificates and any(fnmatchcase(certificate, pattern) for pattern in self.members)


class Users:
    """The MQTT broker's authenticator (see `headland.mqtt.surface.Authenticator`).

    Attributes:
        refused: Connects refused, for metrics.
        throttled: Of those, refused because too many slow checks were asked for.
        waiting: Slow checks asked for and not yet made.
    """

    def __init__(
        self, users: Sequence[User], doors: Mapping[str, Door], seconds: Callable[[], float]
    ) -> None:
        self._users = {user.name: user for user in users}
        for user in users:
            if passwords.is_hash(user.stored):
                passwords.check_form(user.stored)
        self._doors = dict(doors)
        self._seconds = seconds
        self._key = os.urandom(32)
        self._known: dict[str, bytes] = {}
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: slow checks that it may ask for, and when that was so."""
        self.waiting = 0
        self.refused = 0
        self.throttled = 0

    def authenticate(
        self, client_id: str, username: str | None, password: bytes | None, peer: Peer
    ) -> Principal | Claim | None:
        """The principal, or None to refuse. A certificate of somebody known counts before a password.

        A `Claim` has to be checked (`is_right`), and told to `proven`.
        """
        door = self._doors.get(peer.listener, Door())
        shown = peer.certificate_name if door.certificates else None
        if shown and shown != ANONYMOUS.name and (shown in self._users or door.names(shown)):
            return Principal(shown)
        principal: Principal | Claim | None
        if username is None:
            principal = ANONYMOUS if door.anonymous else None
        else:
            principal = self._by_password(username, password or b"", peer.address)
        if principal is None:
            self.refused += 1
        return principal

    def proven(self, claim: Claim, right: bool) -> Principal | None:
        """A claim has been checked; it opens nothing when the user has another password meanwhile."""
        self.waiting = max(0, self.waiting - 1)
        user = self._users.get(claim.name)
        if not right or user is None or user.stored != claim.stored:
            self.refused += 1
            return None
        self._known[claim.name] = self._digest(claim.password)
        return Principal(claim.name)

    def may_publish(self, principal: Principal, topic: str) -> bool:
        """Whether a filter of the user's `publish` covers the topic name."""
        user = self._users.get(principal.name)
        filters = user.publish if user is not None else self._without_user(principal)
        return any(covers(_filled(one, principal.name), topic) for one in filters)

    def may_subscribe(self, principal: Principal, filter: str) -> bool:  # noqa: A002
        """Whether a filter of the user's `subscribe` covers everything that `filter` would match."""
        user = self._users.get(principal.name)
        filters = user.subscribe if user is not None else self._without_user(principal)
        return any(covers(_filled(one, principal.name), filter) for one in filters)

    def holds(self, principal: Principal, peer: Peer | None) -> bool:
        """Whether who was let in once still is somebody; `peer` is None for a session without connection."""
        doors = self._doors.values() if peer is None else (self._doors.get(peer.listener, Door()),)
        if principal == ANONYMOUS:
            return any(door.anonymous for door in doors)
        if principal.name in self._users:
            return True
        shown = principal.name if peer is None else peer.certificate_name
        return shown == principal.name and any(door.names(shown) for door in doors)

    def other_passwords(self, before: Users) -> frozenset[str]:
        """Users who were there before with another password (or none)."""
        then = before._users
        return frozenset(
            name for name, user in self._users.items() if name in then and then[name].stored != user.stored
        )

    def _without_user(self, principal: Principal) -> tuple[str, ...]:
        """Filters of a principal that is no user: everything for whom a door lets in so, else nothing."""
        return ("#",) if self.holds(principal, None) else ()

    def _by_password(self, name: str, password: bytes, address: str) -> Principal | Claim | None:
        user = self._users.get(name)
        stored = user.stored if user is not None else ""
        if not stored:
            return None
        quick = _SHA256.fullmatch(stored)
        if quick:
            right = hmac.compare_digest(hashlib.sha256(password).hexdigest(), quick[1])
        elif not passwords.is_hash(stored):
            right = hmac.compare_digest(password, stored.encode())
        else:
            right = hmac.compare_digest(self._known.get(name, b""), self._digest(password))
            if not right and self._may_ask(address):
                self.waiting += 1
                return Claim(name, password, stored)
        return Principal(name) if right else None

    def _digest(self, password: bytes) -> bytes:
        return hmac.digest(self._key, password, "sha256")

    def _may_ask(self, address: str) -> bool:
        """Whether this address may have one more slow check made."""
        host, now = host_of(address), self._seconds()
        left, since = self._buckets.get(host, (SLOW_BURST, now))
        left = min(SLOW_BURST, left + (now - since) * SLOW_CHECKS_PER_S)
        may = left >= 1 and self.waiting < CHECKS_WAITING
        self.throttled += not may
        self._buckets[host] = (left - may, now)
        self._buckets.move_to_end(host)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return may


class Tokens:
    """Bearer tokens of the HTTP listener: names by SHA-256 of the token."""

    def __init__(self, tokens: Mapping[str, tuple[str, frozenset[str]]]) -> None:
        """`tokens`: the token (or `$sha256$<hex>`) to (name, what it may)."""
        self._by_digest: dict[bytes, tuple[str, frozenset[str]]] = {}
        for token, who in tokens.items():
            quick = _SHA256.fullmatch(token)
            if quick is None and len(token) < 16:
                raise ConfigurationError(f"the token of {who[0]!r} is shorter than 16 characters")
            digest = bytes.fromhex(quick[1]) if quick else hashlib.sha256(token.encode()).digest()
            self._by_digest[digest] = who

    def who(self, bearer: str) -> tuple[str, frozenset[str]] | None:
        """(name, what it may) of whoever bears this token; None for nobody."""
        return self._by_digest.get(hashlib.sha256(bearer.encode()).digest())


def is_right(claim: Claim) -> bool:
    """Whether a password fits its hash. Takes tens of milliseconds and some memory: not on the loop.

    A check that the machine has no memory for has failed.
    """
    try:
        return passwords.verify(claim.password.decode(), claim.stored)
    except (UnicodeDecodeError, MemoryError):
        return False


def host_of(address: str) -> str:
    """Whose attempts are counted together: an IPv4 address, a /64 of IPv6; `address` may end in a port."""
    host = address.rpartition(":")[0] if address.count(":") == 1 or "]" in address else address
    try:
        found = ip_address(host.strip("[]"))
    except ValueError:
        return host
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    if mapped is not None:
        return str(mapped)
    return found.packed[:8].hex(":", 2) if isinstance(found, IPv6Address) else str(found)


def quick_hash(secret: str) -> str:
    """How a machine-made secret of 256 random bits is kept: `$sha256$<hex>`."""
    return f"$sha256${hashlib.sha256(secret.encode()).hexdigest()}"


def covers(allowed: str, asked: str) -> bool:
    """Whether the topic filter `allowed` matches all that `asked` (a name or a filter) matches.

    MQTT 5, 4.7: `+` is one level, a last `#` any number including none; neither matches a first `$` level.
    """
    if allowed.startswith(("#", "+")) and asked.startswith("$"):
        return False
    have, want = allowed.split("/"), asked.split("/")
    for i, level in enumerate(have):
        if level == "#":
            return True
        if i >= len(want) or want[i] == "#":
            return False
        if level != "+" and level != want[i]:
            return False
    return len(have) == len(want)


def _filled(pattern: str, user: str) -> str:
    """`%u` replaced; a user's name that could widen the filter makes it match nothing."""
    if "%u" not in pattern:
        return pattern
    return "\0" if any(mark in user for mark in "/+#") else pattern.replace("%u", user)
