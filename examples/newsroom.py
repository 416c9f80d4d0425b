"""Topics and children: an editor spawns reporters, each publishes its findings, and subscribers get them."""

import asyncio

from coterie import Agent, Message, Request, Runtime, on

SUBJECTS = ("Fish", "Lakes", "Quotas")


class Story(Message):
    headline: str


class Investigate(Message):
    subject: str


class Read(Request[list[str]]):
    pass


class Reporter(Agent):
    @on
    def investigate(self, message: Investigate) -> None:
        self.context.publish("stories", Story(headline=f"{message.subject}: what nobody told you"))


class Editor(Agent):
    def on_start(self) -> None:
        self.printed: list[str] = []
        self.complete = asyncio.Event()
        self.context.subscribe("stories")
        for subject in SUBJECTS:
            self.context.spawn(Reporter, name=f"reporter of {subject}").tell(Investigate(subject=subject))

    @on
    def story(self, message: Story) -> None:
        self.printed.append(message.headline)
        if len(self.printed) == len(SUBJECTS):
            self.complete.set()

    @on(interleave=True)
    async def read(self, message: Read) -> list[str]:
        await self.complete.wait()  # other messages are handled while this one waits
        return sorted(self.printed)


if __name__ == "__main__":
    with Runtime() as runtime:
        for headline in runtime.spawn(Editor).ask(Read()).result():
            print(headline)
