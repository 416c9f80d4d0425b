"""One turn: ask the model and run its tool calls, until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from coterie.conversation.entries import ToolCallsEntry, ToolResultEntry, TurnEndedEntry, UserMessageEntry
from coterie.conversation.events import Lane, TextWritten, TurnOutcome
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import awaiting_line, outcome_line, seconds, status_line
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.builtin_tools import BUILTIN_TOOLS, BuiltinCommands, definitions
from coterie.conversation.session.frontend import FrontendTools
from coterie.conversation.session.remembering import Remembering
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.speaker import AnswerCut, ModelInterrupted, Speaker
from coterie.conversation.session.tool_calls import ImmediateResult, PlannedOperation, ToolCallPolicy, lane_of, tools_for_lane
from coterie.conversation.tokens import tokens_in, tokens_of_tools
from coterie.errors import ContextTooLong, ConversationError, ModelError, StorageError, describe
from coterie.models import Finish, ModelReply, ModelRequest, TextMessage, ToolCall, ToolDefinition
from coterie.telemetry.spans import NO_SPAN

SORRY = "I am sorry, I cannot answer that just now."
_COMPLETE = (Finish.STOP, Finish.TOOLS)
"""The ends of complete replies. The calls of other replies are not run, because they may lack arguments."""
_MISFIT = "That does not fit the schema: {}\nAnswer again, with nothing but JSON that fits it."
_SMALLEST = 300
"""Tokens of a prompt's messages that are not cut any more: the instructions or the tools are too long then."""
LOST = "I am sorry, I could not work out how to do that."


class TurnRunner:
    """Answers the messages of the user in order. Only the conversation's thread uses it."""

    def __init__(
        self,
        session_log: SessionLog,
        scheduler: OperationScheduler,
        calls: ToolCallPolicy,
        commands: BuiltinCommands,
        speaker: Speaker,
        remembering: Remembering,
    ) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._scheduler = scheduler
        self._calls = calls
        self._commands = commands
        self._speaker = speaker
        self._remembering = remembering
        self._recalled = ""
        """What the model is told of the user in this turn."""
        self._sizes: dict[tuple[str, ...], int] = {}
        """The estimated tokens of tools by their names."""
        self._span = NO_SPAN
        """The span of the turn that runs."""
        self._said = ""
        """The message that it answers."""
        self.message_waiting = asyncio.Event()
        """Set while another message of the user is queued."""
        self.frontend = FrontendTools(session_log)
        self._current = 0
        self._stopped = asyncio.Event()
        """Set when the front end has stopped the current turn."""

    async def answer(self, said: UserMessageEntry) -> None:
        """Answer one message. Calls that ran before a crash do not run again."""
        self._said = said.text
        with self._session_log.spans.turn(said.turn, self._session_log.speaker) as self._span:
            await self._answer_in_span(said)

    async def _answer_in_span(self, said: UserMessageEntry) -> None:
        self._host.telemetry.count("turns")
        lane = lane_of(self._session_log.operations.values())
        texts: list[str] = []
        self._current = said.turn
        self._stopped.clear()
        try:
            self._recalled = await self._remembering.recall(said.text)
            self.frontend.offer(said.turn, said.tools)
            await self.frontend.go_on(said, (self.message_waiting, self._stopped))
            await self._answer(said.turn, lane, texts, said.schema)
        except (StorageError, ConversationError):
            raise
        except Exception as error:  # noqa: BLE001 - a failed turn must not block later turns
            left = [each.number for each in self._session_log.operations.values() if each.turn == said.turn]
            await self._scheduler.to_background(left)
            await self._end(said.turn, lane, TurnOutcome.FAILED, texts, self._say(said.turn, SORRY), describe(error))
        finally:
            self._current = 0
            self.frontend.forget(said.turn)

    def stop(self, turn: int = 0) -> bool:
        """Stop the current turn, if it is that turn or none is named; return whether one is stopped."""
        if not self._current or turn not in (0, self._current):
            return False
        self._stopped.set()
        self._speaker.cut()
        return True

    async def _answer(self, turn: int, lane: Lane, texts: list[str], schema: Mapping[str, Any] | None) -> None:
        """Answer a turn. `texts` gets the texts before calls; `schema` is that of the answer, or None for text."""
        steps = mistakes = 0
        wrong: list[TextMessage] = []
        while True:
            steps += 1
            reply = await self._reply(turn, lane, texts, partial(self._ask, turn, lane, steps, schema, wrong))
            if reply is None:
                return
            if reply.calls:
                mistakes = await self._call(turn, lane, texts if schema is None else [], reply, mistakes)
                problem = "the model's calls were invalid" if mistakes else f"the model called tools {steps} times"
            else:
                problem = self._session_log.state.forms.problem(schema, reply) if schema is not None else ""
                if not problem:
                    await self._end_with(turn, lane, texts, reply, quiet=schema is not None)
                    return
                mistakes += 1
                # The model sees its mistakes; the log and later prompts do not.
                wrong += [TextMessage("assistant", reply.text or "-"), TextMessage("user", _MISFIT.format(problem))]
            if mistakes > self._host.settings.mistakes or steps >= self._host.settings.steps:
                await self._end(turn, lane, TurnOutcome.FAILED, texts, self._say(turn, LOST), problem)
                return

    async def _reply(
        self, turn: int, lane: Lane, texts: list[str], ask: Callable[[], Awaitable[ModelReply]]
    ) -> ModelReply | None:
        """Return the reply of the model. Without one, end the turn and return None."""
        try:
            if not self._stopped.is_set():
                return await ask()
            await self._end(turn, lane, TurnOutcome.STOPPED, texts, "", "")
        except AnswerCut as cut:
            stopped = self._stopped.is_set()
            outcome = TurnOutcome.STOPPED if stopped else TurnOutcome.CUT
            await self._end(turn, lane, outcome, texts, cut.text, "" if stopped else "a result had waited long enough")
        except ModelInterrupted as error:
            # The user has seen the beginning: it stays, in the log and in later prompts.
            apology = self._say(turn, f"\n\n{SORRY}", offset=len(error.text))
            await self._end(turn, lane, TurnOutcome.FAILED, texts, error.text + apology, error.problem)
        except (ModelError, TimeoutError) as error:
            # The model's contract allows these errors; `answer` handles all others.
            await self._end(turn, lane, TurnOutcome.FAILED, texts, self._say(turn, SORRY), describe(error))
        return None

    async def _end_with(self, turn: int, lane: Lane, texts: list[str], reply: ModelReply, *, quiet: bool) -> None:
        """End a turn with the model's last reply, which is published now if it was `quiet`."""
        text = self._say(turn, reply.text) if quiet else reply.text
        if not text.strip() and not texts:
            text = self._say(turn, SORRY)
        problem = "" if reply.finish in _COMPLETE else f"the reply ended with {reply.finish}"
        await self._end(turn, lane, TurnOutcome.ANSWERED, texts, text, problem)

    async def _call(self, turn: int, lane: Lane, texts: list[str], reply: ModelReply, mistakes: int) -> int:
        """Run the calls of a reply, and return the number of consecutive mistakes."""
        if reply.text:
            texts.append(reply.text)
        calls = tuple(
            ToolCall(f"call-{self._session_log.next_sequence}-{index}", call.name, call.arguments)
            for index, call in enumerate(reply.calls)
        )
        if reply.finish in _COMPLETE:
            return await self._perform(turn, lane, reply.text, calls, mistakes)
        return mistakes + await self._refuse(turn, reply.text, calls, reply.finish)

    # The prompt.

    async def _ask(
        self, turn: int, lane: Lane, step: int, schema: Mapping[str, Any] | None, wrong: Sequence[TextMessage]
    ) -> ModelReply:
        """Return the reply of the model. A prompt that its window cannot hold is cut, oldest first, and asked again."""
        while True:
            request, length = self._request(turn, lane, step)
            if schema is not None:
                request = msgspec.structs.replace(request, schema=schema, exchanges=(*request.exchanges, *wrong))
            try:
                reply = await self._speaker.speak(request, turn=turn, quiet=schema is not None)
            except ContextTooLong:
                before = self._session_log.window.limit
                if length < _SMALLEST or (before is not None and length // 2 >= before):
                    raise
                self._session_log.window.reduce(length // 2)
            else:
                self._host.meter.learn(length + self._session_log.window.overhead, reply)
                return reply

    def _request(self, turn: int, lane: Lane, step: int) -> tuple[ModelRequest, int]:
        """Return the request, and the estimated tokens of its messages."""
        settings = self._host.settings
        operations = self._session_log.operations.values()
        parts = [self._session_log.instructions, self._recalled]
        if lane is Lane.SECOND:
            lines = [status_line(each, self._scheduler.queue, self._session_log.now) for each in self._scheduler.unfinished]
            parts.append(settings.second_instructions)
            parts.append("Under way:\n" + "\n".join(f"- {line}" for line in lines) if lines else "It has just ended.")
        awaiting = [each for each in operations if each.state is OperationState.AWAITING_APPROVAL]
        if awaiting:
            parts.append("Awaiting approval:\n" + "\n".join(f"- {awaiting_line(each)}" for each in awaiting))
        known = self._session_log.tools
        tools = tools_for_lane(known, lane)
        unknown = any(each.state is OperationState.UNKNOWN for each in operations)
        instructions = "\n\n".join(part for part in parts if part)
        names = [each.name for each in known.values() if each.offered]
        offered = (
            *(each.definition for each in tools),
            *definitions(lane, names, unknown=unknown),
            *self._handoffs(),
        )
        offered += self.frontend.tools(turn, [*known, *BUILTIN_TOOLS, *(each.name for each in offered)])
        self._session_log.window.overhead = tokens_in(instructions) + self._tokens_of(offered)
        prompt = self._session_log.prompt(turn)
        if prompt.shortened:
            offered = (*offered, BUILTIN_TOOLS["read_result"].definition)
        request = ModelRequest(
            instructions=instructions,
            exchanges=prompt.messages,
            tools=offered,
            temperature=settings.temperature,
            agent=self._session_log.state.name,
            step=f"turn {turn}/{lane}/{step}",
        )
        return request, prompt.tokens

    def _tokens_of(self, tools: tuple[ToolDefinition, ...]) -> int:
        names = tuple(each.name for each in tools)
        if names not in self._sizes:
            self._sizes[names] = tokens_of_tools(tools)
        return self._sizes[names]

    def _handoffs(self) -> list[ToolDefinition]:
        team, role = self._session_log.state.team, self._session_log.role
        return team.definitions(role) if team is not None and role is not None else []

    # The calls.

    async def _perform(self, turn: int, lane: Lane, text: str, calls: Sequence[ToolCall], mistakes: int) -> int:
        """Run the calls of one reply until each has a result; return the number of consecutive mistakes."""
        replies: dict[str, ImmediateResult] = {}
        drafts: dict[str, PlannedOperation] = {}
        commands: list[ToolCall] = []
        handoffs = self._session_log.handoffs
        theirs = {each.name for each in self.frontend.tools(turn, [*BUILTIN_TOOLS, *handoffs, *self._session_log.tools])}
        for call in calls:
            if call.name in theirs:
                continue
            if call.name in BUILTIN_TOOLS or call.name in handoffs:
                commands.append(call)
                continue
            found = await self._calls.decide(
                call.name, call.arguments, turn=turn, call=call.id, lane=lane, drafts=list(drafts.values())
            )
            if isinstance(found, PlannedOperation):
                drafts[call.id] = found
            else:
                replies[call.id] = found
        called = ToolCallsEntry(turn=turn, text=text, calls=tuple(map(self._calls.masked, calls)))
        began = asyncio.get_running_loop().time()
        await self._scheduler.submit(called, [each.operation for each in drafts.values() if not each.submitted])
        for call in commands:
            replies[call.id] = await self._commands.execute(call, turn=turn, lane=lane)
        if replies:
            names = {call.id: call.name for call in calls}
            await self._session_log.record(
                *(
                    ToolResultEntry(
                        turn=turn, call=id_, tool=names[id_], content=each.content, failed=each.failed, operation=each.operation
                    )
                    for id_, each in replies.items()
                )
            )
        await self._await_operations(turn, drafts, began)
        asked = [call for call in calls if call.name in theirs]
        if asked:
            await self.frontend.run(turn, asked, (self.message_waiting, self._stopped))
        wrong = [each for each in replies.values() if each.mistaken]
        return mistakes + len(wrong) if wrong and not drafts and not asked else 0

    async def _refuse(self, turn: int, text: str, calls: Sequence[ToolCall], finish: Finish) -> int:
        """Answer the calls of an incomplete reply without running them; return their number."""
        why = f"Not run: the reply ended by {finish}, so the call may be incomplete. Make the whole call again, in a shorter reply."
        returned = [ToolResultEntry(turn=turn, call=each.id, tool=each.name, content=why, failed=True) for each in calls]
        await self._session_log.record(
            ToolCallsEntry(turn=turn, text=text, calls=tuple(map(self._calls.masked, calls))), *returned
        )
        for each in calls:
            if each.name in self._host.tools:
                self._host.telemetry.count_tool(each.name, "refused")
        return len(calls)

    async def _await_operations(self, turn: int, drafts: Mapping[str, PlannedOperation], began: float) -> None:
        """Wait for operations within their patience, and move the others to the background."""
        waiting = {draft.operation.number: asyncio.create_task(self._await_one(draft, began)) for draft in drafts.values()}
        try:
            for draft in drafts.values():
                number = draft.operation.number
                ended = await waiting[number]
                if ended is not None:
                    await self._hand_over(turn, ended)
                else:
                    operation = self._session_log.operations[number]
                    placeholder = ToolResultEntry(
                        turn=turn, call=draft.operation.call, tool=operation.tool,
                        content=self._background_text(operation), operation=number,
                    )  # fmt: skip
                    await self._scheduler.to_background([number], placeholder)
        finally:
            for task in waiting.values():
                task.cancel()

    async def _await_one(self, draft: PlannedOperation, began: float) -> Operation | None:
        """Return the operation once it has ended, or None if the turn continues without it."""
        number = draft.operation.number
        operation = self._session_log.operations.get(number)
        if operation is not None and operation.ended:
            return operation
        loop = asyncio.get_running_loop()
        ending = self._scheduler.ending(number)
        grace = min(self._host.settings.grace, draft.patience)
        spoken = asyncio.ensure_future(self.message_waiting.wait())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({ending}, timeout=max(0.0, began + grace - loop.time()))
            if not ending.done() and draft.patience > grace:
                left = max(0.0, began + draft.patience - loop.time())
                waited: set[asyncio.Future[Any]] = {ending, spoken, stopped}
                await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            spoken.cancel()
            stopped.cancel()
        operation = self._session_log.operations.get(number)
        if ending.done():
            return ending.result()
        # It may have ended just now, with its end not committed yet.
        return await ending if operation is not None and operation.ended else None

    async def _hand_over(self, turn: int, operation: Operation) -> None:
        failed = operation.state is not OperationState.SUCCEEDED
        content = outcome_line(operation) if failed else operation.content or "Done."
        returned = ToolResultEntry(turn=turn, call=operation.call, tool=operation.tool, content=content, failed=failed)
        heard = {"delivered": True} if operation.ended else {"reported": True}
        await self._session_log.record(returned, operations=[machine.change(operation, **heard)], tell=False)

    def _background_text(self, operation: Operation) -> str:
        line = status_line(operation, self._scheduler.queue, self._session_log.now)
        estimate = self._host.durations.estimate(operation.tool)
        most = f" (nearly always under {seconds(estimate.p90)})" if estimate is not None and estimate.learnt else ""
        return f"In the background: {line}{most}. The user will be told the result by itself. Do not say that it is done."

    # The end.

    def _say(self, turn: int, text: str, offset: int = 0) -> str:
        self._session_log.announce(TextWritten, turn=turn, text=text, offset=offset)
        return text

    async def _end(self, turn: int, lane: Lane, outcome: TurnOutcome, texts: list[str], text: str, problem: str) -> None:
        self._host.telemetry.count(str(outcome))
        # A message that repeats a secret of an earlier call is not needed any more.
        await self._session_log.redact()
        whole = "\n\n".join([*texts, text] if text else texts)
        self._span.set({"coterie.outcome": str(outcome), "coterie.lane": str(lane)})
        # By now the secrets of its calls are known.
        self._session_log.spans.describe_turn(self._span, self._said, whole)
        if problem and outcome is TurnOutcome.FAILED:
            self._span.fail(problem)
        await self._session_log.record(
            TurnEndedEntry(
                turn=turn,
                lane=lane,
                outcome=outcome,
                text=text,
                whole=whole,
                problem=problem,
                speaker=self._session_log.speaker,
            )
        )
