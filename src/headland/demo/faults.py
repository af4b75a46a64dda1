"""What the demo does to itself: a cut wire and killed nodes.

The timeline, for `seconds` S, a cut of C seconds and K kills::

    0              devices begin
    0.15 S         the wire between local-1 and the regional node goes silent, for C seconds
    0.25 S ...     K kills up to 0.85 S, nodes in turn, each up again within a few seconds
    S              devices stop measuring

A kill hits the moment between a commit and its acknowledgement. The proxy before the node holds back what
the node answers, until it holds acknowledgements of publishes, which are therefore on disk; then the node
gets SIGKILL, and the held answers are thrown away. So those publishes must be sent again *after* their
commit.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from headland.demo.site import CUT, KILLED

if TYPE_CHECKING:
    from headland.demo.story import Demo

CUT_AT = 0.15
KILLS_FROM, KILLS_TO = 0.25, 0.85
HOLD_S = 5.0
DOWN_S = 0.5
FELT_S = 60.0
BACKLOG_LEFT_SHARE = 0.01
BACKLOG_LEFT = 50


async def cut_link(demo: Demo) -> None:
    """The cut, and how long it is felt after the wire is back."""
    cut_s = demo.options.cut_s
    if cut_s <= 0:
        return
    await demo.at(CUT_AT * demo.options.seconds)
    demo.view.say(f"{demo.now()}cut: the wire between {CUT} and regional is silent for {cut_s:g} s")
    demo.picture.phase = f"the link of {CUT} is cut; it decides, stores and acknowledges as before"
    demo.links[CUT].cut(silent=True)
    await asyncio.sleep(cut_s)
    node = demo.nodes[CUT]
    await node.look()
    waiting = node.status.pending_readings if node.status is not None else 0
    committed = node.status.readings("committed") if node.status is not None else 0
    demo.links[CUT].restore()
    demo.view.say(f"{demo.now()}restored: {waiting:,} readings wait at {CUT}")
    demo.picture.phase = f"{CUT} drains what waited; live readings go first"
    await _feel(demo, committed, waiting)
    demo.picture.phase = "everything flows"


async def _feel(demo: Demo, committed: int, waiting: int) -> None:
    """Measure the first arrival at the parent, and when the backlog is gone."""
    node, restored = demo.nodes[CUT], time.monotonic()
    left_max = max(BACKLOG_LEFT, int(waiting * BACKLOG_LEFT_SHARE))
    while time.monotonic() - restored < FELT_S:
        status = await node.look()
        since = time.monotonic() - restored
        if status is not None and demo.first_arrival_s is None and status.readings("committed") > committed:
            demo.first_arrival_s = since
            demo.view.say(f"{demo.now()}first arrival {since:.2f} s after the wire was back")
        if demo.first_arrival_s is not None and status is not None and status.pending_readings <= left_max:
            demo.drain_s = since
            demo.view.say(f"{demo.now()}drained {since:.2f} s after the wire was back")
            return
        await asyncio.sleep(0.05)


async def kill_nodes(demo: Demo) -> None:
    """Kill and restart nodes in turn."""
    options = demo.options
    for number in range(options.kills):
        share = KILLS_FROM + (KILLS_TO - KILLS_FROM) * number / max(1, options.kills)
        await demo.at(share * options.seconds)
        await kill(demo, KILLED[number % len(KILLED)])


async def kill(demo: Demo, name: str) -> None:
    """Hold answers back until a publish is committed and unanswered, then kill; later start again."""
    door, node = demo.doors[name], demo.nodes[name]
    door.hold_answers()
    caught = await door.caught(HOLD_S)
    await node.kill()
    door.forget_held()
    demo.view.say(f"{demo.now()}killed {name} with SIGKILL; {caught} publishes committed but not answered")
    await asyncio.sleep(DOWN_S)
    began = time.monotonic()
    await node.start()
    demo.view.say(f"{demo.now()}{name} accepts again {time.monotonic() - began:.2f} s after its start")
