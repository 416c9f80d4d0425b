"""An agent streams its answer; the asker reads as it likes, and may leave at any time."""

import asyncio
from collections.abc import AsyncIterator

from coterie import Agent, Runtime, Stream, on


class Tell(Stream[str]):
    about: str


class Storyteller(Agent):
    def __init__(self) -> None:
        self.said = 0

    @on
    async def tell(self, message: Tell) -> AsyncIterator[str]:
        try:
            while True:
                for word in f"and then the {message.about} went on".split():
                    self.said += 1
                    yield word  # waits here while the asker has not read the words before
        finally:
            print(f"interrupted after {self.said} words")


async def listen(runtime: Runtime) -> list[str]:
    storyteller = runtime.spawn(Storyteller)
    words = []
    async for word in storyteller.stream(Tell(about="fish"), ahead=4):
        words.append(word)
        await asyncio.sleep(0.001)
        if len(words) == 10:
            break  # the generator of the agent is closed, and its `finally` block runs
    return words


if __name__ == "__main__":
    with Runtime() as runtime:
        heard = asyncio.run(listen(runtime))
    print(" ".join(heard))
