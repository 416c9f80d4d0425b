"""An assistant as an agent of the runtime: asked by other agents, a member of meetings, durable."""

from __future__ import annotations

import asyncio

from coterie.conversation.conversation import Conversation, Conversations
from coterie.conversation.events import Delivered
from coterie.conversation.team.messages import AskAssistant, AssistantAnswer, StopAnswer
from coterie.errors import ConversationError, StorageError
from coterie.meetings import Accept, Decline, Invitation, Meetings, YourTurn
from coterie.runtime import Agent, on

_RAISES = (ConversationError, StorageError, ValueError)


class AssistantAgent(Agent):
    """An assistant that other agents ask, and that takes part in meetings.

    ::

        conversations = Conversations(model, team=[researcher], store="chats.db", runtime=runtime)
        agent = runtime.spawn(AssistantAgent, conversations, name="researcher")
        answer = await agent.ask(AskAssistant(text="what do gulls eat?", thread="gulls"), timeout=60)

    It answers any number of threads at the same time, each of which is a conversation of `conversations`; without them it uses the
    `Conversations` that were provided to the runtime, on each node those of the node. It accepts invitations to meetings, and
    says one thing whenever it has the floor. It leaves the host open when it stops.
    """

    def __init__(self, conversations: Conversations | None = None) -> None:
        self._conversations = conversations

    @on(interleave=True, raises=_RAISES)
    async def answer(self, message: AskAssistant) -> AssistantAnswer:
        """Answer a message in its thread."""
        return await answer(await self._open(message.thread or "default", message.user), message)

    @on(interleave=True)
    async def stop_answer(self, message: StopAnswer) -> None:
        """Stop the work on a thread."""
        await (await self._open(message.thread, message.user)).aclose()

    @on
    def invited(self, message: Invitation) -> Accept | Decline:  # noqa: ARG002 - it accepts all
        """Accept an invitation."""
        return Accept()

    @on(interleave=True)
    async def my_turn(self, message: YourTurn) -> None:
        """Say one thing in a meeting: the answer to what was said since its own last words."""
        meeting = self.context.use(Meetings).meeting(message.meeting)
        me = self.context.self_ref.name
        heard: list[str] = []
        for each in meeting.transcript:
            heard = [] if each.by == me else [*heard, f"{each.by}: {each.content}"]
        asked = AskAssistant(
            text="\n".join(heard) or f"You open the meeting. Its topic: {meeting.state.topic}",
            id=f"{message.meeting}/{message.turn}",
        )
        chat = await self._open(f"meeting {message.meeting}", "")
        await meeting.say((await answer(chat, asked)).text)

    async def _open(self, thread: str, user: str) -> Conversation:
        host = self._conversations if self._conversations is not None else self.context.use(Conversations)
        name = self.context.self_ref.name
        return await asyncio.to_thread(host.open, ("agent", name, user or "-", thread), user=user)


class DurableAssistant(Agent):
    """An assistant as a durable agent, addressed by a key: ``runtime.entity(DurableAssistant, "customer-42")``.

    Its conversation has the name of the key, in the store of the `Conversations` that were provided to its runtime; it is
    activated by a message, on one node at a time, and passivated when it is idle. It answers one message after the other.
    Subclass it for several kinds.
    """

    def __init__(self) -> None:
        self._answered = 0

    def snapshot(self) -> int:
        """Return the number of messages that it has answered; the conversation itself is in the log."""
        return self._answered

    def restore(self, state: int) -> None:
        """Restore that number."""
        self._answered = state

    @on(raises=_RAISES)
    async def answer(self, message: AskAssistant) -> AssistantAnswer:
        """Answer a message."""
        host = self.context.use(Conversations)
        namespace = ("durable", type(self).stored_name or type(self).__name__, self.context.key)
        chat = await asyncio.to_thread(host.open, namespace, user=message.user)
        answered = await answer(chat, message)
        self._answered += 1
        return answered


async def answer(chat: Conversation, message: AskAssistant) -> AssistantAnswer:
    """Return the answer of a conversation to a message, and with `whole` what its operations came to."""
    start = chat.last_event
    ended = await chat.send(message.text, id=message.id or None).end()
    if not message.whole:
        return AssistantAnswer(ended.text, ended.speaker)
    await chat.settle()
    since = chat.events(after=max(start, ended.id), follow=False)
    texts = [ended.text, *[event.text async for event in since if isinstance(event, Delivered)]]
    return AssistantAnswer("\n\n".join(each for each in texts if each), ended.speaker)
