"""A crowd of agents to which everything happens, and a count of what was sent to it that is independent of ours."""

import asyncio
import itertools
import random
import threading
import time
from functools import partial

from coterie import (
    Agent,
    AgentRef,
    Backoff,
    CoterieError,
    Dedicated,
    MailboxPolicy,
    Message,
    MessagePriority,
    Reply,
    Request,
    Runtime,
    Supervision,
    on,
)
from coterie.kernel import stream
from coterie.testing import run_together


class Tally:
    """Counts what was sent. The agents share it, for it guards itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0
        self.replies: list[Reply[int]] = []

    def add(self) -> None:
        with self._lock:
            self.sent += 1

    def keep(self, reply: Reply[int]) -> None:
        with self._lock:
            self.sent += 1
            self.replies.append(reply)


class Do(Request[int]):
    what: str
    n: int = 0
    other: AgentRef | None = None


class Mute(Message):
    """Nobody handles this."""


class Chaotic(Agent):
    def __init__(self, tally: Tally, seed: int) -> None:
        self.tally = tally
        self.random = random.Random(seed)

    @on(raises=LookupError)
    def do(self, message: Do) -> int:
        match message.what:
            case "raise":
                raise ValueError(message.n)
            case "refuse":
                raise LookupError(message.n)
            case "exit":
                raise SystemExit(message.n)
            case "block":
                time.sleep(0.0002)
            case "tell" if message.other is not None:
                self.tally.add()
                message.other.tell(Mute() if message.n % 7 == 0 else Do("nothing"))
        return message.n


class ChaoticInWaves(Chaotic):
    """The same, in coroutines; some interleave, some await others, some are cancelled while they do."""

    @on
    async def do(self, message: Do) -> int:  # type: ignore[override] # a handler is called by the runtime only
        match message.what:
            case "sleep":
                await asyncio.sleep(0.001)
            case "ask" if message.other is not None:
                reply = message.other.ask(Do("nothing", message.n), timeout=0.01 * (message.n % 3) or None)
                self.tally.keep(reply)
                return await reply
            case "tell" if message.other is not None:
                self.tally.add()
                await message.other.offer(Do("nothing"))
            case _:
                await asyncio.sleep(0)
                return super().do(message)
        return message.n


class ChaoticTogether(ChaoticInWaves):
    @on(interleave=True)
    async def do(self, message: Do) -> int:  # type: ignore[override] # as above
        return await super().do(message)


KINDS: list[type[Agent]] = [Chaotic, ChaoticInWaves, ChaoticTogether]
POLICIES = [
    MailboxPolicy.wait(20, timeout=0.05),
    MailboxPolicy.wait(),
    MailboxPolicy.reject(10),
    MailboxPolicy.drop_oldest(5),
]
WHAT = ["nothing"] * 10 + ["raise", "refuse", "exit", "block", "sleep", "ask", "ask", "tell", "tell"]


def unleash(runtime: Runtime, messages: int, seed: int, senders: int = 6, agents: int = 12) -> Tally:
    """Send about so many messages from outside, and return the count when all have been sent."""
    tally = Tally()
    crowd: list[AgentRef] = []
    numbers = itertools.count()

    def spawn(choose: random.Random) -> AgentRef:
        return runtime.spawn(
            choose.choice(KINDS),
            tally,
            next(numbers),
            mailbox=choose.choice(POLICIES),
            supervision=Supervision(max_restarts=choose.choice([0, 3, 1_000_000]), backoff=Backoff(0.0, maximum=0.0)),
            dispatcher=choose.choice([None, None, Dedicated()]),
        )

    crowd += [spawn(stream(seed, "first")) for _ in range(agents)]

    def send(sender: int) -> None:
        choose = stream(seed, sender)
        for n in range(messages // senders):
            place = choose.randrange(len(crowd))
            agent, other = crowd[place], choose.choice(crowd)
            if choose.random() < 0.01 or not agent.is_alive:
                agent.stop(drain=choose.random() < 0.5)
                crowd[place] = spawn(choose)
            what = Do(choose.choice(WHAT), n, other)
            try:
                if choose.random() < 0.6:
                    tally.add()
                    agent.tell(
                        what,
                        priority=choose.choice([MessagePriority.NORMAL] * 5 + [MessagePriority.HIGH]),
                        ttl=choose.choice([None, None, 0.0, 0.001, 1.0]),
                    )
                else:
                    reply = agent.ask(what, timeout=choose.choice([0.0, 0.001, 0.05, 30.0]))
                    tally.keep(reply)
                    if choose.random() < 0.1:
                        reply.cancel()
                    elif choose.random() < 0.1:
                        reply.result(0.01)
            except CoterieError:
                continue

    run_together(*(partial(send, sender) for sender in range(senders)), timeout=600.0)
    return tally
