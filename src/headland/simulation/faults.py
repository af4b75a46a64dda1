"""What goes wrong, and how often: a run draws its own mix, so that seeds differ in kind, not only in time."""

from __future__ import annotations

import random
from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """Everything that can be done to a scenario. The order is that in which a run draws them."""

    CRASH = "crash"
    CRASH_AT_STEP = "crash_at_step"
    CRASH_IN_SPILL = "crash_in_spill"
    CRASH_IN_RECOVERY = "crash_in_recovery"
    REFUSED = "refused"
    BLACK_HOLE = "black_hole"
    RESET = "reset"
    LONG_CUT = "long_cut"
    SLOW_NETWORK = "slow_network"
    SLOW_DISK = "slow_disk"
    DISK_FULL = "disk_full"
    DISK_ERROR = "disk_error"
    CLOCK_JUMP = "clock_jump"
    CLOCK_UNTRUSTED = "clock_untrusted"
    PARENT_REFUSES = "parent_refuses"
    PARENT_DOWN = "parent_down"
    RESTORED_NODE = "restored_node"
    RESTORED_PARENT = "restored_parent"
    EMPTY_PARENT = "empty_parent"
    CLONE = "clone"
    NEW_PARENT = "new_parent"
    RECONFIGURE = "reconfigure"
    STOP = "stop"
    OPERATOR = "operator"
    DEVICE_CLOCK = "device_clock"
    PARENT_SPENDS = "parent_spends"
    PARENT_LIES = "parent_lies"
    PARENT_FORBIDS = "parent_forbids"
    STRANGER = "stranger"
    CONFUSED = "confused"
    ROT = "rot"
    ROT_IN_LOG = "rot_in_log"


class Often(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a fault happens.

    Attributes:
        share: Share of the runs that have it at all, 0 to 1.
        times: At most so often in such a run.
    """

    share: float = 0.5
    times: int = 2


class FaultMix(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often each `Fault` happens.

    Attributes:
        crash: Power loss or SIGKILL of a node at any moment.
        crash_at_step: The same between two disk operations, or right after something was sent.
        crash_in_spill: The same while blocks are being moved from the journal to a file.
        crash_in_recovery: A crash, and another between the operations that its recovery needs.
        refused: A link is cut with a reset, for up to 4 s.
        black_hole: A link swallows everything, for up to 8 s.
        reset: Connections are reset, in the middle of whatever is under way.
        long_cut: A link is cut for longer than the shortest age limit.
        slow_network: Latency of 50 to 500 ms and a thousandth of the rate, for a while.
        slow_disk: A sync takes up to 300 ms longer, for a while.
        disk_full: A disk has no space left, for up to 5 s.
        disk_error: A disk operation fails for good.
        clock_jump: A machine's clock jumps by up to an hour in either direction.
        clock_untrusted: A machine restarts without knowing the time.
        parent_refuses: A parent answers blocks with `Later`, for up to 3 s.
        parent_down: A parent is down for up to 6 s.
        restored_node: A node with devices starts again with an older copy of its disk.
        restored_parent: So does a node with children.
        empty_parent: A relay starts again with an empty disk.
        clone: A copy of a node's disk is started beside it, for up to 6 s.
        new_parent: A node is given another parent.
        reconfigure: Rules change while readings are held.
        stop: A node is stopped in order and started again.
        operator: An operator asks everything, sends dead letters again, wants configurations of children.
        device_clock: The clock of a node's devices jumps by up to 20 s in either direction.
        parent_spends: A parent answers half of the blocks with `Later`, spending an attempt, for up to 3 s.
        parent_lies: A parent acknowledges what was never sent, or with another chain value.
        parent_forbids: A parent takes no block of some origins, and refuses one in twenty for good, for 3 s.
        stranger: Somebody connects to a parent and breaks the protocol.
        confused: A parent sends its children what it should not.
        rot: A piece of a file of blocks or of the newest checkpoint is overwritten, or cannot be read.
        rot_in_log: A piece of the log of a node with a parent is overwritten, and the node crashes.

    The last eight happen only where a scenario asks for them.
    """

    crash: Often = Often(0.8, 4)
    crash_at_step: Often = Often(0.8, 5)
    crash_in_spill: Often = Often(0.6, 3)
    crash_in_recovery: Often = Often(0.4, 2)
    refused: Often = Often(0.6, 3)
    black_hole: Often = Often(0.4, 2)
    reset: Often = Often(0.6, 4)
    long_cut: Often = Often(0.4, 1)
    slow_network: Often = Often(0.3, 2)
    slow_disk: Often = Often(0.3, 2)
    disk_full: Often = Often(0.4, 2)
    disk_error: Often = Often(0.2, 1)
    clock_jump: Often = Often(0.3, 2)
    clock_untrusted: Often = Often(0.2, 1)
    parent_refuses: Often = Often(0.4, 2)
    parent_down: Often = Often(0.3, 1)
    restored_node: Often = Often(0.4, 2)
    restored_parent: Often = Often(0.4, 2)
    empty_parent: Often = Often(0.15, 1)
    clone: Often = Often(0.35, 1)
    new_parent: Often = Often(0.35, 1)
    reconfigure: Often = Often(0.4, 2)
    stop: Often = Often(0.2, 1)
    operator: Often = Often(0.5, 2)
    device_clock: Often = Often(0.0, 2)
    parent_spends: Often = Often(0.0, 2)
    parent_lies: Often = Often(0.0, 2)
    parent_forbids: Often = Often(0.0, 1)
    stranger: Often = Often(0.0, 10)
    confused: Often = Often(0.0, 3)
    rot: Often = Often(0.0, 1)
    rot_in_log: Often = Often(0.0, 1)

    def often(self, fault: Fault) -> Often:
        """How often one fault happens."""
        often: Often = getattr(self, fault.value)
        return often


class Planned(msgspec.Struct, frozen=True):
    """One fault of a run."""

    at_ns: int
    fault: Fault


def plan(mix: FaultMix, seed: int, duration_ns: int) -> list[Planned]:
    """The faults of one run, in order of time."""
    rng = random.Random(f"faults of {seed}")
    planned: list[Planned] = []
    for fault in Fault:
        often = mix.often(fault)
        if rng.random() < often.share and often.times > 0:
            times = rng.randint(1, often.times)
            planned += [Planned(int(rng.uniform(0.08, 0.95) * duration_ns), fault) for _ in range(times)]
    return sorted(planned, key=lambda one: (one.at_ns, one.fault))
