"""The suite of the runtime."""

from __future__ import annotations

from coterie.testing.conformance.asking import Asking
from coterie.testing.conformance.delivery import Delivery
from coterie.testing.conformance.lifecycle import AgentLifecycle
from coterie.testing.conformance.observing import Observing
from coterie.testing.conformance.publishing import Publishing
from coterie.testing.conformance.stopping import Stopping
from coterie.testing.conformance.streaming import Streaming
from coterie.testing.conformance.supervising import Supervising
from coterie.testing.conformance.supervision_groups import SupervisionGroups
from coterie.testing.conformance.turns import Turns
from coterie.testing.conformance.waiting import Waiting


class RuntimeConformance(
    Asking, Delivery, SupervisionGroups, AgentLifecycle, Observing, Stopping, Streaming, Supervising, Publishing, Turns, Waiting
):
    """The promises of every runtime, with any dispatcher and transport. Override `runtime`."""
