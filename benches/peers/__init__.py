"""Headland beside what is used today: the same clients, the same cut and kill, in one run.

`./dev bench peers [--quick] [--json] [--page FILE] [--read FILE] [--repeats N] [--only SYSTEM] [--trial T]`

A peer is an edge server and one north of it, with a wire between them that counts bytes and can be cut
(`system.System`). Each gets four trials, each in a process of its own that is ended with all it started after
150 s at the latest (`turn.run`): `losing` (what was acknowledged and did not arrive), `taking` (how fast it
acknowledges), `carrying` (what a reading costs on processor, wire and disk), `draining` (live readings beside
a backlog). Systems take turns within each repeat; medians count, and sums of what must never happen. A peer
that cannot be measured is said so and spoils nobody else's figures. `bars` holds ratios against their bars.

Peers from PyPI and npm are installed into `.build/peers/` from their locks on first use (`environments`);
mosquitto and node come from the system. Everything binds ports that the system hands out.
"""
