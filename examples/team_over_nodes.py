"""A team over two nodes: the desk on one asks an assistant on the other, over the network, as a tool and as an agent."""

import asyncio
import random

from coterie import Runtime
from coterie.conversation import AskAssistant, AssistantAgent, AssistantRole, Conversation, Conversations, as_tool
from coterie.models import ModelReply, ModelRequest, RuleModel, ToolCall, ToolResult
from coterie.network import NetworkTransport, NodeEntry, Topology


def research(request: ModelRequest) -> str:
    """Stand in for the model of the researcher."""
    return f"{getattr(request.exchanges[-1], 'text', '')} eat fish"


def desk(request: ModelRequest) -> ModelReply | str:
    """Stand in for the model of the desk."""
    last = request.exchanges[-1]
    if isinstance(last, ToolResult):
        return f"The researcher on the other node says: {last.content}"
    return ModelReply(calls=(ToolCall("1", "ask_researcher", {"request": getattr(last, "text", "")}),))


async def main() -> None:
    """Start two nodes in this process, and ask."""
    port = random.randrange(20_000, 32_000)  # noqa: S311 - any that is free will do
    places = Topology({"here": NodeEntry(f"127.0.0.1:{port}"), "there": NodeEntry(f"127.0.0.1:{port + 1}")})
    network = NetworkTransport(places, "here")
    async with (
        Runtime("here", transport=network) as here,
        Runtime("there", transport=NetworkTransport(places, "there")) as there,
        Conversations(RuleModel(research), team=[AssistantRole("researcher")], runtime=there) as assistants,
    ):
        there.spawn(AssistantAgent, assistants, name="researcher")
        researcher = here.reference(network.address("there", "researcher", timeout=30.0))
        print("asked as an agent:", (await researcher.ask(AskAssistant(text="gulls"))).text)
        async with Conversation(RuleModel(desk), team=[AssistantRole("desk", tools=[as_tool(researcher)])]) as chat:
            print("desk:", await chat.send("penguins").answer())


if __name__ == "__main__":
    asyncio.run(main())
