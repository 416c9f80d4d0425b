"""An assistant that remembers across conversations in two languages, and says so if it remembers nothing.

`python examples/remembering.py` needs no key: rules stand in for a language model. `python examples/remembering.py MODEL` asks a real
one, such as `openai:gpt-5-mini` with its key in the environment, or one of a server with OpenAI's protocol at OPENAI_BASE_URL.
"""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from coterie.conversation import Conversations, UserMemories
from coterie.memory import MemoryConfig, TieredMemory
from coterie.models import Model, ModelGateway, ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall

MONDAY = (
    "Remember that my sister bought two bicycles in Rome.",
    "Merke dir, dass ich jeden Morgen Äpfel aus Straßburg esse.",
)
TUESDAY = (
    "What did she buy? A BICYCLE?",
    "Wo kommt der Apfel her?",
    "Wie heißt mein Hund?",
)
REQUESTS = {"Remember that ": "I shall remember that.", "Merke dir, dass ": "Das merke ich mir."}
NOTHING = {"W": "Das weiß ich nicht.", "Wh": "I do not know that."}


def answer(request: ModelRequest) -> ModelReply | str:
    """Stand in for a language model: store what it is asked to, and answer with the best of what is remembered."""
    if request.step.startswith("summary"):
        return "nothing"
    said = next(each.text for each in reversed(request.exchanges) if isinstance(each, TextMessage))
    for beginning, reply in REQUESTS.items():
        if said.startswith(beginning):
            if isinstance(request.exchanges[-1], TextMessage):
                return ModelReply(calls=(ToolCall("1", "remember", {"text": said.removeprefix(beginning)}),))
            return reply
    remembered = [line[2:] for line in request.instructions.splitlines() if line.startswith("- ")]
    return remembered[0] if remembered else NOTHING.get(said[:2], NOTHING["W"])


async def converse(folder: Path, model: Model, name: str, messages: tuple[str, ...]) -> None:
    """Hold one conversation: open the memory, and close it afterwards."""
    with TieredMemory(MemoryConfig(path=folder / "memory.db")) as memory:
        async with Conversations(model, store=folder / "chats.db", memory=UserMemories(memory)) as host:
            chat = host.open(name, user="ann")
            for message in messages:
                print(f"{name}, ann: {message}\n{name}, assistant: {await chat.send(message).answer()}")


async def main(model: Model) -> None:
    with TemporaryDirectory() as folder:
        await converse(Path(folder), model, "monday", MONDAY)
        await converse(Path(folder), model, "tuesday", TUESDAY)


if __name__ == "__main__":
    if sys.argv[1:]:
        with ModelGateway(sys.argv[1]) as gateway:
            asyncio.run(main(gateway))
    else:
        asyncio.run(main(RuleModel(answer, name="rules")))
