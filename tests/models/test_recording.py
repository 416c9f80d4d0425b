"""Recording, and replaying offline."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie.errors import BudgetExhausted, ModelUnavailable, RateLimited, RecordingMissing
from coterie.errors.models import RecordingDamaged
from coterie.models import (
    Budget,
    ModelGateway,
    ModelReply,
    ModelRequest,
    RecordingModel,
    ReplayModel,
    TextDelta,
    TextMessage,
    ToolCall,
    ToolResult,
    Usage,
)
from coterie.models.recording import recorded_spending
from coterie.testing import ModelServer, ScriptedModel, eventually, run_together
from coterie.work import Retry
from tests.models.asking import gateway_to, question


def ask(model: RecordingModel | ReplayModel, request: ModelRequest) -> ModelReply:
    return asyncio.run(model.ask(request))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_replies_recorded_over_http_are_replayed_offline_at_no_cost(server: ModelServer, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    requests = [question(f"q{n}", agent=f"a{n % 3}", step=f"round {n}") for n in range(9)]
    with gateway_to(server, record=path) as gateway:
        recorded = [gateway.ask_blocking(each, 10) for each in requests]
    server.close()
    with ModelGateway("openai:gpt-4o-mini", replay=path, budget=Budget(requests=0)) as gateway:
        assert [gateway.ask_blocking(each, 10) for each in reversed(requests)] == recorded[::-1]
        assert gateway.spent().requests == 0


def test_the_replay_is_the_same_under_any_timing_of_threads(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    def run(gateway: ModelGateway, seed: int) -> dict[str, list[str]]:
        said: dict[str, list[str]] = {}

        def agent(name: str) -> None:
            heard = "start"
            for step in range(5):
                pending = [gateway.submit(question(heard, agent=name, step=str(step))) for _ in range(1 + step % 2)]
                heard = "/".join(each.result(20).text for each in pending)
                said.setdefault(name, []).append(heard)

        bodies = [lambda name=f"a{n}": agent(name) for n in range(8)]
        random.Random(seed).shuffle(bodies)
        run_together(*bodies)
        return said

    dice = random.Random(1)
    with ModelGateway(ScriptedModel(lambda _: f"{dice.random()}"), record=path) as gateway:
        first = run(gateway, 0)
    for seed in range(1, 6):
        with ModelGateway("nobody:asks", replay=path) as gateway:
            assert run(gateway, seed) == first


def test_repeats_of_one_request_are_distinguished_by_their_count_and_by_agent(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(["a1", "a2", "b1"]), path)
    assert [ask(model, question(agent=agent)).text for agent in ("a", "a", "b")] == ["a1", "a2", "b1"]
    model.close()
    replayed = ReplayModel(path)
    assert [ask(replayed, question(agent=agent)).text for agent in ("b", "a", "a")] == ["b1", "a1", "a2"]
    with pytest.raises(RecordingMissing, match=r"repeat 2 .*asked only 2 times"):
        ask(replayed, question(agent="a"))


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "Be kind!"},
        {"exchanges": (TextMessage("user", "hello!"),)},
        {"temperature": 0.5},
        {"max_tokens": 10},
        {"schema": {"type": "object"}},
        {"step": "2"},
        {"agent": "bob"},
    ],
)
def test_a_changed_prompt_is_a_miss(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "run.jsonl"
    whole = {"instructions": "Be kind.", "exchanges": (TextMessage("user", "hello"),), "agent": "ann", "step": "1"}
    model = RecordingModel(ScriptedModel(["hi"]), path)
    ask(model, ModelRequest(**whole))  # type: ignore[arg-type]
    model.close()
    assert ask(ReplayModel(path), ModelRequest(**whole, priority=9)).text == "hi"  # type: ignore[arg-type]
    with pytest.raises(RecordingMissing):
        ask(ReplayModel(path), ModelRequest(**{**whole, **change}))  # type: ignore[arg-type]


def test_a_miss_shows_the_nearest_entry_and_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(lambda _: "x"), path)
    for text in ("How many fish are there?\nAnswer in one word.", "Who are you?"):
        ask(model, question(text, agent="ann", step="1"))
    ask(model, question("How many fish are left?", agent="bob", step="7"))
    model.close()
    with pytest.raises(RecordingMissing) as caught:
        ask(ReplayModel(path), question("How many fish are left?\nAnswer in one word.", agent="ann", step="1"))
    words = str(caught.value)
    assert "holds no reply for agent 'ann', step '1' with this prompt" in words
    assert '-    "text": "How many fish are there?' in words
    assert '+    "text": "How many fish are left?' in words
    assert "Who are you" not in words
    with pytest.raises(RecordingMissing, match="the same prompt was recorded for agent 'bob', step '7'"):
        ask(ReplayModel(path), question("How many fish are left?", agent="ann", step="9"))


def test_a_difference_deep_in_a_long_prompt_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(["x"]), path)
    ask(model, question("word " * 1000 + "ten fish " + "word " * 1000, agent="ann"))
    model.close()
    with pytest.raises(RecordingMissing) as caught:
        ask(ReplayModel(path), question("word " * 1000 + "two fish " + "word " * 1000, agent="ann"))
    words = str(caught.value)
    assert "ten fish" in words
    assert "two fish" in words
    assert len(words) < 900


def test_an_empty_recording_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    RecordingModel(ScriptedModel([]), path).close()
    with pytest.raises(RecordingMissing, match="the recording is empty"):
        ask(ReplayModel(path), question())


def test_tools_calls_and_costs_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    call = ToolCall("c1", "look", {"at": ["it", 1, None]})
    reply = ModelReply(text="so", calls=(call,), usage=Usage(3, 4, 0.5), model="m")
    asked = ModelRequest(exchanges=(TextMessage("user", "x"), call, ToolResult("c1", "look", "nothing", failed=True)))
    model = RecordingModel(ScriptedModel([reply]), path)
    ask(model, asked)
    model.close()
    assert ask(ReplayModel(path), asked) == reply


def test_a_stream_is_recorded_and_a_recording_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    text = "a rather long answer that comes in several pieces"
    with ModelGateway(ScriptedModel([text]), record=path) as gateway:
        assert list(gateway.stream_blocking(question()))[-1].text == text
    with ModelGateway("nobody:asks", replay=path) as gateway:
        *pieces, whole = gateway.stream_blocking(question())
    assert len(pieces) > 1
    assert all(isinstance(piece, TextDelta) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == whole.text == text


def test_a_stream_that_is_left_early_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    async def leave(model: RecordingModel) -> None:
        stream = model.stream(question())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator

    model = RecordingModel(ScriptedModel(["one two"]), path)
    asyncio.run(leave(model))
    model.close()
    assert len(lines(path)) == 1


def test_errors_are_recorded_and_raised_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(
        ScriptedModel([RateLimited("m", "busy", retry_after=3.0), BudgetExhausted("tokens", "ann", 5, 6)]), path
    )
    seen = []
    for _ in range(2):
        with pytest.raises((RateLimited, BudgetExhausted)) as caught:
            ask(model, question())
        seen.append(caught.value)
    model.close()
    replayed = ReplayModel(path)
    for error in seen:
        with pytest.raises(type(error)) as again:
            ask(replayed, question())
        assert str(again.value) == str(error)
        assert vars(again.value) == vars(error)


def test_an_interrupted_run_goes_on_from_its_recording_and_asks_errors_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = ScriptedModel(["one", ModelUnavailable("m", "down")])
    with ModelGateway(model, record=path, replay=path, retry=Retry(0)) as gateway:
        assert gateway.ask_blocking(question("1"), 10).text == "one"
        with pytest.raises(ModelUnavailable):
            gateway.ask_blocking(question("2"), 10)
    model = ScriptedModel(["two", "three", "one again"])
    with ModelGateway(model, record=path, replay=path) as gateway:
        said = [gateway.ask_blocking(question(text), 10).text for text in ("1", "2", "3", "1")]
    assert said == ["one", "two", "three", "one again"]
    with ModelGateway("nobody:asks", replay=path) as gateway:
        assert [gateway.ask_blocking(question(text), 10).text for text in ("3", "1", "2", "1")] == [
            "three",
            "one",
            "two",
            "one again",
        ]


def test_a_run_that_is_resumed_from_a_checkpoint_counts_its_repeats_on_from_there(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ModelGateway(ScriptedModel(["one", "two", "three"]), record=path) as gateway:
        said = [gateway.ask_blocking(question(agent="ann"), 10).text]
        kept = gateway.snapshot()
        said += [gateway.ask_blocking(question(agent="ann"), 10).text for _ in range(2)]
    with ModelGateway(ScriptedModel(["four"]), record=path, replay=path) as gateway:
        gateway.restore(kept)
        assert gateway.snapshot() == kept
        assert [gateway.ask_blocking(question(agent="ann"), 10).text for _ in range(3)] == ["two", "three", "four"]
    assert said == ["one", "two", "three"]


def test_a_torn_last_line_is_ignored_with_a_note_and_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(["one", "two"]), path)
    for text in "12":
        ask(model, question(text))
    model.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    replayed = ReplayModel(path)
    assert "torn line" in caplog.text
    assert ask(replayed, question("1")).text == "one"
    with pytest.raises(RecordingMissing):
        ask(replayed, question("2"))
    model = RecordingModel(ScriptedModel(["two"]), path)
    ask(model, question("2"))
    model.close()
    assert path.read_bytes() == whole


def test_every_cut_of_a_recording_can_be_read_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(["one"]), path)
    ask(model, question("1"))
    model.close()
    whole = path.read_bytes()
    for length in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        model = RecordingModel(ScriptedModel(["two"]), path)
        ask(model, question("2"))
        model.close()
        assert ask(ReplayModel(path), question("2")).text == "two"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "first line is missing"),
        (b"hello\n", "first line is wrong"),
        (b'{"coterie": "diary", "schema": 1}\n', "first line is wrong"),
        (b'{"coterie": "recording", "schema": 99}\n', "has version 99"),
        (b'{"coterie": "recording", "schema": 1}\n{"agent": 3}\n', "line 2 is not valid"),
        (b"\xff\xfe\x00\n", "first line is wrong"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingDamaged, match=words):
        ReplayModel(path)
    if content and b"agent" not in content:
        with pytest.raises(RecordingDamaged):
            RecordingModel(ScriptedModel([]), path)
        assert path.read_bytes() == content


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingDamaged, match="No such file"):
        ModelGateway("openai:x", replay=tmp_path / "none.jsonl")
    with pytest.raises(RecordingDamaged, match="cannot be written"):
        RecordingModel(ScriptedModel([]), tmp_path)


RECORDER = """
import sys, asyncio
from coterie.models import ModelGateway, ModelRequest
from coterie.testing import ScriptedModel, run_together
from pathlib import Path

gateway = ModelGateway(ScriptedModel(lambda request: "x" * 200 + request.step), record=sys.argv[1])
def agent(name):
    for n in range(100_000):
        gateway.ask_blocking(ModelRequest(agent=name, step=str(n)))
        if n == 20 and name == "a0": print("going", flush=True)
run_together(*[lambda name=f"a{k}": agent(name) for k in range(4)], timeout=60)
"""


def test_a_recording_survives_kill_nine(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with subprocess.Popen([sys.executable, "-c", RECORDER, str(path)], stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    replayed = ReplayModel(path)
    for n in range(20):
        assert ask(replayed, ModelRequest(agent="a0", step=str(n))).text.endswith(str(n))


@pytest.mark.parametrize("run", [0, 1])
def test_the_digest_of_a_prompt_is_the_same_in_every_process(run: int) -> None:
    code = """
from coterie.models import ModelRequest, TextMessage
from coterie.models.recording.file import digest_of, prompt_of
print(digest_of(prompt_of(ModelRequest(instructions="ä", exchanges=(TextMessage("user", "x"),), schema={"b": 1, "a": {"d": 2, "c": 3}}))))
"""
    environment = {**os.environ, "PYTHONHASHSEED": str(run)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)  # noqa: S603
    assert done.stdout.strip() == DIGEST


DIGEST = "63beaf69e62ce2d43a193e79814f954c"


def test_recording_from_many_threads_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    model = RecordingModel(ScriptedModel(lambda request: request.step), path)

    def agent(name: str) -> Callable[[], None]:
        return lambda: asyncio.run(_many(model, name))

    run_together(*[agent(f"a{n}") for n in range(8)])
    model.close()
    assert len(lines(path)) == 1 + 8 * 50
    eventually(lambda: ask(ReplayModel(path), question(agent="a3", step="49")).text == "49")


async def _many(model: RecordingModel, name: str) -> None:
    await asyncio.gather(*[model.ask(question(agent=name, step=str(n))) for n in range(50)])


def test_a_recording_gives_the_spending_of_its_requests_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ModelGateway(ScriptedModel(["one", "two", "three"]), record=path, budget=Budget(requests=2)) as gateway:
        for agent in ("a", "b"):
            gateway.ask_blocking(question("q", agent=agent), 10)
        with pytest.raises(BudgetExhausted):
            gateway.ask_blocking(question("r", agent="b"), 10)
        assert recorded_spending(path) == gateway.snapshot()["spent"]


@pytest.mark.parametrize("left", [b"", b'{"coterie":', b'{"coterie":"recording","schema":1}'])
def test_a_run_that_was_interrupted_before_its_first_line_was_whole_goes_on(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(left)
    with ModelGateway(ScriptedModel(["one"]), record=path, replay=path) as gateway:
        assert gateway.ask_blocking(question(), 10).text == "one"
    with ModelGateway("openai:any", replay=path) as gateway:
        assert gateway.ask_blocking(question(), 10).text == "one"


def test_empty_lines_in_a_recording_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ModelGateway(ScriptedModel(["one"]), record=path) as gateway:
        gateway.ask_blocking(question(), 10)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n"))
    with ModelGateway("openai:any", replay=path) as gateway:
        assert gateway.ask_blocking(question(), 10).text == "one"


def test_a_path_that_is_none_is_told(tmp_path: Path) -> None:
    for settings in ({"record": "a\0b"}, {"replay": "a\0b"}, {"record": tmp_path}):
        with pytest.raises(RecordingDamaged):
            ModelGateway(ScriptedModel([]), **settings)
