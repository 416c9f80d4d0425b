"""Answer A2A messages by the conversations of an assistant."""

from __future__ import annotations

import asyncio
import mimetypes
from typing import Any

from a2a.helpers import get_data_parts, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Task, TaskNotCancelableError, TaskState, TaskStatus

from coterie.conversation import (
    AnyConversationEvent,
    CancelAnswer,
    Conversation,
    Conversations,
    Delivered,
    Operation,
    OperationChanged,
    OperationProgressed,
    OperationState,
    TextWritten,
    TurnEnded,
    TurnOutcome,
)
from coterie.errors import ConversationError
from coterie.models import Attachment

RESUMED = "coterie/resumed"
"""In the metadata of a message that an earlier process was answering: its decisions were made perhaps."""
_ID = 200
"""Characters of the id of a message at most, as conversations take it."""


class AssistantExecutor(AgentExecutor):
    """Runs each message as a turn of the conversation of its context, and follows the operations that the turn has begun.

    The task of a message is done when its answer is whole and all its operations have ended and are told. One that awaits
    approval asks for input; the next message of the task answers, in words or with ``{"operation": "op-1", "approve": true}`` as
    a data part. Only the event loop of the server uses it.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._turns: dict[str, set[int]] = {}
        """The turns of each task that this process has begun."""

    async def open(self, user: str, context: str) -> Conversation:
        """Return the conversation of a context. Each user has contexts of the user's own."""
        chat = await asyncio.to_thread(self._conversations.open, ("a2a", user or "-", context), user=user)
        await chat.ready()
        return chat

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Answer a message, and return when its task has ended or needs input."""
        assert context.task_id is not None
        assert context.context_id is not None
        assert context.message is not None
        # A message may name its task alone: the context is that of the task.
        place = context.context_id if context.current_task is None else context.current_task.context_id
        updater = TaskUpdater(event_queue, context.task_id, place)
        if context.current_task is None:
            task = Task(
                id=context.task_id,
                context_id=context.context_id,
                status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED),
                history=[context.message],
            )
            await event_queue.enqueue_event(task)
        await updater.start_work()
        chat = await self.open(context.call_context.user.user_name, place)
        text = context.get_user_input()
        try:
            resumed = bool(context.metadata.get(RESUMED))
            before = 0 if resumed else chat.last_event
            decided = await _decide(chat, get_data_parts(context.message.parts), resumed=resumed)
            if decided:
                await self._follow(chat, updater, decided, before)
                return
            files = _files(context.message)
            if not text.strip() and not files:
                await updater.failed(new_text_message("the message has no text"))
                return
            ended = await self._answer(
                chat, updater, text or "(a file)", files, context.message.message_id[-_ID:], context.task_id
            )
        except ConversationError as error:
            await updater.failed(new_text_message(str(error)))
            return
        if ended.outcome is TurnOutcome.FAILED:
            await updater.failed(new_text_message(ended.text))
            return
        begun = {each.number for each in chat.operations() if each.turn == ended.turn}
        await self._follow(chat, updater, begun, ended.id)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Cancel the operations of a task. Raises `TaskNotCancelableError` if none stopped in time."""
        assert context.task_id is not None
        assert context.context_id is not None
        chat = await self.open(context.call_context.user.user_name, context.context_id)
        turns = self._turns.get(context.task_id)
        mine = [each for each in chat.operations(unfinished=True) if turns is None or each.turn in turns]
        answers = [await chat.cancel(each) for each in mine]
        if answers and all(each is CancelAnswer.TOO_LATE for each in answers):
            raise TaskNotCancelableError(message="the operations of the task do not stop any more")
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()

    async def _answer(
        self, chat: Conversation, updater: TaskUpdater, text: str, files: list[Attachment], id_: str, task: str
    ) -> TurnEnded:
        """Send a message, pass its answer on piece by piece, and return the end of its turn."""
        parts, pieces = 0, list[str]()
        async for event in chat.send(text, id=id_ or None, attachments=files):
            self._turns.setdefault(task, set()).add(getattr(event, "turn", 0))
            if isinstance(event, TextWritten) and not event.delivery:
                if event.offset == 0:
                    await _whole(updater, f"answer-{event.turn}-{parts}", pieces)
                    parts, pieces = parts + 1, []
                name = f"answer-{event.turn}-{parts}"
                await updater.add_artifact([new_text_part(event.text)], name, "answer", append=bool(pieces))
                pieces.append(event.text)
            elif isinstance(event, OperationProgressed | OperationChanged):
                await _tell(updater, event)
            elif isinstance(event, TurnEnded):
                await _whole(updater, f"answer-{event.turn}-{parts}", pieces)
                return event
        raise AssertionError("unreachable")

    async def _follow(self, chat: Conversation, updater: TaskUpdater, numbers: set[int], after: int) -> None:
        """Pass on what becomes of operations, until all have ended and are told, or one awaits approval.

        Those that were told since the event `after` are passed on too: an operation may end before its task is followed.
        """
        now = chat.last_event
        known = [each for each in chat.operations() if each.number in numbers and not each.delivered]
        waiting = {each.number for each in known}
        for each in known:
            if await _asks(updater, each):
                return
        async for event in chat.events(after=after, follow=bool(waiting)):
            if isinstance(event, Delivered) and numbers & (told := {each.number for each in event.operations}):
                await updater.add_artifact([new_text_part(event.text)], f"delivery-{event.id}", "delivery")
                waiting -= told
            elif event.id > now and await _passed_on(updater, event, waiting):
                return
            if event.id >= now and not waiting:
                break
        if waiting:
            # The conversation was closed, and the task goes on when the server starts again.
            return
        await updater.complete()


def _files(message: Message) -> list[Attachment]:
    """Return the files of a message, for models that take them."""
    return [
        Attachment(
            media_type=each.media_type or mimetypes.guess_type(each.filename)[0] or "application/octet-stream",
            data=each.raw,
            url=each.url,
            name=each.filename,
        )
        for each in message.parts
        if each.raw or each.url
    ]


async def _whole(updater: TaskUpdater, name: str, pieces: list[str]) -> None:
    """Replace a text that was sent in pieces by the whole: the parts of an artifact are not one text."""
    if len(pieces) > 1:
        await updater.add_artifact([new_text_part("".join(pieces))], name, "answer", last_chunk=True)


async def _decide(chat: Conversation, data: list[Any], *, resumed: bool) -> set[int]:
    """Approve or reject the operations that data parts name, and return their numbers. If `resumed`, some are decided already."""
    decided = set()
    waiting = {each.id: each for each in chat.operations()} if resumed else {}
    for each in data:
        if isinstance(each, dict) and isinstance(each.get("approve"), bool) and each.get("operation"):
            name = str(each["operation"])
            if name in waiting and waiting[name].state is not OperationState.AWAITING_APPROVAL:
                decided.add(waiting[name].number)
                continue
            answered = await (chat.approve(name) if each["approve"] else chat.reject(name, str(each.get("reason", ""))))
            decided.add(answered.number)
    return decided


async def _asks(updater: TaskUpdater, operation: Operation) -> bool:
    """Ask for input if an operation awaits approval, or a person has to say what became of it; return whether it does."""
    if operation.state is OperationState.AWAITING_APPROVAL:
        question = operation.question or f"Really {operation.tool}?"
    elif operation.state is OperationState.UNKNOWN:
        question = f"It is not known whether {operation.tool} took effect ({operation.detail}). Do you know?"
    else:
        return False
    await updater.update_status(
        TaskState.TASK_STATE_INPUT_REQUIRED, new_text_message(question), metadata={"operation": operation.id}
    )
    return True


async def _passed_on(updater: TaskUpdater, event: AnyConversationEvent, waiting: set[int]) -> bool:
    """Pass on what has become of one of some operations; return whether it asks for input."""
    if isinstance(event, OperationChanged) and event.operation.number in waiting:
        if await _asks(updater, event.operation):
            return True
        await _tell(updater, event)
    elif isinstance(event, OperationProgressed) and event.operation in waiting:
        await _tell(updater, event)
    return False


async def _tell(updater: TaskUpdater, event: OperationProgressed | OperationChanged) -> None:
    """Report an operation as a status of the task."""
    if isinstance(event, OperationProgressed):
        number, line, fraction, state = event.operation, event.line, event.fraction, "running"
    else:
        operation = event.operation
        number, line, fraction, state = operation.number, operation.line, operation.fraction, str(operation.state)
    metadata = {"operation": f"op-{number}", "fraction": fraction, "state": state}
    message = new_text_message(line) if line else None
    await updater.update_status(TaskState.TASK_STATE_WORKING, message, metadata=metadata)
