"""Topics and children: an editor spawns reporters, each publishes what it finds, and whoever subscribed gets it."""

import asyncio

from coterie import Agent, Message, Request, Runtime, on


class Story(Message):
    headline: str


class Investigate(Message):
    subject: str


class Printed(Request[list[str]]):
    stories: int


class Reporter(Agent):
    @on
    def investigate(self, message: Investigate) -> None:
        self.context.publish("stories", Story(headline=f"{message.subject}: what nobody told you"))


class Editor(Agent):
    def on_start(self) -> None:
        self.printed: list[str] = []
        self.context.subscribe("stories")
        for subject in ("Fish", "Lakes", "Quotas"):
            self.context.spawn(Reporter, name=f"reporter of {subject}").tell(Investigate(subject=subject))

    @on
    def story(self, message: Story) -> None:
        self.printed.append(message.headline)

    @on(interleave=True)
    async def read(self, message: Printed) -> list[str]:
        while len(self.printed) < message.stories:  # other messages are handled while this one waits
            await asyncio.sleep(0.01)
        return sorted(self.printed)


if __name__ == "__main__":
    with Runtime() as runtime:
        for headline in runtime.spawn(Editor).ask(Printed(stories=3)).result():
            print(headline)
