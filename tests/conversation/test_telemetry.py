"""The metrics of conversations."""

import pytest

from coterie.conversation import Conversation, ConversationSettings, tool

from .scripted import Script, by_words, run


@tool(effect="read", resources=[])
def quick() -> str:
    return "done"


@tool(long_running=True)
async def broken() -> None:
    raise OSError("down")


def test_the_counts_of_tools_and_turns_add_up() -> None:
    async def work() -> None:
        async with Conversation(Script(by_words), [quick, broken], settings=ConversationSettings(patience=5)) as chat:
            await chat.send("!quick\n!quick").answer()
            await chat.send("!broken").answer()
            await chat.settle()
            await chat.send('!quick {"nonsense": 1}').answer()
            metrics = chat.conversations.metrics()
            assert (metrics.conversations, metrics.turns, metrics.answered, metrics.deliveries) == (1, 3, 3, 1)
            assert (metrics.running, metrics.queued, metrics.merged) == (0, 0, 0)
            one, two = metrics.tools["quick"], metrics.tools["broken"]
            assert (one.called, one.succeeded, one.refused, one.run.samples, one.wait.samples) == (2, 2, 1, 2, 2)
            assert (two.called, two.failed, two.backgrounded) == (1, 1, 1)

    run(work)


def test_prometheus_reads_them() -> None:
    pytest.importorskip("prometheus_client")
    from coterie.conversation.telemetry import exposition  # noqa: PLC0415 - only with the extra

    async def work() -> None:
        async with Conversation(Script(by_words), [quick]) as chat:
            await chat.send("!quick").answer()
            text = exposition(chat.conversations)
            assert 'coterie_operations_ended_total{outcome="succeeded",tool="quick"} 1.0' in text
            assert 'coterie_turns_total{outcome="answered"} 1.0' in text

    run(work)
