"""A long conversation in a small window: the oldest part is summarised, and a long result is read in parts."""

import asyncio

from coterie.conversation import Conversation, ConversationSettings, Summarise, tool
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall, ToolResult

asked: list[ModelRequest] = []


@tool(effect="read")
def read_report() -> str:
    """Return a report of 20,000 characters."""
    return "All is well. " * 1_500 + "The treasure is under the oak."


def answer(request: ModelRequest) -> ModelReply | str:
    """Stand in for a language model."""
    asked.append(request)
    last = request.exchanges[-1]
    if request.step.startswith("summary"):
        return "The user has counted fish."
    if isinstance(last, TextMessage):
        return ModelReply(calls=(ToolCall("1", "read_report", {}),)) if "report" in last.text else "I see."
    assert isinstance(last, ToolResult)
    if last.name == "read_report":
        name = last.content.partition('result "')[2].partition('"')[0]
        return ModelReply(calls=(ToolCall("1", "read_result", {"result": name, "start": 19_500, "length": 500}),))
    return last.content.partition("[")[0][-30:]


async def main() -> None:
    settings = ConversationSettings(window=4_000, history=Summarise(at=0.7, to=0.4))
    async with Conversation(RuleModel(answer, name="clerk"), [read_report], settings=settings) as chat:
        for count in range(60):
            await chat.send(f"I have seen {count} fish. " + "They were blue. " * 20).answer()
        turns = [each for each in asked if each.step.startswith("turn")]
        first = turns[-1].exchanges[0]
        assert isinstance(first, TextMessage)
        print(len(turns), "turns, of which the last prompt shows", len(turns[-1].exchanges) // 2)
        print("it begins:", first.text.splitlines()[-1])
        print("clerk:", await chat.send("what does the report say?").answer())


if __name__ == "__main__":
    asyncio.run(main())
