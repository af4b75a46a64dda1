"""The soak: two tiers under a steady load for an hour, the uplink cut by turns; nothing may creep."""
