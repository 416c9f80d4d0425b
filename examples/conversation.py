"""A conversation goes on while a parcel is sent: questions are answered, and the result is delivered when it is ready."""

import asyncio
from collections.abc import AsyncIterator

from coterie.conversation import Conversation, Delivered, OperationProgressed, ToolContext, tool
from coterie.models import ModelReply, ModelRequest, TextDelta, TextMessage, ToolCall


@tool(effect="write", resources=["parcel"], long_running=True)
async def send_parcel(context: ToolContext, to: str) -> str:
    """Send a parcel."""
    for step, line in enumerate(["packing", "weighing", "handing over"]):
        await context.progress(step / 3, line)
        await asyncio.sleep(0.2)
    return f"The parcel is on its way to {to}."


@tool(effect="read", resources=["parcel"])
def weigh_parcel() -> str:
    """Weigh the parcel."""
    return "2 kg"


class Clerk:
    """Stands in for a language model: understands three sentences."""

    name = "clerk"

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        reply = self.reply(request)
        yield TextDelta(reply.text)
        yield reply

    async def ask(self, request: ModelRequest) -> ModelReply:
        return self.reply(request)

    def reply(self, request: ModelRequest) -> ModelReply:
        last = request.exchanges[-1]
        if request.step.startswith("delivery"):
            return ModelReply(text="Meanwhile your parcel has left for Oslo.")
        if not isinstance(last, TextMessage):
            return ModelReply(text=getattr(last, "content", "").split(";")[0].split(":")[0])
        if "send" in last.text:
            return ModelReply(calls=(ToolCall("1", "send_parcel", {"to": "Oslo"}),))
        if "weigh" in last.text:
            return ModelReply(calls=(ToolCall("1", "weigh_parcel", {}),))
        return ModelReply(text="It rains in Oslo.")


async def main() -> None:
    async with Conversation(Clerk(), [send_parcel, weigh_parcel], namespace=("customer", "7")) as chat:
        await chat.send("send my parcel").answer()
        print("clerk:", await chat.send("what does it weigh?").answer())
        print("clerk:", await chat.send("how is the weather there?").answer())
        async for event in chat.events(after=0):
            if isinstance(event, OperationProgressed):
                print(f"{event.fraction:4.0%} {event.line}")
            if isinstance(event, Delivered):
                print("clerk:", event.text)
                break


if __name__ == "__main__":
    asyncio.run(main())
