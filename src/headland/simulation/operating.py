"""An operator at one node: asks everything, gives every order, makes every mistake."""

from __future__ import annotations

from headland.node import events as ev
from headland.node.queues import name_of_stream
from headland.simulation.watching import Watching
from headland.simulation.world import Host, World
from headland.vocabulary import Priority

INTENTS = (
    "[decide]\nbudget_ms = 5.0\n",
    "[classes.low]\nmax_retries = 3\n",
    "[classes.low]\nmax_retries = 1\n",
    "[ledger]\nprice_per_gb = 9.5\n",
    "[formats]\nmax_depth = 12\n",
    "",
)
"""Configurations that a parent may want."""
_SERIES = "[[series]]\nname = 'x'\nfilter = { kind = %s }\n"
_RULE = "[[rule]]\nname = 'x'\nwhen = { kind = %s }\n"
_MAPPING = "[[mapping]]\ntopic = %s\n"
WRONG_INTENTS = (
    "[decide]\nbudget_ms = -5.0\n",
    "[nonsense]\nkey = 1\n",
    "[classes.low]\nnonsense = 1\n",
    "[[user]]\nname = 'eve'\n",
    "[[rule]]\nname = 'r'\nwhen = { kind = 'silence' }\nact = [{ kind = 'command', target = '/bin/true' }]\n",
    "decide = 7\n",
    _SERIES % "'deadband', ratio = -1.0",
    _SERIES % "'deadband', absolute = -1.0",
    _SERIES % "'boost', before_s = -1.0",
    _SERIES % "'boost', above = 1.0, ring_rows = 0",
    _SERIES % "'boost'",
    _SERIES % "'summary', window_s = 0.0",
    _SERIES % "'summary', lateness_s = -1.0",
    _SERIES % "'summary', window_s = 0.01, hold_s = 1000000.0",
    _SERIES % "'summary', quantiles = [0.9, 0.1]",
    _SERIES % "'vibration', rate_hz = 0.0",
    _SERIES % "'vibration', rate_hz = 10.0, window = 4",
    _SERIES % "'vibration', rate_hz = 10.0, summary_s = 0.1",
    _SERIES % "'vibration', rate_hz = 10.0, bands = [{ name = 'b', low_hz = 2.0, high_hz = 1.0 }]",
    _SERIES % "'vibration', rate_hz = 10.0, summary_s = 900.0, limits = { colour = 1.0 }",
    _SERIES % "'plugin', use = 'nowhere:Filter'",
    _SERIES % "'plugin', use = 'json:JSONDecoder'",
    _SERIES % "'keep' }\nmatch = '{open/*'\nlabels = { a = '*'",
    _SERIES % "'keep' }\nmatch = '{a}/{a}'\nlabels = { a = '*'",
    "[[series]]\nname = ''\nfilter = { kind = 'keep' }\n",
    2 * (_SERIES % "'keep'"),
    _RULE % "'threshold'",
    _RULE % "'threshold', above = 1.0, hysteresis = -1.0",
    _RULE % "'rate'",
    _RULE % "'silence', after_s = 0.0",
    _RULE % "'cel', expression = ' '",
    _RULE % "'cel', expression = 'value >'",
    _RULE % "'cel', expression = 'colour > 1'",
    "[[rule]]\nname = ''\nwhen = { kind = 'silence' }\n",
    "[[rule]]\nname = 'x'\nwhen = { kind = 'silence' }\nact = [{ kind = 'mqtt', target = '' }]\n",
    _MAPPING % "'a/#/b'",
    _MAPPING % "'a/{b}/{b}'",
    _MAPPING % "'a{#}'",
    _MAPPING % "'a'\nunit = 'm'\nlabels = { unit = 'cm' }",
    _MAPPING % "'a'\nformat = 'influx'\nvalue = '$.v'",
    _MAPPING % "'a'\nvalue = '$.[oops'",
    _MAPPING % "'a'\nseries = '{nobody}'",
    _MAPPING % "'a'\nseries = '{open'",
    "not = = toml",
    "#" * (129 << 10),
)
"""Configurations that a node must refuse, naming the key."""
QUESTIONS = ("status", "ledger", "queue", "dead", "quarantine", "children", "gaps", "what is this")
RESENT_MAX = 20
RELEASED_MAX = 3
MISTAKES = 4


def operate(world: World, witness: Watching, host: Host, *, intents: bool) -> None:
    """An operator looks at everything, sends dead letters again, wants a configuration at each child.

    Args:
        world: Where.
        witness: Who looks on.
        host: At which machine.
        intents: Whether nodes have files that configurations can be laid over; mistakes are made there, too.
    """
    for question in QUESTIONS:
        host.ask(question, hours="1")
    node = host.node
    if node is None:
        return
    outbox = node.parts.north.outbox
    if outbox is not None:
        host.ask("demand", **{"class": world.rng.choice(list(Priority)).name.lower()})
        letters = [letter.number for letter in outbox.dead_letters()[:RESENT_MAX]]
        for number in letters + [run.number for run in outbox.dead_runs()[:RESENT_MAX]]:
            host.ask("resend", number=str(number))
            world.count("dead_letter_resent")
        for stream in outbox.stopped()[:RELEASED_MAX] if intents and world.chance(0.5) else ():
            form = world.rng.choice(("waiting", "dead"))
            witness.released.add(host.name)
            world.count("stopped_stream_released")
            host.ask("release", stream=name_of_stream(stream.key), **{"as": form})
    for child in list(node.parts.south.children.positions.children):
        bodies = INTENTS if intents else INTENTS[:1]
        host.ask("desire", child=child, body=world.rng.choice(bodies))
    if intents:
        _err(world, host)


def _err(world: World, host: Host) -> None:
    """Orders that cannot be carried out, configurations that cannot be, a file that cannot be read."""
    for question in ("release", "parent_gone"):
        host.ask(question, stream="nobody", **{"as": "waiting"})
    host.ask("release", stream="nobody", **{"as": "gold"})
    host.ask("resend", number="seven")
    host.ask("resend", number="999999999")
    host.ask("demand", **{"class": "purple"})
    host.ask("desire", child="nobody/here", body="")
    for child in list(host.node.parts.south.children.positions.children) if host.node is not None else ():
        for body in world.rng.sample(WRONG_INTENTS, MISTAKES):
            host.ask("desire", child=child, body=body)
    now_s = host.now().wall_ns / 1e9
    host.feed(ev.Certified(now_s - 86_400, now_s + world.uniform(-3_600, 40 * 86_400)))
    host.feed(ev.FileRefused("series[0].filter.kind: no such filter"))
    for connection in list(host.wires):
        host.feed(ev.Unwritten(connection, 64 << 20))
        host.feed(ev.Unwritten(connection, 0))
    host.feed(ev.Refused("link", "192.0.2.1", "certificate", "a stranger"))
