"""The end of the program, and hosts that are dropped: turns end within a limit, or their loss is reported."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coterie.conversation import Conversation, Conversations
from coterie.models import ModelReply
from coterie.testing import eventually

from .scripted import Script

HEAD = """
import asyncio, sys
from coterie.conversation import Conversation, ConversationSettings, Conversations
from coterie.models import ModelReply

class Model:
    name = "model"
    def __init__(self, seconds):
        self.seconds = seconds
    async def stream(self, request):
        await asyncio.sleep(self.seconds)
        print("answered", flush=True)
        yield ModelReply(text="hello")

brief = ConversationSettings(shutdown_grace=0.1, cancel_grace=0.1)
"""


def run(code: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("make", ["Conversation(Model(0.1))", "Conversations(Model(0.1)).open('ada')"])
def test_messages_are_answered_though_the_program_ends(make: str) -> None:
    assert run(f"chat = {make}\nfor _ in range(2): chat.send('hello')") == (0, "answered\nanswered\n", "")


def test_a_lost_answer_is_told_on_stderr_and_in_the_exit_status() -> None:
    code, out, err = run("chat = Conversation(Model(60), namespace='ada', settings=brief); chat.send('hello')")
    assert (code, out) == (1, "")
    assert "lost at the end of the program: the answers and operations of 1 conversations, not done within 0.1 s: ada;" in err


def test_an_answer_that_a_store_keeps_is_no_loss(tmp_path: Path) -> None:
    store = str(tmp_path / "chats.db")
    code, _, err = run(f"chat = Conversation(Model(60), store={store!r}, settings=brief); chat.send('hello')")
    assert code == 0
    assert "they continue when the conversation is opened again" in err
    assert run(f"chat = Conversation(Model(0), store={store!r})") == (0, "answered\n", "")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("chat-", "storage-writer"))]


def test_a_dropped_host_is_a_warning_and_ends_its_threads() -> None:
    model = Script(lambda _: ModelReply(text="hello"))
    before = len(threads())
    chat = Conversation(model)
    chat.send("hello")
    assert len(threads()) > before
    del chat
    with pytest.warns(ResourceWarning, match="a host of conversations was dropped and not stopped"):
        # Its message is answered first.
        eventually(lambda: gc.collect() >= 0 and len(threads()) <= before and bool(model.requests))


def test_a_conversation_that_is_in_use_keeps_its_host() -> None:
    model = Script(lambda _: ModelReply(text="hello"))
    host = Conversations(model)
    chat = host.open("ada")
    del host
    gc.collect()
    shared = chat.conversations
    assert isinstance(shared, Conversations)
    assert shared.open("ada") is chat
    shared.close()
