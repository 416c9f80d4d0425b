"""The clerk of one meeting on one node: runs the replicas of the members that live there, and tells them what happens."""

from __future__ import annotations

import asyncio

from coterie.errors import describe
from coterie.meetings.desk.desk import Desk
from coterie.meetings.desk.letters import Answered, Mail, Post, Submit, Tick
from coterie.meetings.desk.opening import Opening
from coterie.meetings.desk.seat import Seat
from coterie.meetings.messages import Accept
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Entry, Place, Refusal
from coterie.meetings.protocol.letters import Committed, Diverged, Ruled, Send
from coterie.messaging import Message, Request
from coterie.runtime import AgentDown, AgentRef, AgentRestarted, AgentTimer, on


class TakeSeat(Request[Place]):
    """Give a guest that has accepted a seat here."""

    guest: AgentRef
    name: str
    accepted: Accept
    timeout: float
    """Seconds that all guests have to answer."""


class _Came:
    """What came of an exchange of letters."""

    __slots__ = ("elsewhere", "news", "rulings", "touched")

    def __init__(self, touched: dict[str, Seat]) -> None:
        self.touched = touched
        self.news: list[tuple[Seat, Entry]] = []
        self.rulings: list[Ruled] = []
        self.elsewhere: dict[str, list[Post]] = {}


class Clerk(Opening):
    """Keeps the replicas of a meeting's members beside their agents, so that they answer while those are busy.

    Replicas that live here exchange their letters within one call; those elsewhere get them by post.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._waiting: dict[str, asyncio.Future[Answered]] = {}
        self._reminder: AgentTimer | None = None
        self._planned = 0.0
        self._due: dict[str, float | None] = {}
        self._refs: dict[str, AgentRef] = {}
        self._known: dict[str, str] = {}
        """Where letters from others came from."""
        self._linger: float | None = None
        self._opens_by: float | None = None

    def on_start(self) -> None:
        """Go on with what is on the desk, if this clerk was rebuilt."""
        for seat in self.desk.seats.values():
            self.context.watch(seat.agent)
        self._pump(dict(self.desk.seats))

    # While it lasts.

    @on(interleave=True)
    async def submit(self, message: Submit) -> Answered:
        """Have something taken into the minutes, and wait until that is certain."""
        seat = self.desk.seats.get(message.member)
        if seat is None or seat.replica.over:
            return Answered(refusal=Refusal("not-a-member", f"{message.member} is no member of this meeting"))
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._submit(seat, message.event, message.patience, future)
        return future.result() if future.done() else await future

    def _submit(self, seat: Seat, event: AnyEvent, patience: float, future: asyncio.Future[Answered] | None = None) -> None:
        """Bring something to who orders; `future` is told what became of it."""
        seat.submissions += 1
        id_ = f"{seat.name}/{seat.submissions}"
        if future is not None:
            self._waiting[id_] = future
        now = self.desk.now()
        seat.replica.submit(id_, event, now, now + patience)
        self._pump({seat.name: seat})

    @on
    def take_seat(self, message: TakeSeat) -> Place:
        """Give a guest a seat, before it is a member, for the minutes to be brought to."""
        if message.name not in self.desk.seats:
            self._seat(message.name, message.guest, message.accepted)
            if not self.desk.recorded:
                # By then it has been opened, or never will be: whoever called it is lost.
                self._opens_by = self.desk.now() + message.timeout + self.desk.timing.absent
                self._plan(self.desk.now())
        return self._place(message.name, message.guest, message.accepted)

    @on
    def post(self, message: Mail) -> None:
        """Take letters from clerks on other nodes."""
        dirty = {}
        now = self.desk.now()
        for post in message.posts:
            self._known[post.by] = message.where
            seat = self.desk.seats.get(post.to) or self.desk.past.get(post.to)
            if seat is not None:
                seat.replica.receive(post.by, post.letter, now)
                dirty[seat.name] = seat
        self._pump(dirty)

    @on
    def tick(self, message: Tick) -> None:  # noqa: ARG002 - it says nothing more
        """Do what is due."""
        self._reminder = None
        # What was planned is due now, whatever the last digit of the clock says.
        now = max(self.desk.now(), self._planned)
        for seat in self.desk.seats.values():
            seat.replica.tick(now)
            seat.due(now)
        self._pump(dict(self.desk.seats))

    @on
    def restarted(self, message: AgentRestarted) -> None:
        """A member has lost what it knew: tell it all again."""
        for seat in list(self.desk.seats.values()):
            if seat.agent == message.agent and seat.welcomed and not seat.ended:
                seat.welcome(again=True)
                # It loses a turn that it had; if the floor comes back to it, that is told after what was said before.
                self._submit(seat, events.Crashed(seat.name, message.error), self.desk.timing.absent)

    @on
    def down(self, message: AgentDown) -> None:
        """A member's agent has ended: it leaves, in good order."""
        why = f"its agent has {message.reason}" + (f": {message.error}" if message.error else "")
        for seat in list(self.desk.seats.values()):
            if seat.agent == message.agent and not seat.replica.over:
                self._submit(seat, events.Left(seat.name, why), self.desk.timing.absent)

    @on
    def ignore(self, message: Message) -> None:
        """Anything else is not for a clerk: a broadcast to all agents, say."""

    # Letters and news.

    def _pump(self, dirty: dict[str, Seat]) -> None:
        """Carry letters between replicas until there are none, then keep, tell, and send what came of it."""
        now = self.desk.now()
        came = self._exchange(dirty, now)
        self._keep(came.touched)
        for seat, entry in came.news:
            seat.tell(entry, now)
        for ruling in came.rulings:
            future = self._waiting.pop(ruling.id, None)
            if future is not None and not future.done():
                future.set_result(Answered(ruling.sequence, ruling.refusal))
        for where, posts in came.elsewhere.items():
            self._reference(where).post(Mail(str(self.context.self_ref.address), tuple(posts)))
        for name, seat in came.touched.items():
            seat.settle()
            self._due[name] = seat.replica.next_deadline()
            if seat.replica.over and name in self.desk.seats:
                seat.end(now)
                self.desk.remove(name)
                del self._due[name]
        if self._opened is not None and not self._opened.done() and self.desk.recorded:
            self._opened.set_result(None)
        self._plan(now)

    def _exchange(self, dirty: dict[str, Seat], now: float) -> _Came:
        """Carry letters between the replicas here until there are none, and return what else came of it."""
        seats = self.desk.seats
        came = _Came(dict(dirty))
        while dirty:
            name, seat = next(iter(dirty.items()))
            del dirty[name]
            for effect in seat.replica.drain():
                if type(effect) is Send:
                    target = seats.get(effect.to)
                    if target is None:
                        self._address(seat, effect, came.elsewhere)
                        continue
                    target.replica.receive(name, effect.letter, now)
                    dirty[effect.to] = came.touched[effect.to] = target
                elif type(effect) is Committed:
                    if effect.counts:
                        came.news.append((seat, effect.entry))
                elif type(effect) is Ruled:
                    came.rulings.append(effect)
                elif type(effect) is Diverged:
                    meeting = self.desk.meeting
                    self.context.log.error("%s: %s has come to something else by the same minutes", meeting, effect.member)
        return came

    def _address(self, seat: Seat, effect: Send, elsewhere: dict[str, list[Post]]) -> None:
        place = seat.replica.log.members.get(effect.to) or self.desk.place(effect.to)
        where = self._known.get(effect.to, "") if place is None else place.where
        if where and where != seat.replica.where:
            elsewhere.setdefault(where, []).append(Post(effect.to, seat.name, effect.letter))
        elif effect.to in self.desk.past:
            self.desk.past[effect.to].replica.receive(seat.name, effect.letter, self.desk.now())

    def _reference(self, where: str) -> AgentRef:
        found = self._refs.get(where)
        if found is None:
            found = self._refs[where] = self.context.runtime.reference(where)
        return found

    def _keep(self, touched: dict[str, Seat]) -> None:
        """Put what is final where it lasts."""
        desk = self.desk
        for seat in touched.values():
            committed = seat.replica.committed
            if committed > desk.recorded:
                desk.recorded = committed
                try:
                    # With those that could not be written before: a disk may have room again.
                    desk.record(desk, seat.replica.log.entries[desk.written : committed])
                    desk.written = committed
                except OSError as error:
                    self.context.log.error("the minutes of %s cannot be written: %s", desk.meeting, describe(error))  # noqa: TRY400

    def _plan(self, now: float) -> None:
        """Have the clerk called when something is due, or end if nothing ever will be."""
        if self._is_done(now):
            self._end()
            return
        times = [when for when in (*self._due.values(), self._opens_by) if when is not None]
        times += [when for seat in self.desk.seats.values() if (when := seat.batch_deadline) is not None]
        if self._linger is not None:
            times.append(max(self._linger, now + self.desk.timing.beat))
        if not times:
            return
        when = min(times)
        if self._reminder is not None:
            if self._planned <= when:
                return
            self._reminder.cancel()
        self._planned = when
        self._reminder = self.context.after(max(0.0, when - now), Tick())

    def _is_done(self, now: float) -> bool:
        """Return whether the meeting is over and everybody knows, or will never be opened."""
        seats = self.desk.seats.values()
        if not self.desk.recorded:
            if self._opens_by is None or now < self._opens_by:
                return False
            for seat in seats:
                self._tell_cancelled(seat.agent, "nothing more was heard of who called it")
            return True
        self._opens_by = None
        if any(seat.replica.state.is_open for seat in seats):
            return False
        if self._linger is None:
            apart = any(seat.replica.apart() for seat in seats)
            self._linger = now + (3 * self.desk.timing.patience if apart else 0.0)
        finished = all(seat.replica.ordering is None or seat.replica.ordering.finished() for seat in seats)
        return finished and now >= self._linger

    def _end(self) -> None:
        """There is nothing more to do here."""
        self._ended = True
        gathering = self.desk.gathering
        if gathering is not None:
            for name in gathering.open:
                self._tell_cancelled(gathering.guests[name], "it is over")
        try:
            self.desk.forget(self.desk)
        except OSError as error:
            self.context.log.error("the minutes of %s cannot be written: %s", self.desk.meeting, describe(error))  # noqa: TRY400
        self.desk.rest()
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Answered(refusal=Refusal("closed", "the meeting is over")))
        self.context.self_ref.stop()
