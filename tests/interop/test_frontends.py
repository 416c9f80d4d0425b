"""What front ends bring: tools of their own, images and files; and several tabs that all hear everything."""

import base64
from pathlib import Path
from typing import Any

import httpx

from coterie.concurrency import start_thread

from .served import Served, decoded, served, texts, types, user

TOOLS = [
    {
        "name": "set_colour",
        "description": "Set the colour.",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}}},
    }
]
TINY = base64.b64encode(b"png").decode()


def test_a_front_ends_own_tool_is_called_and_its_result_comes_back(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert list(texts(server.run("t", "colour red", message="m0")).values()) == ["you said colour red"]
        first = server.run("t", "colour red", tools=TOOLS)
        assert not [each for each in first if each.type.value == "CUSTOM"]
        (call,) = first[-1].outcome.pending_tool_call_ids
        assert [each.tool_call_name for each in first if each.type.value == "TOOL_CALL_START"] == ["set_colour"]
        assert "TOOL_CALL_RESULT" not in types(first)
        assert list(texts(first).values()) == ["A moment."]
        history = [user("colour red", "m-colour red"), {"id": "a", "role": "assistant", "content": "A moment."}]
        result = {"id": "r1", "role": "tool", "toolCallId": call, "content": "it is red now"}
        second = server.run("t", None, messages=[*history, result], tools=TOOLS)
        assert second[-1].outcome.type == "success"
        assert list(texts(second).values()) == ["[it is red now]"]
        assert "TOOL_CALL_RESULT" not in types(second)
        assert len({*texts(first), *texts(second)}) == 2
        # Again: the turn is over, and nothing happens twice.
        assert texts(server.run("t", None, messages=[*history, result], tools=TOOLS)) == {}


def test_a_new_message_ends_the_wait_for_the_front_end(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.run("t", "colour red", tools=TOOLS)
        said = texts(server.run("t", "hello"))
        assert "you said hello" in said.values()
        with server.client() as client:
            for tools in (
                [{"name": "no name", "description": ""}],
                [{"name": "a", "description": "", "parameters": []}],
                TOOLS * 2,
            ):
                body = {"threadId": "t", "runId": "r", "messages": [user("x", "y")], "tools": tools}
                assert client.post("/agui", json=body).status_code == 422


def part(kind: str, value: str, media_type: str, source: str = "data") -> dict[str, Any]:
    return {"type": kind, "source": {"type": source, "value": value, "mimeType": media_type}}


def test_images_and_files_reach_the_model(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        parts = [
            {"type": "text", "text": "what is it?"},
            part("image", TINY, "image/png"),
            part("document", "https://x.example/a.pdf", "application/pdf", "url"),
        ]
        said = texts(server.run("t", None, messages=[{"id": "m", "role": "user", "content": parts}]))
        assert list(said.values()) == ["image/png 3, application/pdf https://x.example/a.pdf"]
        # A page that is loaded anew gets them too.
        (question, _) = client.get("/agui/t/transcript").json()["messages"]
        picture, document = question["attachments"]
        assert (picture["mediaType"], picture["size"]) == ("image/png", 3)
        assert (document["mediaType"], document["url"]) == ("application/pdf", "https://x.example/a.pdf")
        found = client.get(picture["url"])
        assert (found.content, found.headers["content-type"]) == (b"png", "image/png")
        assert (found.headers["content-disposition"], found.headers["x-content-type-options"]) == ("attachment", "nosniff")
        place = picture["url"].rpartition("/")[0]
        for wrong in (f"{place}/1", f"{place}/2", "/agui/t/attachments/9999999/0", "/agui/other/attachments/64/0"):
            assert client.get(wrong).status_code == 404
        body = {"threadId": "t", "runId": "r"}

        def send(*parts: dict[str, Any], name: str = "n") -> httpx.Response:
            return client.post("/agui", json={**body, "messages": [{"id": name, "role": "user", "content": list(parts)}]})

        assert send(part("image", "?", "image/png")).status_code == 422
        assert send(part("image", "", "image/png")).status_code == 422
        big = send(part("image", base64.b64encode(bytes(11_000_000)).decode(), "image/png"))
        assert decoded(big.text)[-1].code == "invalid_input"
        assert "11000000 bytes, and at most 10000000" in big.text
        huge = send(part("image", base64.b64encode(bytes(20_000_000)).decode(), "image/png"))
        assert huge.status_code == 413
        completion = {
            "model": "test",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{TINY}"}},
                    ],
                }
            ],
        }
        assert client.post("/v1/chat/completions", json=completion).json()["choices"][0]["message"]["content"] == "image/gif 3"


def listen(server: Served, thread: str, heard: list[Any], until: str, **options: str) -> Any:
    def read() -> None:
        with server.client() as client, client.stream("GET", f"/agui/{thread}/events", params=options) as answer:
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    heard.append(line)
                if line.startswith("data: "):
                    heard.append(decoded(line)[0])
                    if until in line:
                        return

    return start_thread(read, "a tab")


def test_all_tabs_hear_everything_and_resume_in_the_middle(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.run("t", "hello")
        heard: list[list[Any]] = [[], []]
        tabs = [listen(server, "t", each, '"delta":"box is done"', all="true", after="0") for each in heard]
        with server.client() as client:
            client.post("/agui/t/messages", json={"content": "work box", "id": "m7"})
        assert server.held.halfway.wait(20)
        server.held.go.set()
        for tab in tabs:
            tab.join(20)
            assert not tab.is_alive()
        for each in heard:
            said = texts([event for event in each if not isinstance(event, str)])
            assert [*said.values()][:3] == ["hello", "you said hello", "work box"]
            assert "m7" in said
            assert "box is done" in said.values()
        # A reader that has the event before a delivery gets it whole.
        begun = next(place for place, event in enumerate(heard[0]) if getattr(event, "delta", "") == "box is done")
        last = [line for line in heard[0][:begun] if isinstance(line, str)][-3].removeprefix("id: ")
        again: list[Any] = []
        listen(server, "t", again, "TEXT_MESSAGE_END", after=last).join(20)
        assert list(texts([event for event in again if not isinstance(event, str)]).values()) == ["box is done"]


def test_a_stream_that_begins_in_the_middle_of_an_answer_goes_on_with_the_same_message(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        client.post("/agui/t/messages", json={"content": "slowly", "id": "m1"})
        while (page := client.get("/agui/t/transcript").json())["running"] is None or not page["running"]["content"]:
            pass
        heard: list[Any] = []
        tab = listen(server, "t", heard, "TEXT_MESSAGE_END", all="true", after=str(page["lastEventId"]))
        server.held.word.set()
        tab.join(20)
        rest = texts([event for event in heard if not isinstance(event, str)])
        assert list(rest) == [page["running"]["id"]]
        assert page["running"]["content"] + next(iter(rest.values())) == "you said slowly"


def test_a_delivery_goes_on_in_the_middle_for_a_reader_that_lost_its_connection(tmp_path: Path) -> None:
    name = "x" * 5_000
    with served(tmp_path) as server, server.client() as client:
        server.held.go.set()
        client.post("/agui/t/messages", json={"content": f"work {name}", "id": "m"})
        heard: list[Any] = []
        listen(server, "t", heard, "TEXT_MESSAGE_END", after="0").join(20)
        places = [place for place, each in enumerate(heard) if not isinstance(each, str) and "TEXT_MESSAGE" in each.type.value]
        whole = [heard[place] for place in places]
        assert [each.type.value for each in whole][::4] == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_END"]
        # The id of each part stands before it.
        ids = [heard[place - 1].removeprefix("id: ") for place in places]
        assert [each.partition(".")[2] for each in ids] == ["4", "3", "2", "1", ""]
        for done, last in enumerate(ids[:-1], 1):
            rest: list[Any] = []
            listen(server, "t", rest, "TEXT_MESSAGE_END", after=last).join(20)
            again = [each for each in rest if not isinstance(each, str) and "TEXT_MESSAGE" in each.type.value]
            assert again == whole[done:]
