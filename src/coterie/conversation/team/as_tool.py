"""An assistant as a tool of another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from coterie.conversation.events import Delivered, OperationProgressed, ToolCalled, TurnOutcome
from coterie.conversation.operations.operation import Effect, ResourceScope
from coterie.conversation.roles import AssistantDesk, AssistantRole
from coterie.conversation.team.messages import AskAssistant, StopAnswer
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.tool import Tool
from coterie.errors import AgentStopped, DeliveryError, InvalidSetting, OperationStopped, OutcomeUnknown, ToolFailed, describe
from coterie.models import Budget, Model
from coterie.models.policies import BudgetedModel, BudgetLedger, TokenEstimator
from coterie.runtime import AgentRef


class AssistantTool(Tool):
    """A tool that asks an assistant. Made by `as_tool`."""

    assistant: AssistantRole | AgentRef


def as_tool(
    assistant: AssistantRole | AgentRef,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | str | None = None,
    resources: Iterable[str] | None = None,
    patience: float | None = None,
    timeout: float | None = None,
    long_running: bool = False,
    confirm: bool | str = False,
    budget: Budget | None = None,
) -> Tool:
    """Return a tool `ask_NAME` that asks another assistant, as an operation with its own patience, budget and cancel.

    `assistant` is a role, which answers in a conversation of its own in the same store, one for each call; or the reference of an
    `AssistantAgent`, perhaps on another node. The other assistant hears only the request. The result is its answer, with what
    its own operations came to. A cancel stops it and its operations. After a crash it goes on, and is not asked twice.

    `effect` is ``read`` if all tools of the role read, else ``write``. Calls of one assistant run one after the other, unless it
    reads: `resources` are the name of the assistant unless set. Do not name resources that its own tools use, for which these
    would wait forever. `budget` bounds the model requests, tokens and dollars of one call; for a reference the other node sets it.
    Times are in seconds. Raises `InvalidSetting`.
    """
    if isinstance(assistant, AssistantRole):
        called, reads = assistant.name, all(isinstance(each, Tool) and each.effect is Effect.READ for each in assistant.tools)
        ask = _asking_role(assistant, budget)
        about = assistant.description
    elif isinstance(assistant, AgentRef):
        called, reads, about = assistant.name.rpartition("/")[2], False, ""
        ask = _asking_agent(assistant)
        if budget is not None:
            raise InvalidSetting("as_tool.budget", budget, "None for the reference of an agent: its own host bounds its model")
    else:
        raise InvalidSetting("as_tool", assistant, "an AssistantRole, or the reference of an AssistantAgent")

    async def consult(context: ToolContext, request: str) -> str:
        return await ask(context, request)

    consult.__doc__ = f"""Ask {called}, another assistant, and return its answer.{f" {about}" if about else ""}

    Args:
        request: all that it has to know, since it hears nothing else of this conversation
    """
    made = AssistantTool(
        consult,
        name=name if name is not None else f"ask_{called}"[:64],
        description=description,
        effect=effect if effect is not None else "read" if reads else "write",
        resources=tuple(resources) if resources is not None else (f"assistant {called}",) if not reads else (),
        scope=ResourceScope.CONVERSATION,
        patience=patience,
        timeout=timeout,
        long_running=long_running,
        confirm=confirm,
        idempotent=True,
        names={"ToolContext": ToolContext},
    )
    made.assistant = assistant
    return made


Ask = Callable[[ToolContext, str], Awaitable[str]]


def _asking_role(role: AssistantRole, budget: Budget | None) -> Ask:
    async def ask(context: ToolContext, request: str) -> str:
        namespace = (*context.namespace, role.name, context.operation)
        limit = _limiter(budget) if budget is not None else None
        chat = await asyncio.to_thread(context.use(AssistantDesk).open, role, namespace, context.user, limit)
        telling = asyncio.create_task(_tell_progress(chat, context))
        try:
            ended = await chat.send(request, id=context.idempotency_key[-200:]).end()
            if ended.outcome is TurnOutcome.FAILED:
                raise ToolFailed(f"{role.name} could not answer: {ended.problem or ended.text}")
            await chat.settle()
            said = [each.text for each in chat.transcript() if each.role == "assistant"]
            return "\n\n".join(each for each in said if each)
        finally:
            telling.cancel()
            await chat.aclose()

    return ask


def _limiter(budget: Budget) -> Callable[[Model], Model]:
    """Return a function that bounds models, all together, by a budget."""
    ledger = BudgetLedger(budget, Budget(), {}, TokenEstimator(), lambda _, __: 0.0)
    return lambda model: BudgetedModel(model, ledger)


async def _tell_progress(chat: Any, context: ToolContext) -> None:
    """Report the work of the other assistant as the progress of the operation."""
    with contextlib.suppress(OperationStopped):  # its own await ends it
        async for event in chat.events(after=0):
            match event:
                case ToolCalled():
                    await context.progress(0.0, event.tool.replace("_", " "))
                case OperationProgressed():
                    await context.progress(event.fraction, f"{event.tool.replace('_', ' ')}: {event.line}")
                case Delivered():
                    await context.progress(0.9, "putting it together")


def _asking_agent(agent: AgentRef) -> Ask:
    async def ask(context: ToolContext, request: str) -> str:
        thread = "/".join((*context.namespace, context.operation))
        if not agent.is_alive:
            raise ToolFailed(f"{agent.name} is down")
        asked = AskAssistant(text=request, thread=thread, user=context.user, id=context.idempotency_key[-200:], whole=True)
        try:
            return (await agent.ask(asked, timeout=None)).text
        except asyncio.CancelledError:
            agent.tell(StopAnswer(thread=thread, user=context.user))
            raise
        except AgentStopped as error:
            # It may have been at work on it.
            raise OutcomeUnknown(f"{agent.name} has stopped meanwhile") from error
        except DeliveryError as error:
            raise ToolFailed(f"{agent.name} could not answer: {describe(error.__cause__ or error)}") from error

    return ask
