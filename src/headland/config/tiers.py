"""The tiers: one column of defaults each, and nowhere else a difference.

The table changes defaults of keys that stand in the structs; what the file says itself counts more. Budgets
are the pattern document's (immediate response < 1 ms at the device, < 10 ms local, < 50 ms regional, 100 ms
and more in the cloud); sizes are ours.
"""

from __future__ import annotations

from headland.vocabulary import Tier

MIB = 1024 * 1024

TABLE: dict[str, tuple[int | float, int | float, int | float, int | float]] = {
    # device, local, regional, cloud
    "decide.budget_ms": (1.0, 10.0, 50.0, 100.0),
    "decide.waiting_bytes_max": (16 * MIB, 64 * MIB, 256 * MIB, 256 * MIB),
    "mqtt.connections_max": (200, 10_000, 20_000, 20_000),
    "mqtt.sessions_max": (400, 20_000, 40_000, 40_000),
    "http.connections_max": (50, 1_000, 2_000, 10_000),
    "journal.segment_bytes": (16 * MIB, 64 * MIB, 64 * MIB, 64 * MIB),
    "journal.checkpoint_log_bytes": (16 * MIB, 64 * MIB, 64 * MIB, 64 * MIB),
    "journal.unstored_bytes_max": (16 * MIB, 64 * MIB, 128 * MIB, 128 * MIB),
    "disk.reserve_bytes": (16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB),
}

DEFAULTS: dict[Tier, dict[str, int | float]] = {
    tier: {key: row[column] for key, row in TABLE.items()}
    for column, tier in enumerate((Tier.DEVICE, Tier.LOCAL, Tier.REGIONAL, Tier.CLOUD))
}
