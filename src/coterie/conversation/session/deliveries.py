"""Deliveries: outcomes of operations, sent to the user between two turns."""

from __future__ import annotations

from coterie.conversation.entries import DeliveredEntry
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import delivery_text, outcome_line
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.speaker import AnswerCut, ModelInterrupted, Speaker
from coterie.errors import ModelError, describe
from coterie.models import Finish, ModelRequest
from coterie.runtime.references.logs import AgentLog


class Deliveries:
    """Delivers each outcome once. Only the conversation's thread uses it."""

    def __init__(self, session_log: SessionLog, scheduler: OperationScheduler, speaker: Speaker, log: AgentLog) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._scheduler = scheduler
        self._speaker = speaker
        self._log = log

    @property
    def due(self) -> list[Operation]:
        """The operations to deliver now."""
        return [each for each in self._session_log.operations.values() if each.background and self._is_due(each)]

    async def deliver(self) -> None:
        """Deliver all due outcomes as one text, which the model words if a turn was answered in between."""
        due = self.due
        text = "\n".join(self._plain(each) for each in due)
        merged = False
        if self._session_log.answered > min(each.turn for each in due):
            worded = await self._merge(due)
            merged = bool(worded)
            text = worded or text
            if any(self._session_log.operations.get(each.number) != each for each in due):
                # The user resolved one in the meantime: the caller looks again for due outcomes.
                return
        after = [machine.change(each, delivered=True) if each.ended else machine.change(each, reported=True) for each in due]
        self._host.telemetry.count("deliveries")
        self._host.telemetry.count("merged", int(merged))
        await self._session_log.record(
            DeliveredEntry(operations=tuple(after), text=text, merged=merged), operations=after, tell=False
        )

    async def _merge(self, due: list[Operation]) -> str:
        settings = self._host.settings
        outcomes = "\n".join(f"- {outcome_line(each)}" for each in due)
        request = ModelRequest(
            instructions=f"{self._session_log.instructions}\n\n{settings.synthesis_instructions}\n\nThe outcomes:\n{outcomes}",
            exchanges=self._session_log.prompt(self._session_log.answered).messages,
            temperature=settings.synthesis_temperature,
            agent=self._session_log.state.name,
            step="delivery " + " ".join(each.id for each in due),
        )
        try:
            reply = await self._speaker.speak(request, turn=self._session_log.answered, delivery=True)
        except (ModelError, ModelInterrupted, TimeoutError) as error:
            # Deliver the outcome without the model.
            self._log.warning("a delivery is sent without the model's wording: %s", describe(error))
            return ""
        except AnswerCut:
            return ""
        if reply.finish not in (Finish.STOP, Finish.TOOLS):
            self._log.warning("a delivery is sent without wording: the reply ended by %s", reply.finish)
            return ""
        return reply.text.strip() and reply.text

    def _plain(self, operation: Operation) -> str:
        tool = self._host.tools.get(operation.tool)
        if tool is not None and tool.report is not None and operation.ended:
            try:
                return str(tool.report(operation))
            except Exception as error:  # noqa: BLE001 - without the tool's report the outcome is still delivered
                self._log.warning("the report of %s raised %s", operation.tool, describe(error))
        return delivery_text(operation)

    def _is_due(self, operation: Operation) -> bool:
        if operation.ended:
            return not operation.delivered
        unknown = operation.state is OperationState.UNKNOWN
        return unknown and not operation.reported and operation.number not in self._scheduler.checking
