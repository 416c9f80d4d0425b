"""Pykka and AutoGen Core, where they are installed (the dependency group `bench`), and xoscar.

xoscar is in no group, because it needs an older SciPy than the extra `simulation` gets: install it into an environment of your own.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

try:
    import pykka
except ImportError:
    pykka = None

try:
    import autogen_core
    from autogen_core import (
        AgentId,
        MessageContext,
        RoutedAgent,
        SingleThreadedAgentRuntime,
        TopicId,
        TypeSubscription,
        message_handler,
    )
except ImportError:
    autogen_core = None

try:
    import xoscar
except ImportError:
    xoscar = None

try:
    from autogen_agentchat.agents import BaseChatAgent
    from autogen_agentchat.base import Response
    from autogen_agentchat.conditions import MaxMessageTermination
    from autogen_agentchat.messages import TextMessage
    from autogen_agentchat.teams import RoundRobinGroupChat
except ImportError:
    BaseChatAgent = None

MISSING = [
    name
    for name, module in (
        ("Pykka", pykka),
        ("AutoGen Core", autogen_core),
        ("AutoGen AgentChat", BaseChatAgent),
        ("xoscar", xoscar),
    )
    if module is None
]

if pykka is not None:

    class PykkaCounter(pykka.ThreadingActor):
        use_daemon_thread = True

        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: Any) -> int:
            self.count += message
            return self.count

    class PykkaAsker(pykka.ThreadingActor):
        use_daemon_thread = True

        def __init__(self, other: Any) -> None:
            super().__init__()
            self.other = other

        def on_receive(self, message: int) -> int:
            for _ in range(message):
                self.other.ask(1)
            return message


if autogen_core is not None:

    @dataclass
    class AutoGenAdd:
        amount: int

    @dataclass
    class AutoGenNote:
        amount: int

    @dataclass
    class AutoGenAskMany:
        count: int

    class AutoGenCounter(RoutedAgent):
        def __init__(self) -> None:
            super().__init__("counts")
            self.count = 0

        @message_handler
        async def add(self, message: AutoGenAdd, ctx: MessageContext) -> AutoGenAdd:  # noqa: ARG002
            self.count += message.amount
            return AutoGenAdd(self.count)

        @message_handler
        async def note(self, message: AutoGenNote, ctx: MessageContext) -> None:  # noqa: ARG002
            self.count += message.amount

    class AutoGenAsker(RoutedAgent):
        def __init__(self) -> None:
            super().__init__("asks")

        @message_handler
        async def ask_many(self, message: AutoGenAskMany, ctx: MessageContext) -> AutoGenAdd:  # noqa: ARG002
            for _ in range(message.count):
                await self.send_message(AutoGenAdd(1), AgentId("counter", "one"))
            return AutoGenAdd(message.count)

    @dataclass
    class AutoGenStep:
        to: str

    @dataclass
    class AutoGenGift:
        coins: int

    class AutoGenHolder(RoutedAgent):
        def __init__(self) -> None:
            super().__init__("holds coins")
            self.coins = 1

        @message_handler
        async def step(self, message: AutoGenStep, ctx: MessageContext) -> AutoGenGift:  # noqa: ARG002
            if self.coins:
                self.coins -= 1
                await self.publish_message(AutoGenGift(1), TopicId("gifts", message.to))
            return AutoGenGift(self.coins)

        @message_handler
        async def gift(self, message: AutoGenGift, ctx: MessageContext) -> None:  # noqa: ARG002
            self.coins += message.coins


group_chat: Callable[[int], Any] | None = None

if BaseChatAgent is not None:

    class ScriptedChatAgent(BaseChatAgent):
        @property
        def produced_message_types(self) -> Any:
            return (TextMessage,)

        async def on_messages(self, messages: Any, cancellation_token: Any) -> Any:  # noqa: ARG002
            return Response(chat_message=TextMessage(content="my turn", source=self.name))

        async def on_reset(self, cancellation_token: Any) -> None:
            pass

    async def _group_chat(count: int) -> None:
        members = [ScriptedChatAgent(f"member{number}", "speaks") for number in range(3)]
        team = RoundRobinGroupChat(members, termination_condition=MaxMessageTermination(count))
        await team.run()

    group_chat = _group_chat


class OnLoop:
    """An event loop on a thread of its own, for a peer that is driven from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a coroutine function on the loop; return its result."""
        return asyncio.run_coroutine_threadsafe(function(*arguments), self.loop).result()

    def close(self) -> None:
        self.call(self._end_tasks)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @staticmethod
    async def _end_tasks() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class AutoGen(OnLoop):
    """An AutoGen runtime."""

    def __init__(self) -> None:
        super().__init__()
        self.runtime = SingleThreadedAgentRuntime()
        self.call(self._start)

    async def step(self, number: int, to: int) -> None:
        await self.runtime.send_message(AutoGenStep(str(to)), AgentId("holder", str(number)))

    async def _start(self) -> None:
        await AutoGenCounter.register(self.runtime, "counter", AutoGenCounter)
        await AutoGenAsker.register(self.runtime, "asker", AutoGenAsker)
        await self.runtime.add_subscription(TypeSubscription("notes", "counter"))
        await self.runtime.add_subscription(TypeSubscription("gifts", "holder"))
        self.runtime.start()

    async def ask(self, count: int) -> None:
        for _ in range(count):
            await self.runtime.send_message(AutoGenAdd(1), AgentId("counter", "one"))

    async def ask_from_within(self, count: int) -> None:
        await self.runtime.send_message(AutoGenAskMany(count), AgentId("asker", "one"))

    async def tell(self, count: int) -> None:
        for _ in range(count):
            await self.runtime.publish_message(AutoGenNote(1), TopicId("notes", "one"))
        await self.runtime.stop_when_idle()
        self.runtime.start()

    async def gather(self, count: int) -> None:
        ask = self.runtime.send_message
        await asyncio.gather(*(ask(AutoGenAdd(1), AgentId("counter", str(n))) for n in range(count)))

    def close(self) -> None:
        self.call(self.runtime.stop)
        super().close()


if xoscar is not None:

    class XoscarCounter(xoscar.Actor):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def add(self, amount: int) -> int:
            self.count += amount
            return self.count

    class XoscarAsker(xoscar.Actor):
        def __init__(self, other: Any) -> None:
            super().__init__()
            self.other = other

        async def ask_many(self, count: int) -> int:
            for _ in range(count):
                await self.other.add(1)
            return count


class Xoscar(OnLoop):
    """A pool of xoscar's actors in this process, and so many counters in it."""

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        self.call(self._start, count)

    async def _start(self, count: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.pool = await xoscar.create_actor_pool(address, n_process=0)
        self.counters = [await xoscar.create_actor(XoscarCounter, address=address, uid=f"counter{n}") for n in range(count)]
        self.asker = await xoscar.create_actor(XoscarAsker, self.counters[0], address=address, uid="asker")

    async def ask(self, count: int) -> None:
        for _ in range(count):
            await self.counters[0].add(1)

    async def ask_from_within(self, count: int) -> None:
        await self.asker.ask_many(count)

    async def tell(self, count: int) -> None:
        for _ in range(count):
            await self.counters[0].add.tell(1)
        await self.counters[0].add(0)

    async def gather(self) -> None:
        await asyncio.gather(*(counter.add(1) for counter in self.counters))

    def close(self) -> None:
        self.call(self.pool.stop)
        super().close()
