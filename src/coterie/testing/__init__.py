"""Tools for tests: probes, a manual clock, controlled interleavings, fault injection, lossy transports, conformance suites.

Coterie's own tests use them, and they are as stable as the other rooms. No other room imports this one. The suites in
`coterie.testing.conformance` need pytest.
"""

from coterie.testing.clock import ManualClock
from coterie.testing.faults import Fault, FaultyCalls, InjectedFault
from coterie.testing.interleaving import Deadlock, Interleaver, Schedule, Sequencer, SequenceTimeout
from coterie.testing.locks import LockOrderViolation, checked_locks
from coterie.testing.models import ModelServer, ScriptedModel, Served
from coterie.testing.probe import Probe, no_failures
from coterie.testing.transport import LossyTransport
from coterie.testing.waiting import Together, eventually, run_together, wait_until_idle

__all__ = [
    "Deadlock",
    "Fault",
    "FaultyCalls",
    "InjectedFault",
    "Interleaver",
    "LockOrderViolation",
    "LossyTransport",
    "ManualClock",
    "ModelServer",
    "Probe",
    "Schedule",
    "ScriptedModel",
    "SequenceTimeout",
    "Sequencer",
    "Served",
    "Together",
    "checked_locks",
    "eventually",
    "no_failures",
    "run_together",
    "wait_until_idle",
]
