"""The composed node on a simulated clock, disk and network, with faults and traces."""
