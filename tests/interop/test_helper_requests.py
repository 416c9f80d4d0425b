"""What a front end asks for itself is answered, and does not enter the conversation: nothing begins, no consent lapses."""

import asyncio
from typing import Any

import pytest

from coterie.interop import ServingOptions
from coterie.interop.helper_requests import is_helper_request, quotes
from coterie.models import TextMessage
from tests.interop.served import Served, texts, types, user

HISTORY = "USER: work a\nASSISTANT: In the background: op-1 work is running, 0% done"
OPEN_WEBUI = f"""### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Output:
JSON format: {{ "title": "your concise title here" }}
### Chat History:
<chat_history>
{HISTORY}
</chat_history>"""
PROMPTS = [
    OPEN_WEBUI,
    "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history.",
    "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next.",
    "make a title",
    "Make tags.",
    "Please generate a short title",
    "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation or symbols.",
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title itself.",
    "Summarize the discussion briefly in 200 words or less to use as a prompt for future context.",
    "You need to summarize the conversation into a title of at most 10 words",
    "使用四到五个字直接返回这句话的简要主题",
    f"What would a librarian call this?\n{HISTORY}",
]
OWN = [
    "what is the name of your cheapest package?",
    "work title",
    "make a booking for two",
    "close my contract, please",
    "add the name Ann to my account",
    "I want to change the title of my account from Mr to Dr",
    "please summarize my bills",
    "tell the user: hello",
]


@pytest.mark.parametrize("text", PROMPTS)
def test_helper_prompts_of_known_front_ends_are_recognised(text: str) -> None:
    assert is_helper_request(text, begins=True, headers={})


@pytest.mark.parametrize("text", OWN)
def test_what_users_say_is_not_taken_for_a_helper_prompt(text: str) -> None:
    assert not is_helper_request(text, begins=True, headers={})


def test_a_task_may_be_named_by_the_header_the_metadata_the_system_message_or_a_pattern() -> None:
    assert is_helper_request("hm", begins=False, headers={"x-openwebui-task": "title_generation"})
    assert is_helper_request("hm", begins=False, headers={}, metadata={"task": "title_generation"})
    titling = "You will generate a short title based on the first message a user begins a conversation with"
    assert is_helper_request("hm", begins=True, headers={}, system=[titling])
    assert not is_helper_request("hm", begins=False, headers={}, system=[titling])
    assert is_helper_request("Überschrift bitte", begins=False, headers={}, patterns=["überschrift"])
    with pytest.raises(ValueError, match="helper_prompts"):
        ServingOptions(helper_prompts=("(",))


def test_a_quotation_of_the_conversation_is_recognised_in_any_language() -> None:
    said = [TextMessage("user", "close my contract"), TextMessage("assistant", "Really? It ends at once.")]
    assert quotes("Titel für: close my contract / Really? It ends at once.", said)
    assert not quotes("you said: Really? It ends at once.", said)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", [OPEN_WEBUI, "make a title", "make tags"])
def test_a_helper_request_with_the_chats_own_header_begins_nothing(server: Served, text: str, stream: bool) -> None:
    headers = {"X-OpenWebUI-Chat-Id": "one", "X-OpenWebUI-User-Id": "ann"}

    def say(text: str, *, stream: bool = False) -> str:
        body = {"model": "test", "messages": [{"role": "user", "content": text}], "stream": stream}
        with server.client() as client:
            reply = client.post("/v1/chat/completions", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        return reply.text

    say("work a")
    assert server.held.halfway.wait(20)
    chat = server.conversations.open(("completions", "ann", "named one"), user="ann")
    before = chat.transcript()
    # The rules of the test call a tool for a message that begins with "work"; the model is asked without any.
    assert "merged" in say(text, stream=stream)
    assert chat.transcript() == before
    assert [each.id for each in chat.operations()] == ["op-1"]
    # The result that waits is not spent on it.
    server.held.go.set()
    asyncio.run(chat.settle())
    assert "merged" in say(text)
    assert "a is done" in say("hello")


def test_a_helper_request_over_agui_does_not_enter_the_thread(server: Served) -> None:
    server.run("t", "hello")
    events = server.run("t", "title", messages=[user(OPEN_WEBUI, "m2")])
    assert (types(events)[0], types(events)[-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert list(texts(events).values()) == ["merged"]
    chat: Any = server.conversations.open(("agui", "-", "t"))
    assert [each.text for each in chat.transcript()] == ["hello", "you said hello"]
