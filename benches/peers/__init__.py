"""Headland beside what is used today: the same clients, the same cut and kill, in one run.

`./dev bench peers [--json] [--repeats N] [--seconds S] [--page FILE]`. A peer is two servers, one at the edge
and one north of it, with a wire between them that counts bytes and can be cut (`system.System`).
Each gets three trials: `losing` (what was acknowledged and did not arrive), `taking` (how fast it
acknowledges), `carrying` (what a reading costs on processor, wire and disk).
"""
