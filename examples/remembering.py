"""An assistant that remembers across conversations in two languages, and says so if it remembers nothing."""

from pathlib import Path
from tempfile import TemporaryDirectory

from coterie import Agent, Request, Runtime, on
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory

NOTHING = {"en": "I do not know that.", "de": "Das weiß ich nicht."}


class Said(Request[None]):
    text: str
    language: str


class Asked(Request[str]):
    text: str
    language: str


class Assistant(Agent):
    def __init__(self, user: str) -> None:
        self.user = user

    def on_start(self) -> None:
        self.memory = AgentMemory(self.context.use(TieredMemory), agent=self.user)

    @on
    def listen(self, message: Said) -> None:
        self.memory.remember({"content": message.text, "language": message.language})

    @on
    def answer(self, message: Asked) -> str:
        found = self.memory.recall(message.text, 1)
        return str(found[0].value["content"]) if found else NOTHING[message.language]


def converse(path: Path, *messages: Said | Asked) -> None:
    """Hold one conversation: open the memory, and close it afterwards."""
    with TieredMemory(MemoryConfig(path=path)) as memory, Runtime() as runtime:
        runtime.provide(memory)
        assistant = runtime.spawn(Assistant, "ann")
        for message in messages:
            if isinstance(message, Asked):
                print(f"{message.text} - {assistant.ask(message).result()}")
            else:
                assistant.ask(message).result()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        path = Path(folder) / "assistant.db"
        converse(
            path,
            Said(text="My sister bought two bicycles in Rome.", language="en"),
            Said(text="Ich esse jeden Morgen Äpfel aus Straßburg.", language="de"),
        )
        converse(
            path,
            Asked(text="What did she buy? A BICYCLE?", language="en"),
            Asked(text="Wo kommt der Apfel her?", language="de"),
            Asked(text="strassburg?", language="de"),
            Asked(text="Wie heißt mein Hund?", language="de"),
        )
