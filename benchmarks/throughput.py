"""Asks and tells: how many in a second, beside the bare primitives and the peers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from functools import partial

from benchmarks import peers, raw
from benchmarks.agents import Add, Asker, AskMany, AsyncCounter, BlockingAsker, Counter, Note
from benchmarks.harness import Comparison, Row, compare, durations, timed
from coterie import AgentRef, Dedicated, Leased, MailboxPolicy, Runtime

ASKS = 3_000
TELLS = 60_000
RAW_GATHER = 3.6
"""The milliseconds of raw asyncio on the machine for which the targets were set."""


def versus(what: str, result: Comparison, ours: str, *targets: tuple[str, float, str]) -> list[Row]:
    """Return a row with all rates, and one for each target: a ratio to another contestant."""
    return [Row(what, str(result)), *over(what, result, ours, *targets)]


def over(what: str, result: Comparison, ours: str, *targets: tuple[str, float, str]) -> list[Row]:
    """Return a row for each target: a ratio to another contestant."""
    rows = []
    for other, wanted, word in targets:
        if other in result.rates:
            ratio = result.ratios(ours, other)
            met = ratio.median >= wanted if word == "at least" else None
            rows.append(Row(f"{what}: {ours} / {other}", str(ratio), f"{word} {wanted:g}", met, ratio))
    return rows


def ask_from_outside() -> list[Row]:
    """One asker outside of all agents, one ask after the other."""
    with contextlib.ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, dispatcher, kind in (
            ("dedicated", Dedicated(), Counter),
            ("leased", Leased(), Counter),
            ("leased, async", Leased(), AsyncCounter),
        ):
            runtime = stack.enter_context(Runtime(dispatcher=dispatcher))
            counter = runtime.spawn(kind)

            def ask(counter: AgentRef = counter) -> float:
                return timed(ASKS, lambda: [counter.ask(Add(1)).result() for _ in range(ASKS)])

            contestants[name] = ask
        queues = raw.SimpleQueues()
        stack.callback(queues.close)
        contestants["SimpleQueue"] = lambda: timed(ASKS, lambda: queues.ask(ASKS))
        loop = raw.LoopThread()
        stack.callback(loop.close)

        async def ask_loop() -> None:
            for _ in range(ASKS):
                await loop.ask()

        contestants["two loops"] = lambda: timed(ASKS, lambda: asyncio.run(ask_loop()))
        if peers.pykka is not None:
            actor = peers.PykkaCounter.start()
            stack.callback(actor.stop)
            contestants["Pykka"] = lambda: timed(ASKS, lambda: [actor.ask(1) for _ in range(ASKS)])
        if peers.autogen_core is not None:
            autogen = peers.AutoGen()
            stack.callback(autogen.close)
            contestants["AutoGen"] = lambda: timed(ASKS, lambda: autogen.call(autogen.ask, ASKS))
        if peers.xoscar is not None:
            xoscar = peers.Xoscar()
            stack.callback(xoscar.close)
            contestants["xoscar"] = lambda: timed(ASKS, lambda: xoscar.call(xoscar.ask, ASKS))
        result = compare(contestants)
    what = "ask round trip from outside"
    return [
        *versus(what, result, "dedicated", ("Pykka", 0.9, "at least"), ("SimpleQueue", 1, "bound")),
        *over(what, result, "leased", ("SimpleQueue", 0.95, "at least"), ("xoscar", 1, "beside")),
        *over(what, result, "leased, async", ("SimpleQueue", 0.8, "at least")),
    ]


def ask_from_within() -> list[Row]:
    """One agent asks another from within a handler."""
    with contextlib.ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, dispatcher, kind in (
            ("leased", Leased(), Asker),
            ("dedicated", Dedicated(), Asker),
            ("leased, blocking", Leased(), BlockingAsker),
            ("dedicated, blocking", Dedicated(), BlockingAsker),
        ):
            runtime = stack.enter_context(Runtime(dispatcher=dispatcher))
            asker = runtime.spawn(kind, runtime.spawn(Counter))

            def ask(asker: AgentRef = asker) -> float:
                return timed(ASKS, lambda: asker.ask(AskMany(ASKS)).result())

            contestants[name] = ask
        contestants["one loop, asyncio.Queue"] = lambda: timed(ASKS, lambda: asyncio.run(raw.ask_on_one_loop(ASKS)))
        if peers.pykka is not None:
            counter = peers.PykkaCounter.start()
            actor = peers.PykkaAsker.start(counter)
            stack.callback(counter.stop)
            stack.callback(actor.stop)
            contestants["Pykka"] = lambda: timed(ASKS, lambda: actor.ask(ASKS))
        if peers.autogen_core is not None:
            autogen = peers.AutoGen()
            stack.callback(autogen.close)
            contestants["AutoGen"] = lambda: timed(ASKS, lambda: autogen.call(autogen.ask_from_within, ASKS))
        if peers.xoscar is not None:
            xoscar = peers.Xoscar()
            stack.callback(xoscar.close)
            contestants["xoscar"] = lambda: timed(ASKS, lambda: xoscar.call(xoscar.ask_from_within, ASKS))
        result = compare(contestants)
    targets = (("AutoGen", 3.0, "at least"), ("Pykka", 2.0, "at least"), ("xoscar", 1.0, "beside"))
    return versus("ask round trip from within an agent", result, "leased", *targets)


def tell(senders: int) -> list[Row]:
    """Tells to one agent, until the last is handled."""

    def spread(send: Callable[[int], object]) -> None:
        share = TELLS // senders
        threads = [threading.Thread(target=send, args=(share,)) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with contextlib.ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, dispatcher in (("leased", Leased()), ("dedicated", Dedicated())):
            runtime = stack.enter_context(Runtime(dispatcher=dispatcher, mailbox=MailboxPolicy(10 * TELLS)))
            counter = runtime.spawn(Counter)

            def work(counter: AgentRef = counter) -> None:
                def send(count: int) -> None:
                    for _ in range(count):
                        counter.tell(Note(1))

                spread(send)
                counter.ask(Add(0)).result()

            contestants[name] = lambda work=work: timed(TELLS, work)  # type: ignore[misc] # bound by default
        queues = raw.SimpleQueues()
        stack.callback(queues.close)
        contestants["SimpleQueue"] = lambda: timed(TELLS, lambda: (spread(queues.tell), queues.ask(1)))
        if peers.pykka is not None:
            actor = peers.PykkaCounter.start()
            stack.callback(actor.stop)

            def tell_pykka() -> None:
                spread(lambda count: [actor.tell(1) for _ in range(count)])
                actor.ask(0)

            contestants["Pykka"] = lambda: timed(TELLS, tell_pykka)
        if senders == 1 and peers.autogen_core is not None:
            autogen = peers.AutoGen()
            stack.callback(autogen.close)
            few = TELLS // 20
            contestants["AutoGen"] = lambda: timed(few, lambda: autogen.call(autogen.tell, few))
        if senders == 1 and peers.xoscar is not None:
            xoscar = peers.Xoscar()
            stack.callback(xoscar.close)
            fewer = TELLS // 4
            contestants["xoscar"] = lambda: timed(fewer, lambda: xoscar.call(xoscar.tell, fewer))
        result = compare(contestants)
    return versus(
        f"tell, {senders} sender{'s' * (senders > 1)}",
        result,
        "leased",
        ("Pykka", 2, "at least"),
        ("AutoGen", 20, "at least"),
        ("xoscar", 1, "beside"),
        ("SimpleQueue", 0.3, "at least"),
    )


def async_handlers() -> list[Row]:
    """What ``async`` handlers that do not wait cost, beside plain ones: tells, asks of a thousand, and asks from outside."""
    rows: list[Row] = []
    with Runtime(mailbox=MailboxPolicy(10 * TELLS)) as runtime:
        forms = {"async": AsyncCounter, "plain": Counter}
        few = TELLS // 3

        def tells(counter: AgentRef) -> None:
            for _ in range(few):
                counter.tell(Note(1))
            counter.ask(Add(0)).result()

        def alone(counter: AgentRef) -> None:
            for _ in range(ASKS):
                counter.ask(Add(1)).result()

        groups = {name: [runtime.spawn(form) for _ in range(1_000)] for name, form in forms.items()}
        for what, count, work, wanted in (
            ("tell, handlers that do not wait", few, lambda group: tells(group[0]), 0.5),
            ("ask 1,000 agents and gather, handlers that do not wait", 1_000, ask_all, 0.6),
            ("ask from outside, handlers that do not wait", ASKS, lambda group: alone(group[0]), 0.84),
        ):
            result = compare({name: partial(timed, count, partial(work, group)) for name, group in groups.items()})
            rows += versus(what, result, "async", ("plain", wanted, "at least"))
        rows += _gathered(groups)
    return rows


def _gathered(groups: Mapping[str, list[AgentRef]]) -> list[Row]:
    """Return how long an ask of a thousand agents takes until the last answer, beside tasks with queues on one loop."""
    bare = raw.LoopAgents(1_000)
    works: dict[str, Callable[[], object]] = {name: partial(ask_all, counters) for name, counters in groups.items()} | {
        "raw asyncio": bare.ask_all
    }
    took = durations(works, 15)
    bare.close()
    # The targets are for a machine on which raw asyncio takes 3.6 ms.
    rows = []
    for form, most in (("async", 20.0), ("plain", 12.0)):
        part = took["raw asyncio"].wall_over(took[form])
        least = RAW_GATHER / most
        figure = f"{took[form].wall} ms, processor {took[form].processor}; raw asyncio {took['raw asyncio'].wall} ms"
        what = f"ask 1,000 agents and gather, {form} handlers: raw asyncio's time / ours"
        target = f"at least {least:.2f} ({most:g} ms where raw asyncio takes {RAW_GATHER} ms)"
        rows.append(Row(what, f"{part} ({figure})", target, part.median >= least, part))
    return rows


def ask_all(counters: list[AgentRef]) -> None:
    """Ask all agents at once, and wait for the answers."""
    for reply in [counter.ask(Add(1)) for counter in counters]:
        reply.result()


def gather() -> list[Row]:
    """Ask a thousand agents at once, and gather the answers."""
    many = 1_000
    with contextlib.ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, dispatcher in (("leased", Leased()), ("dedicated", Dedicated())):
            runtime = stack.enter_context(Runtime(dispatcher=dispatcher))
            counters = [runtime.spawn(Counter) for _ in range(many)]

            contestants[name] = partial(timed, many, partial(ask_all, counters))
        if peers.pykka is not None:
            actors = [peers.PykkaCounter.start() for _ in range(many)]
            for actor in actors:
                stack.callback(actor.stop, block=False)

            def gather_pykka() -> None:
                peers.pykka.get_all([actor.ask(1, block=False) for actor in actors])

            contestants["Pykka"] = lambda: timed(many, gather_pykka)
        if peers.autogen_core is not None:
            autogen = peers.AutoGen()
            stack.callback(autogen.close)
            contestants["AutoGen"] = lambda: timed(many, lambda: autogen.call(autogen.gather, many))
        if peers.xoscar is not None:
            xoscar = peers.Xoscar(many)
            stack.callback(xoscar.close)
            contestants["xoscar"] = lambda: timed(many, lambda: xoscar.call(xoscar.gather))
        result = compare(contestants, rounds=15)
    targets = (("Pykka", 1.0, "at least"), ("AutoGen", 4.0, "at least"), ("xoscar", 1.0, "beside"))
    return versus("ask 1,000 agents and gather", result, "leased", *targets)


def askers() -> list[Row]:
    """A hundred coroutines of one outside loop, each asking one agent after the other of three thousand."""
    many, clients, asks = 3_000, 100, 6_000

    def run(ask: Callable[[int], object]) -> float:
        async def client(first: int) -> None:
            for n in range(asks // clients):
                await ask((first + n * 7_919) % many)  # type: ignore[misc] # whatever it is, it can be awaited

        async def main() -> None:
            await asyncio.gather(*(client(first) for first in range(clients)))

        return timed(asks, lambda: asyncio.run(main()))

    with contextlib.ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, dispatcher in (("leased", Leased()), ("dedicated", Dedicated())):
            runtime = stack.enter_context(Runtime(dispatcher=dispatcher))
            counters = [runtime.spawn(Counter) for _ in range(many)]
            contestants[name] = lambda counters=counters: run(lambda n: counters[n].ask(Add(1)))  # type: ignore[misc] # bound by default
        loops = [raw.LoopThread() for _ in range(many)]
        stack.callback(lambda: [loop.close() for loop in loops])
        contestants["threads with a loop each"] = lambda: run(lambda n: loops[n].ask())
        result = compare(contestants)
    return versus("100 askers over 3,000 agents", result, "leased", ("threads with a loop each", 2, "at least"))
