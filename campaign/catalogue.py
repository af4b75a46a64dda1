"""Every fault by its name, with what it needs and what it may be combined with."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import msgspec

from campaign import faults_process
from campaign.scene import Proof, Scene

Act = Callable[[Scene], Awaitable[Proof]]
Prepare = Callable[[Scene], Awaitable[None]]


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault.

    Attributes:
        name: On the command line and in the result.
        act: Does it, and says what it did.
        prepare: Before the nodes start; None for nothing.
        alone: Whether no other fault happens in its round.
        root: Whether it takes mounts, so that only root can do it.
    """

    name: str
    act: Act
    prepare: Prepare | None = None
    alone: bool = False
    root: bool = False


FAULTS = (
    Fault("sigkill", faults_process.sigkill),
    Fault("sigstop", faults_process.sigstop),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def possible(fault: Fault) -> str:
    """Why a fault cannot be done on this machine; "" when it can."""
    if fault.root and os.geteuid() != 0:
        return "it takes root (mounts)"
    return ""
