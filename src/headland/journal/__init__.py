"""The durable log: segments, commits, checkpoints and recovery, as decisions over bytes."""
