"""The tiers: one row of defaults each, and nowhere else a difference.

A row changes defaults of keys that stand in the structs; what the file says itself counts more. Budgets are
the pattern document's (immediate response < 1 ms at the device, < 10 ms local, < 50 ms regional, 100 ms and
more in the cloud); sizes are ours.
"""

from __future__ import annotations

from headland.vocabulary import Tier

MIB = 1024 * 1024

DEFAULTS: dict[Tier, dict[str, int | float]] = {
    Tier.DEVICE: {
        "decide.budget_ms": 1.0,
        "mqtt.connections_max": 200,
        "mqtt.sessions_max": 400,
        "disk.reserve_bytes": 16 * MIB,
        "journal.segment_bytes": 16 * MIB,
        "journal.checkpoint_log_bytes": 16 * MIB,
        "journal.unstored_bytes_max": 16 * MIB,
        "http.connections_max": 50,
    },
    Tier.LOCAL: {
        "decide.budget_ms": 10.0,
        "mqtt.connections_max": 10_000,
        "mqtt.sessions_max": 20_000,
        "disk.reserve_bytes": 64 * MIB,
        "http.connections_max": 1_000,
    },
    Tier.REGIONAL: {
        "decide.budget_ms": 50.0,
        "mqtt.connections_max": 20_000,
        "mqtt.sessions_max": 40_000,
        "disk.reserve_bytes": 256 * MIB,
        "http.connections_max": 2_000,
    },
    Tier.CLOUD: {
        "decide.budget_ms": 100.0,
        "mqtt.connections_max": 20_000,
        "mqtt.sessions_max": 40_000,
        "disk.reserve_bytes": 1024 * MIB,
        "http.connections_max": 10_000,
    },
}
