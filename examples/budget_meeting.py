"""A meeting: three departments bargain in turn, the caller stops halfway, and the others finish without it."""

import time

from coterie import Agent, Request, Runtime, on
from coterie.meetings import Accept, Decline, Invitation, MaxTurns, Meetings, RoundRobin, YourTurn


class Department(Agent):
    def __init__(self, wish: int) -> None:
        self.wish = wish

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:
        return True

    @on
    async def my_turn(self, message: YourTurn) -> None:
        meeting = self.context.use(Meetings).meeting(message.meeting)
        heard = [said.content["wish"] for said in meeting.transcript][-2:]
        self.wish = (self.wish + sum(heard)) // (1 + len(heard))
        await meeting.say({"wish": self.wish})


class Bargain(Request[str]):
    guests: tuple[str, ...]


class Caller(Department):
    @on
    async def my_turn(self, message: YourTurn) -> None:
        meeting = self.context.use(Meetings).meeting(message.meeting)
        if len(meeting.transcript):
            await meeting.leave("called away")
        else:
            await meeting.say({"wish": self.wish})

    @on(interleave=True)
    async def bargain(self, message: Bargain) -> str:
        meetings = self.context.use(Meetings)
        meeting = await meetings.call("budget", message.guests, floor=RoundRobin(turn_limit=5), ending=MaxTurns(7))
        return meeting.id


if __name__ == "__main__":
    with Runtime() as runtime:
        meetings = runtime.provide(Meetings())
        runtime.spawn(Department, 30, name="nets")
        runtime.spawn(Department, 12, name="boats")
        meeting = runtime.spawn(Caller, 18, name="head").ask(Bargain(guests=("nets", "boats"))).result()
        while meetings.held:
            time.sleep(0.01)
        said = meetings.meeting(meeting, "nets").transcript
        members = ", ".join(meetings.status(meeting).members)
        print(f"{said[-1].content['wish']} each, after {len(said)} utterances; left at the end: {members}")
