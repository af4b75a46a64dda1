"""Every fault by its name, with what it needs and what it may be combined with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from campaign import faults_disk, faults_history, faults_network, faults_process, faults_time
from campaign.scene import Proof, Scene

INSIDE = "HEADLAND_CAMPAIGN_INSIDE"
"""Set in the environment where mounts and network are the campaign's own."""
Act = Callable[[Scene], Awaitable[Proof]]
Prepare = Callable[[Scene], Awaitable[None]]


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault.

    Attributes:
        name: On the command line and in the result.
        act: Does it, and says what it did.
        prepare: Before the nodes start; None for nothing.
        alone: Whether no other fault happens in its round.
        needs: What it takes of the machine: mounts in a namespace of its own (root), or a C compiler.
    """

    name: str
    act: Act
    prepare: Prepare | None = None
    alone: bool = False
    needs: Literal["", "mounts", "cc"] = ""

    @property
    def mounted(self) -> bool:
        """Whether it gives nodes disks of its own kind: no two such in one round."""
        return self.needs == "mounts"


FAULTS = (
    Fault("sigkill", faults_process.sigkill),
    Fault("sigstop", faults_process.sigstop),
    Fault("uplink_refused", faults_network.refused),
    Fault("uplink_blackhole", faults_network.blackhole),
    Fault("uplink_reset", faults_network.reset),
    Fault("uplink_slow", faults_network.slow),
    Fault("uplink_lossy", faults_network.lossy),
    Fault("disk_full", faults_disk.full, faults_disk.small_disk, needs="mounts"),
    Fault("budget_full", faults_disk.budget_full, faults_disk.little_budget, alone=True),
    Fault("read_only", faults_disk.read_only, faults_disk.own_disk, alone=True, needs="mounts"),
    Fault("slow_fsync", faults_disk.slow_sync, faults_disk.own_disk, needs="mounts"),
    Fault("power_cut", faults_disk.power_cut, faults_disk.own_disk, alone=True, needs="mounts"),
    Fault("clock_step", faults_time.clock_step, faults_time.steppable, needs="cc"),
    Fault("certificate", faults_time.certificate, faults_time.short_lived, alone=True),
    Fault("parent_restored", faults_history.parent_restored, faults_history.devices_only, alone=True),
    Fault("parent_restored_old", faults_history.parent_restored_old, faults_history.little_slack, alone=True),
    Fault("root_restored_old", faults_history.root_restored_old, faults_history.little_slack, alone=True),
    Fault("child_restored", faults_history.child_restored, alone=True),
    Fault("child_restored_live", faults_history.child_restored_live, alone=True),
    Fault("child_cloned", faults_history.child_cloned, alone=True),
    Fault("child_cloned_live", faults_history.child_cloned_live, alone=True),
    Fault("parent_replaced", faults_history.parent_replaced, faults_history.devices_only, alone=True),
    Fault("child_reparented", faults_history.child_reparented, alone=True),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def possible(fault: Fault) -> str:
    """Why a fault cannot be done on this machine; "" when it can."""
    if fault.needs == "mounts" and not os.environ.get(INSIDE):
        return "it takes mounts, and so root and a mount namespace of its own"
    if fault.needs == "cc" and shutil.which("cc") is None:
        return "it takes a C compiler"
    return ""
