"""How a meeting begins: guests are asked, and it is opened with those who come, or called off."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import defaultdict

from coterie.kernel import Address
from coterie.meetings.desk.desk import Desk
from coterie.meetings.desk.inviting import RECEPTION, ask_here, ask_there
from coterie.meetings.desk.letters import Answer, Answered, CallOff, Hold, Host, Invite, NotHeld, Submit
from coterie.meetings.desk.seat import Seat
from coterie.meetings.messages import Accept, Invitation, MeetingCancelled
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Place, Refusal
from coterie.meetings.protocol.replica import Replica
from coterie.runtime import Agent, AgentRef, on

_LATE = 60.0
"""Seconds within which a majority must have taken notice of a late answer."""


class Opening(Agent):
    """The part of a clerk that invites, seats, opens and calls off."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._opened: asyncio.Future[None] | None = None
        self._decided: asyncio.Event | None = None
        self._ended = False

    @abstractmethod
    async def submit(self, message: Submit) -> Answered:
        """Have something taken into the minutes, and wait until that is certain."""

    @abstractmethod
    def _submit(self, seat: Seat, event: AnyEvent, patience: float, future: asyncio.Future[Answered] | None = None) -> None: ...

    @abstractmethod
    def _pump(self, dirty: dict[str, Seat]) -> None: ...

    @abstractmethod
    def _end(self) -> None: ...

    @on(interleave=True)
    async def hold(self, message: Hold) -> NotHeld | None:  # noqa: ARG002 - what there is to know is on the desk
        """Invite, wait for the answers that matter, and open."""
        desk = self.desk
        assert desk.gathering is not None
        assert desk.terms is not None
        gathering, terms = desk.gathering, desk.terms
        self._decided = asyncio.Event()
        for name, guest in gathering.guests.items():
            self.context.create_task(self._invite(name, guest, required=name in gathering.required, limit=terms.timeout))
        try:
            while (verdict := gathering.verdict()) is False:
                self._decided.clear()
                await self._decided.wait()
        except asyncio.CancelledError:
            self._call_off("the caller took it back")
            raise
        if isinstance(verdict, NotHeld):
            self._call_off(verdict.reason)
            return verdict
        return await self._open()

    async def _invite(self, name: str, guest: AgentRef, *, required: bool, limit: float) -> None:
        """Ask a guest, and see to its answer, which may come before the meeting is opened or after."""
        answer = await self._ask(name, guest, required=required, limit=limit)
        gathering = self.desk.gathering
        if gathering is None or self._ended:
            if answer.kind == "accepted":
                self._tell_cancelled(guest, "it was called off, or is over")
            return
        if gathering.answer(name, answer):
            if self._opened is None:
                assert self._decided is not None
                self._decided.set()
            else:
                await self._settle_late(name, guest, answer)

    async def _ask(self, name: str, guest: AgentRef, *, required: bool, limit: float) -> Answer:
        desk = self.desk
        terms, caller, gathering = desk.terms, desk.caller, desk.gathering
        assert terms is not None
        assert caller is not None
        guests = tuple(gathering.guests) if gathering is not None else ()
        invitation = Invitation(
            desk.meeting,
            terms.topic,
            caller[0],
            required,
            guests,
            terms.floor_name,
            terms.parameters,
            terms.parent,
            desk.now() + limit,
        )
        if guest.address.node != self.context.runtime.node:
            return await ask_there(self.context.runtime, Host(guest, name, invitation, terms.floor, limit))
        return await ask_here(guest, invitation, limit)

    async def _open(self) -> NotHeld | None:
        """Open the meeting with those who have accepted by now."""
        desk = self.desk
        assert desk.gathering is not None
        assert desk.terms is not None
        assert desk.caller is not None
        gathering, terms = desk.gathering, desk.terms
        caller, agent = desk.caller
        self._seat(caller, agent, Accept(terms.batch))
        places = [self._place(caller, agent, Accept())]
        for name in gathering.coming:
            answer, guest = gathering.answers[name], gathering.guests[name]
            places.append(answer.place or self._place(name, guest, answer.accepted or Accept()))
            if answer.place is None:
                self._seat(name, guest, answer.accepted or Accept())
        self._opened = asyncio.get_running_loop().create_future()
        desk.seats[caller].replica.open(
            events.Opened(
                terms.topic,
                caller,
                tuple(places),
                terms.floor,
                gathering.open,
                gathering.not_coming,
                terms.quorum,
                terms.ending,
                terms.parameters,
                terms.parent,
                terms.closes_with_caller,
            ),
            desk.now(),
        )
        self._pump({caller: desk.seats[caller]})
        await self._opened
        return None

    async def _settle_late(self, name: str, guest: AgentRef, answer: Answer) -> NotHeld | None:
        """Have an answer that came after the opening taken into the minutes, in the name of somebody who is here.

        Return why a guest that accepted is no member nevertheless.
        """
        coming = answer.kind == "accepted"
        sponsor = next((seat for seat in self.desk.seats.values() if not seat.replica.over), None)
        if sponsor is None:
            refusal: Refusal | None = Refusal("closed", "the meeting is over")
        elif coming:
            accepted = answer.accepted or Accept()
            place = answer.place or self._place(name, guest, accepted)
            if answer.place is None:
                self._seat(name, guest, accepted)
            future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
            self._submit(sponsor, events.Joined(place), _LATE, future)
            refusal = (await future).refusal
        else:
            self._submit(sponsor, events.Declined(name, answer.reason), _LATE)
            refusal = None
        if refusal is None or not coming:
            return None
        self._tell_cancelled(guest, refusal.text)
        return NotHeld(refusal.kind, refusal.text)

    def _seat(self, name: str, agent: AgentRef, accepted: Accept) -> Seat:
        desk = self.desk
        where = str(self.context.self_ref.address)
        replica = Replica(name, desk.meeting, where, desk.resolve, desk.timing, desk.now())
        seat = Seat(name, agent, accepted, replica)
        desk.add(seat)
        self.context.watch(agent)
        return seat

    def _place(self, name: str, agent: AgentRef, accepted: Accept) -> Place:
        return Place(name, str(agent.address), str(self.context.self_ref.address), accepted.person)

    def _call_off(self, reason: str) -> None:
        """Tell everybody who was invited that the meeting is not held."""
        desk = self.desk
        assert desk.gathering is not None
        guests, desk.gathering = desk.gathering.guests, None
        node = self.context.runtime.node
        elsewhere: dict[str, list[AgentRef]] = defaultdict(list)
        for guest in guests.values():
            if guest.address.node == node:
                self._tell_cancelled(guest, reason)
            else:
                elsewhere[guest.address.node].append(guest)
        for other, theirs in elsewhere.items():
            reception = self.context.runtime.reference(Address(other, RECEPTION))
            reception.post(CallOff(desk.meeting, desk.topic, reason, tuple(theirs)))
        self._end()

    def _tell_cancelled(self, guest: AgentRef, reason: str) -> None:
        if guest.is_alive and guest.handles(MeetingCancelled):
            guest.post(MeetingCancelled(self.desk.meeting, self.desk.topic, reason))

    @on(interleave=True)
    async def invite(self, message: Invite) -> NotHeld | None:
        """Invite somebody to a meeting that is being held."""
        refusal = await self.submit(Submit(message.member, events.Invited(message.name), message.timeout))
        if refusal.refusal is not None:
            return NotHeld(refusal.refusal.kind, refusal.refusal.text)
        try:
            answer = await self._ask(message.name, message.guest, required=False, limit=message.timeout)
        except asyncio.CancelledError:
            await self._settle_late(message.name, message.guest, Answer("silent", "the invitation was taken back"))
            self._tell_cancelled(message.guest, "the invitation was taken back")
            raise
        refused = await self._settle_late(message.name, message.guest, answer)
        if answer.kind == "accepted":
            return refused
        return NotHeld(answer.kind, f"{message.name}: {answer.reason}", **{answer.kind: {message.name: answer.reason}})
