"""The agents of a game: players, which speak in turn, and a referee, whose rules are the floor policy."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from coterie.errors import ContributionRefused, MeetingError
from coterie.kernel import stream
from coterie.meetings import Accept, Decline, Floor, Invitation, Meeting, MeetingEnded, Meetings, MeetingView, YourTurn
from coterie.meetings.state.events import MeetingEvent
from coterie.meetings.state.floor import turn_objection
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentRef, on
from coterie_examples.tic_tac_toe import board


class _Plays(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Perfect(_Plays):
    """Never loses; chooses randomly among equally good moves."""

    rule: Literal["perfect"]

    def moves(self, so_far: list[int], tried: int, random: Random) -> int | None:  # noqa: ARG002 - as every rule
        """Return the next cell to try."""
        return random.choice(board.best(so_far))


class AnyFree(_Plays):
    """Takes a random free cell."""

    rule: Literal["random"]

    def moves(self, so_far: list[int], tried: int, random: Random) -> int | None:  # noqa: ARG002 - as every rule
        """Return the next cell to try."""
        return random.choice(board.free(so_far))


class Script(_Plays):
    """Tries cells in a fixed order, whether they are free or not; after a refusal it tries the next."""

    rule: Literal["script"]
    cells: Annotated[tuple[int, ...], Field(strict=False)]

    def moves(self, so_far: list[int], tried: int, random: Random) -> int | None:  # noqa: ARG002 - as every rule
        """Return the next cell to try; None after the last."""
        return self.cells[tried] if tried < len(self.cells) else None


PlayRule = Annotated[Perfect | AnyFree | Script, Field(discriminator="rule")]


class TicTacToe(Floor, frozen=True, kw_only=True):
    """X and O speak in turn, a legal move each; when the game is over the referee has the floor."""

    stored_name = "coterie.orchestrator.games.playing:TicTacToe"

    x: str
    o: str

    def moves(self, state: MeetingView) -> list[int]:
        """Return the moves so far."""
        return [said.content["move"] for said in state.utterances if said.by in (self.x, self.o)]

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        moves = self.moves(state)
        players = {self.x, self.o} <= set(state.members)
        if board.result(moves) or state.missed or not players:
            return (state.caller,)
        return ((self.x, self.o)[len(moves) % 2],)

    def keeps_floor(self, state: MeetingView, event: MeetingEvent) -> bool:  # noqa: ARG002, D102 - see Floor
        return state.turn.holders == (state.caller,)

    def limit(self, state: MeetingView, holders: tuple[str, ...]) -> float | None:  # noqa: D102 - see Floor
        return None if holders == (state.caller,) else self.turn_limit

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: D102 - see Floor
        if problem := turn_objection(state, by):
            return problem
        if by not in (self.x, self.o):
            return ""
        content = getattr(event, "content", None)
        if not isinstance(content, dict) or set(content) != {"move"}:
            return 'a move is said as {"move": 4}'
        return board.objection(self.moves(state), content["move"])


class Refused(Message):
    """A player tells the referee of a move that the meeting refused."""

    meeting: str
    player: str
    move: Any
    reason: str


class Player(Agent):
    """Moves by a rule."""

    def __init__(self, rule: Any, seed: int | str, referee: AgentRef) -> None:
        self._rule = rule
        self._seed = seed
        self._referee = referee

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:  # noqa: ARG002 - it always comes
        """Accept the invitation."""
        return Accept()

    @on
    async def move(self, message: YourTurn) -> None:
        """Say a move; after a refusal, the next."""
        meeting = self.context.use(Meetings).meeting(message.meeting)
        floor = meeting.state.floor
        assert isinstance(floor, TicTacToe)
        so_far = floor.moves(meeting.state)
        random = stream(self._seed, meeting.topic, meeting.me, len(so_far))
        tried = self._tried(so_far)
        while True:
            cell = self._rule.moves(so_far, tried, random)
            try:
                if cell is None:
                    await meeting.leave("it has no move left")
                else:
                    await meeting.say({"move": cell})
            except ContributionRefused as error:
                self._referee.tell(Refused(meeting.id, meeting.me, cell, error.reason))
                tried += 1
                continue
            except MeetingError as error:
                self.context.log.info("a move came to nothing: %s", error)
            return

    def _tried(self, so_far: list[int]) -> int:
        """Return the number of tried cells of a script: cells that others have taken were refused."""
        if not isinstance(self._rule, Script):
            return 0
        own = len(so_far) // 2
        tried = 0
        seen: list[int] = []
        for place, cell in enumerate(self._rule.cells):
            if own == 0:
                return place
            tried = place + 1
            mine = so_far[len(so_far) % 2 :: 2]
            if cell in mine and cell not in seen:
                seen.append(cell)
                own -= 1
        return tried


class Game(msgspec.Struct, frozen=True):
    """The result of a game."""

    name: str
    result: str
    """"X", "O" or "draw"."""
    moves: tuple[int, ...]
    refused: tuple[tuple[str, Any, str], ...] = ()
    """Refused moves: player, move, reason."""
    reason: str = ""
    """The reason of an end outside the rules of the board; empty otherwise."""
    digest: str = ""
    """Of the minutes."""
    expected: str = ""


class Play(Request[Game]):
    """Play a game between two agents."""

    name: str
    x: AgentRef
    o: AgentRef
    record: str
    turn_limit: float


class Referee(Agent):
    """Calls a meeting for each game, announces the result, and closes it with that."""

    def __init__(self) -> None:
        self._over: dict[str, asyncio.Event] = {}
        self._refused: dict[str, list[tuple[str, Any, str]]] = {}

    @on(interleave=True)
    async def play(self, message: Play) -> Game:
        """Referee a game."""
        floor = TicTacToe(x=message.x.name, o=message.o.name, turn_limit=message.turn_limit)
        meetings = self.context.use(Meetings)
        meeting = await meetings.call(message.name, [message.x, message.o], floor=floor, record=message.record)
        over = self._over.setdefault(meeting.id, asyncio.Event())
        await over.wait()
        state = meeting.state
        moves = floor.moves(state)
        outcome = state.outcome or {}
        refused = tuple(self._refused.pop(meeting.id, ()))
        return Game(message.name, outcome.get("result", ""), tuple(moves), refused, outcome.get("reason", ""), meeting.digest())

    @on(interleave=True)
    async def announce(self, message: YourTurn) -> None:
        """Announce the winner, and close the meeting."""
        meeting = self.context.use(Meetings).meeting(message.meeting)
        result, reason = self._judge(meeting)
        await meeting.say({"result": result, "board": board.drawn(self._moves(meeting))})
        await meeting.close({"result": result, "reason": reason})

    @on
    def refused(self, message: Refused) -> None:
        """Record a move that the meeting refused."""
        self._refused.setdefault(message.meeting, []).append((message.player, message.move, message.reason))

    @on
    def ended(self, message: MeetingEnded) -> None:
        """Wake the thread that waits for the game."""
        self._over.setdefault(message.meeting, asyncio.Event()).set()

    def _judge(self, meeting: Meeting) -> tuple[str, str]:
        state = meeting.state
        floor = state.floor
        assert isinstance(floor, TicTacToe)
        if result := board.result(floor.moves(state)):
            return result, ""
        gone = next((missed.member for missed in state.missed), "")
        gone = gone or next((name for name in (floor.x, floor.o) if name not in state.members), "")
        return ("O" if gone == floor.x else "X"), f"{gone} did not move"

    @staticmethod
    def _moves(meeting: Meeting) -> list[int]:
        floor = meeting.state.floor
        assert isinstance(floor, TicTacToe)
        return floor.moves(meeting.state)
