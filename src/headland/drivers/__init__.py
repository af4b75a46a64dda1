"""Clock, disk, network, randomness and keys: the protocols, and the real ones."""
