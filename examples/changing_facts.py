"""An assistant that notices what has changed between conversations in two languages, and knows where it has that from."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from coterie.memory import AgentMemory, Fact, Memory, MemoryConfig, ModelExtractor, TieredMemory
from coterie.testing import ManualClock

# In place of a language model, which would get the same prompt.
ANSWERS = {
    "Rome": '[{"subject": "Ann", "relation": "lives in", "object": "Rome", "quote": "I live in Rome"}]',
    "Bonn": '[{"subject": "Ann", "relation": "lives in", "object": "Bonn", "quote": "nach Bonn gezogen"}]',
    "tea": '[{"subject": "Ann", "relation": "likes", "object": "tea", "quote": "like tea"}]',
}


def model(prompt: str) -> str:
    text = prompt.partition("<text>")[2]
    return next((answer for word, answer in ANSWERS.items() if word in text), "[]")


def converse(path: Path, clock: ManualClock, *said: str) -> None:
    """Hold one conversation: listen, and write down what is known about the user."""
    with TieredMemory(MemoryConfig(path=path), clock=clock) as memory:
        mind = AgentMemory(memory, "ann", extractor=ModelExtractor(model))
        for text in said:
            mind.remember({"speaker": "Ann", "content": text})
        mind.consolidate(force=True)
        mind.blocks.define("user", description="Who the user is; always in the prompt.")
        mind.blocks.write("user", ", ".join(f"{each.relation} {each.name}" for each in mind.neighbours("Ann")))
    clock.advance(timedelta(days=30).total_seconds())


def sources(mind: AgentMemory, fact: Memory) -> str:
    return " / ".join(each.value["content"] for each in mind.explain(fact.id).episodes)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        path, clock = Path(folder) / "assistant.db", ManualClock()
        converse(path, clock, "I live in Rome, near the river.", "I like tea, not coffee.")
        converse(path, clock, "Ich bin letzte Woche nach Bonn gezogen.")
        with TieredMemory(MemoryConfig(path=path), clock=clock) as memory:
            mind = AgentMemory(memory, "ann")
            print(mind.blocks["user"].text)
            for fact in mind.history("Ann", "lives in"):
                assert isinstance(fact.fact, Fact)
                print(fact.fact.object, "now:" if fact.valid(clock.time()) else "before:", sources(mind, fact))
            mind.learn(Fact("Ann", "likes", "tea", negated=True))
            print([each.name for each in mind.neighbours("Ann")])
