"""Questions to a running node, and the few orders that it takes from its operator.

Questions change nothing. An order (`resend`, `release`, `parent_gone`, `demand`, `desire`) is answered when
its commit is durable.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import msgspec

from headland.config.loading import read_toml
from headland.node import events as ev
from headland.node.north import NOBODY
from headland.node.quarantine import Entry, Listed
from headland.node.queues import dead_letters_of, name_of_stream, queue_of
from headland.node.reloading import BODY_MAX, KIND
from headland.node.status import ledger_of, status_of
from headland.vocabulary import ConfigurationError, Instant, Priority

if TYPE_CHECKING:
    from headland.node.core import Node

PREVIEW_CHARACTERS = 200
ORDERS = "orders"
"""Owner of STATE sections that only say that an operator ordered something."""
ROOT = {"code": "no_parent", "message": "this node sends to nobody: it has no queue"}


def answer(node: Node, asked: ev.Asked, now: Instant) -> None:
    """Answer one question, or take one order."""
    match asked.what:
        case "status":
            _reply(node, asked.token, status_of(node, now))
        case "ledger":
            hours = asked.arguments.get("hours", "") not in ("", "0", "false")
            _reply(node, asked.token, ledger_of(node, now, hours=hours))
        case "queue":
            _reply(node, asked.token, queue_of(node, now))
        case "dead":
            outbox = node.parts.north.outbox
            letters = dead_letters_of(outbox) if outbox is not None else []
            unlisted = outbox.state.unlisted if outbox is not None else 0
            _reply(node, asked.token, {"dead": letters, "unlisted": unlisted})
        case "quarantine":
            _reply(node, asked.token, _quarantine(node))
        case "children":
            _reply(node, asked.token, {"children": node.parts.south.report()})
        case "gaps":
            _gaps(node, asked.token)
        case "resend":
            _resend(node, asked, now)
        case "release":
            _release(node, asked, now)
        case "parent_gone":
            _parent_gone(node, asked, now)
        case "demand":
            _demand(node, asked, now)
        case "desire":
            _desire(node, asked, now)
        case _:
            _problem(node, asked.token, 404, "no_such_question", asked.what)


def ordered(node: Node, done: ev.Ordered, now: Instant) -> None:
    """What an order wrote is durable."""
    if done.released is not None:
        assert node.parts.north.outbox is not None
        node.parts.north.outbox.demand(Priority(done.released))
        node.parts.north.stir()
        _reply(node, done.token, {"row_class": Priority(done.released).name.lower(), "state": "released"})
    if done.status is not None:
        node.parts.north.report(node, done.status, now)


def _gaps(node: Node, token: int) -> None:
    missing = node.parts.shelving.shelf.missing
    if node.parts.north.outbox is not None:
        _problem(node, token, 404, "no_store", "this node sends north and stores nothing; ask its parent")
    else:
        _reply(node, token, {"gaps": missing.report(), "unlisted": missing.unlisted})


def _resend(node: Node, asked: ev.Asked, now: Instant) -> None:
    text = asked.arguments.get("number", "")
    outbox = node.parts.north.outbox
    if outbox is None:
        _reply(node, asked.token, ROOT, 409)
        return
    if not text.isdecimal() or len(text) > 18:
        _problem(node, asked.token, 400, "bad_number", "number=N, as the list of dead letters says")
        return
    number = int(text)
    if number in {item.number for item in outbox.dead_runs()}:
        node.say("info", "order", what="resend", number=number)
        node.parts.north.resend_run(node, number, asked.token)
        return
    if number not in {item.number for item in outbox.dead_letters()}:
        _problem(node, asked.token, 404, "no_such_letter", f"{number} is not in the list of dead letters")
        return
    node.begin(now)
    outbox.resend(number, now, node.draft)
    node.parts.north.stir()
    node.say("info", "order", what="resend", number=number)
    node.after(node.draft.n, _answer_of(asked.token, {"number": number, "state": "waits again"}))


def _release(node: Node, asked: ev.Asked, now: Instant) -> None:
    """Let what a stopped stream holds be sent again, or make dead letters of it; the stream goes on."""
    name, bury = asked.arguments.get("stream", ""), asked.arguments.get("as", "") == "dead"
    outbox = node.parts.north.outbox
    if outbox is None:
        _reply(node, asked.token, ROOT, 409)
        return
    if asked.arguments.get("as", "") not in ("waiting", "dead"):
        _problem(node, asked.token, 400, "bad_form", "as=waiting sends again, as=dead makes dead letters")
        return
    stream = next((one for one in outbox.stopped() if name_of_stream(one.key) == name), None)
    if stream is None:
        known = ", ".join(name_of_stream(one.key) for one in outbox.stopped())
        message = f"{name!r} is not a stopped stream; stopped are: {known or 'none'}"
        _problem(node, asked.token, 404, "no_such_stream", message)
        return
    why = outbox.why_not_released(stream.key, bury=bury)
    if why:
        _problem(node, asked.token, 409, "not_now", f"{name}: {why}")
        return
    node.begin(now)
    done = outbox.release(stream.key, node.draft, bury=bury)
    state = "dead letters" if bury else "wait again"
    body = {"stream": name, "blocks": done.blocks, "readings": done.readings, "state": state}
    node.say("info", "order", what="release", stream=name, blocks=done.blocks, form=state)
    if not bury:
        for number in done.runs:
            node.parts.north.resend_run(node, number, NOBODY)
    node.parts.north.stir()
    node.after(node.draft.n, _answer_of(asked.token, body))


def _parent_gone(node: Node, asked: ev.Asked, now: Instant) -> None:
    """What a parent may hold that will not come back counts as unsent: it may expire, go, or be buried."""
    outbox = node.parts.north.outbox
    if outbox is None:
        _reply(node, asked.token, ROOT, 409)
        return
    unknown = outbox.unknown()
    if unknown is None:
        message = "no parent but the one that is connected may hold a block of unknown outcome"
        _problem(node, asked.token, 409, "nothing_unknown", message)
        return
    name, blocks = unknown
    node.begin(now)
    outbox.parent_gone(node.draft)
    node.say("warning", "order", what="parent_gone", parent=name, blocks=blocks)
    node.parts.north.stir()
    body = {"parent": name, "blocks": blocks, "state": "counts as unsent"}
    node.after(node.draft.n, _answer_of(asked.token, body))


def _demand(node: Node, asked: ev.Asked, now: Instant) -> None:
    name = asked.arguments.get("class", "").upper()
    if node.parts.north.outbox is None:
        _reply(node, asked.token, ROOT, 409)
        return
    if name not in Priority.__members__:
        known = ", ".join(one.name.lower() for one in Priority)
        _problem(node, asked.token, 400, "bad_class", f"class= one of {known}")
        return
    priority = Priority[name]
    node.begin(now)
    node.parts.sealing.ask(priority)
    node.draft.state(ORDERS, msgspec.msgpack.encode(["demand", int(priority)]))
    node.say("info", "order", what="demand", row_class=name.lower())
    node.after(node.draft.n, ev.Ordered(asked.token, released=int(priority)))


def _desire(node: Node, asked: ev.Asked, now: Instant) -> None:
    """Want a configuration at a direct child; it is sent down until the child says what became of it."""
    name, body = asked.arguments.get("child", ""), asked.arguments.get("body", "").encode()
    children = node.parts.south.children
    if name not in children.positions.children:
        _problem(node, asked.token, 404, "no_such_child", f"{name!r} has never called here")
        return
    if len(body) > BODY_MAX:
        _problem(node, asked.token, 413, "too_large", f"an intent is at most {BODY_MAX} bytes")
        return
    try:
        read_toml(body, "")
    except ConfigurationError as error:
        _problem(node, asked.token, 400, "not_toml", str(error))
        return
    version = node.parts.south.newest_version(name, KIND) + 1
    node.begin(now)
    children.desire(name, KIND, version, body, now, node.draft)
    node.say("info", "order", what="desire", child=name, version=version)
    node.after(node.draft.n, _answer_of(asked.token, {"child": name, "kind": KIND, "version": version}))


def _quarantine(node: Node) -> Listed:
    quarantine = node.parts.intake.quarantine
    entries = [
        Entry(
            number=one.number,
            node_ns=one.node_ns,
            client=one.client,
            topic=one.topic,
            reason=one.reason,
            detail=one.detail,
            bytes=len(one.payload),
            payload=b64encode(one.payload).decode(),
            preview=_preview(one.payload),
        )
        for one in quarantine.entries()
    ]
    return Listed(evicted=quarantine.evicted, entries=entries)


def _preview(payload: bytes) -> str:
    """The beginning as text in which nothing can move a cursor."""
    text = payload[: PREVIEW_CHARACTERS * 4].decode(errors="replace")[:PREVIEW_CHARACTERS]
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _problem(node: Node, token: int, status: int, code: str, message: str) -> None:
    _reply(node, token, {"code": code, "message": message}, status)


def _reply(node: Node, token: int, body: object, status: int = 200) -> None:
    node.emit(_answer_of(token, body, status))


def _answer_of(token: int, body: object, status: int = 200) -> ev.Reply:
    return ev.Reply(token, status, msgspec.json.encode(body), (("content-type", "application/json"),))
