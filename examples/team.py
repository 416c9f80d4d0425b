"""A team of three: a desk hands bills over to a colleague, and asks a third assistant as a tool. No key is needed."""

import asyncio

from coterie.conversation import AssistantRole, Conversation, HandedOver, OperationProgressed, TurnEnded, as_tool, handoff, tool
from coterie.models import ModelReply, ModelRequest, RuleModel, ToolCall, ToolResult


@tool(effect="read")
def look_up(subject: str) -> str:
    """Look a subject up in the encyclopedia."""
    return f"{subject} eat fish"


@tool(effect="write", resources=["account"])
def refund(amount: int) -> str:
    """Refund an amount."""
    return f"refunded {amount} coins"


def call(name: str, **arguments: object) -> ModelReply:
    return ModelReply(calls=(ToolCall("1", name, arguments),))


def answer(request: ModelRequest) -> ModelReply | str:
    """Stand in for the language models of all three."""
    last = request.exchanges[-1]
    result = last.content if isinstance(last, ToolResult) else ""
    said = getattr(last, "text", "")
    if "You research" in request.instructions:
        return f"I have read that {result}." if result else call("look_up", subject=said)
    if "You handle bills" in request.instructions:
        return f"I have {result}." if result.startswith("refunded") else call("refund", amount=5)
    if result:
        return f"Our researcher says: {result}"
    return call("handoff_to_billing", reason="a bill") if "bill" in said else call("ask_researcher", request=said)


MODEL = RuleModel(answer)
RESEARCHER = AssistantRole("researcher", instructions="You research.", tools=[look_up])
BILLING = AssistantRole("billing", instructions="You handle bills.", tools=[refund, handoff("desk")])
DESK = AssistantRole("desk", instructions="You are the desk.", tools=[handoff(BILLING), as_tool(RESEARCHER, patience=10)])


async def main() -> None:
    """Ask two questions."""
    async with Conversation(MODEL, team=[DESK]) as chat:
        for question in ("gulls", "my bill is wrong"):
            print("you:", question)
            async for event in chat.send(question):
                match event:
                    case OperationProgressed():
                        print(f"  ({event.tool}: {event.line})")
                    case HandedOver():
                        print(f"  ({event.target} speaks now: {event.reason})")
                    case TurnEnded():
                        print(f"{event.speaker}: {event.text}")


if __name__ == "__main__":
    asyncio.run(main())
