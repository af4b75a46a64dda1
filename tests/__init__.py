"""A package, so that no `tests` that an installed distribution (gmqtt) left behind stands before these."""
