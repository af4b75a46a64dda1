"""Two tiers: who stands where, what their files say.

::

    N connections (MQTT 3.1.1, QoS 1, in C) ──► child ══[wire]══► parent

Both are real processes with the defaults of their tiers, made by `headland init` with one development
authority, bound to 127.0.0.1, but for smaller segments of the log: with those, either fills and gives back
several in minutes, so that what is looked at is the steady state and not how a first segment fills. For the
same reason the child has a disk budget: it keeps what its parent has answered as long as there is room, and
remembers about 5 bytes of each of those blocks; with half of a large disk it would do so for days.
Every reading is kept, so that each acknowledged one has to stand at the parent.
"""

from __future__ import annotations

from pathlib import Path

from campaign.chain import Plan, Ports, Site, init_node, unused_ports

CHILD, PARENT = "child", "parent"
PREFIX = "soak"
"""First level of every topic, and first part of every series."""
PLANS = (Plan(PARENT, "cloud", ""), Plan(CHILD, "local", PARENT))
RULES = f"""
# ---- added by the soak ----
[[mapping]]
topic = "{PREFIX}/{{line}}"
series = "{PREFIX}/{{line}}"
array = "$"
value = "$.v"
time = "$.t"
time_unit = "ns"
sequence = "$.s"

[default]
name = "rest"
filter = {{ kind = "keep" }}
"""

MIB = 1 << 20
SEGMENTS = {CHILD: 16 * MIB, PARENT: 2 * MIB}
"""Segments of the log: at 50,000 readings a second a quarter of a minute's worth."""


async def make_site(root: Path, budget_bytes: int) -> Site:
    """Make both nodes; the child with a disk budget.

    Raises:
        HeadlandError: `headland init` failed; the message holds what it said.
    """
    free = unused_ports(3 * len(PLANS) + 1)
    names = [plan.name for plan in PLANS]
    ports = Ports(
        mqtt={name: next(free) for name in names},
        http={name: next(free) for name in names},
        link={name: next(free) for name in names},
        wire={CHILD: next(free)},
        door={},
        clone=(0, 0, 0),
    )
    site = Site(root, ports)
    for plan in PLANS:
        await init_node(site, plan)
        with site.file(plan.name).open("a", encoding="utf-8") as file:
            size = SEGMENTS[plan.name]
            file.write(f"{RULES}\n[journal]\nsegment_bytes = {size}\ncheckpoint_log_bytes = {size}\n")
            if plan.name == CHILD:
                file.write(f"\n[disk]\nbudget_bytes = {budget_bytes}\n")
    return site
