"""The next step after an attempt: pure rules, without threads or clocks."""

from __future__ import annotations

import re
from random import Random

import msgspec

from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.conversation.sanitize import plain_text
from coterie.conversation.tools.attempt import AttemptEnding, AttemptOutcome
from coterie.conversation.tools.results import Finding, FindingKind
from coterie.conversation.tools.tool import Tool
from coterie.errors import JobTimeout, OutcomeUnknown, ToolFailed, describe

_S = OperationState
_MAX_ERROR_LENGTH = 2_000
"""Maximum characters of an error text."""
_LIMIT = re.compile(r"([\d.]+) s(?:;|$)")


class NextStep(msgspec.Struct, frozen=True):
    """The next step of an operation: end it, undo it, retry it after a delay, or leave it unchanged."""

    state: OperationState | None = None
    """Its end state."""
    content: str = ""
    detail: str = ""
    undo: bool = False
    halted: bool = False
    """True if it stays as it is until the tool's `check` decides, at the next opening."""
    delay: float | None = None
    """Seconds until the retry."""
    unknown: bool = False
    """True if it is not known whether a write took effect: its `check` or a person decides."""


def must_undo(tool: Tool, operation: Operation) -> bool:
    """Return whether a started operation is undone when it is cancelled."""
    return tool.compensate is not None and operation.effect is Effect.WRITE


def after_run(operation: Operation, tool: Tool, outcome: AttemptOutcome, timed_out: str, random: Random) -> NextStep:
    """Return the next step after an attempt. `timed_out` is the exceeded time limit as text, or empty."""
    if operation.stopping and must_undo(tool, operation):
        return NextStep(undo=True)
    if outcome.ending is AttemptEnding.RETURNED:
        return _returned(outcome)
    if operation.stopping and outcome.ending is AttemptEnding.STOPPED:
        return NextStep(_S.CANCELLED)
    error = outcome.error if outcome.error is not None else RuntimeError("it stopped")
    if isinstance(error, OutcomeUnknown) and operation.effect is Effect.WRITE:
        if not timed_out:
            return NextStep(unknown=True, detail=plain_text(str(error))[:_MAX_ERROR_LENGTH])
        timed_out = f"{timed_out}; {error}"
    if timed_out:
        limit = _LIMIT.search(timed_out)
        error = JobTimeout(operation.id, float(limit[1]) if limit is not None else 0.0, ended=True)
    delay = None
    if tool.retry is not None and not operation.stopping:
        delay = tool.retry.delay(operation.attempt, error, random)
    why = timed_out or _described(error)
    if delay is not None:
        return NextStep(delay=delay, detail=f"attempt {operation.attempt} failed: {why}")
    return NextStep(_S.TIMED_OUT, detail=why) if timed_out else NextStep(_S.FAILED, why)


HALTED = "the service was stopped; ask for it again if it is still wanted"
"""The reason of an operation that the process cancelled at its own orderly end."""


def after_halt(operation: Operation, tool: Tool) -> NextStep:
    """Return the next step after an attempt that an orderly end of the process stopped before its point of no return.

    It did not take effect, so no person has to be asked. An operation that may run twice runs again at the next opening;
    a tool with `check` decides then; a tool with `compensate` is undone now; any other operation is cancelled, and the
    user gets a message.
    """
    if operation.effect is Effect.READ or tool.repeatable:
        return NextStep(delay=0.0, detail="the service was stopped; it runs again")
    if tool.check is not None:
        return NextStep(halted=True, detail="the service was stopped")
    if must_undo(tool, operation):
        return NextStep(undo=True)
    return NextStep(_S.CANCELLED, detail=HALTED)


def after_check(operation: Operation, tool: Tool, outcome: AttemptOutcome) -> NextStep:
    """Return the next step after the tool's `check` of an operation of unknown outcome."""
    finding = outcome.value if isinstance(outcome.value, Finding) else Finding.unknown()
    if finding.found is FindingKind.DONE:
        if operation.stopping and must_undo(tool, operation):
            return NextStep(undo=True)
        return _returned(msgspec.structs.replace(outcome, value=finding.value))
    if finding.found is FindingKind.NOT_DONE:
        return NextStep(_S.CANCELLED) if operation.stopping else NextStep(_S.FAILED, str(finding.value))
    if finding.found is FindingKind.RESUMABLE:
        return NextStep(_S.CANCELLED) if operation.stopping else NextStep(delay=0.0, detail="it continues after a restart")
    return NextStep(_S.CANCELLED, detail=HALTED) if operation.halted else NextStep()


def after_compensation(outcome: AttemptOutcome) -> NextStep:
    """Return the next step after a compensation."""
    if outcome.ending is AttemptEnding.RETURNED:
        return NextStep(_S.COMPENSATED)
    what = _described(outcome.error) if outcome.error is not None else "it stopped"
    return NextStep(_S.FAILED, what, "it was cancelled, and undoing it failed: it may be half done")


def _returned(outcome: AttemptOutcome) -> NextStep:
    if outcome.problem:
        return NextStep(
            _S.FAILED, plain_text(outcome.problem)[:_MAX_ERROR_LENGTH], "it ran to its end, and what it did may stand"
        )
    return NextStep(_S.SUCCEEDED, str(outcome.value))


def _described(error: BaseException) -> str:
    return plain_text(str(error) if isinstance(error, ToolFailed) else describe(error))[:_MAX_ERROR_LENGTH]
