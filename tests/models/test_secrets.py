"""Keys come from the environment, and are nowhere else."""

import asyncio
import contextlib
import logging
import os
import traceback
from pathlib import Path

import pytest

from coterie.errors import InvalidSetting, KeyMissing, ModelError
from coterie.models import ModelGateway, TextMessage
from coterie.models.redaction import Redactor
from coterie.testing import ModelServer, Served
from tests.models.asking import SOON, gateway_to, question

KEY = "sk-very-secret-0123456789"
PASSWORD = "pass/w0rd:x"  # noqa: S105 - of nobody


@pytest.mark.parametrize("secret", [KEY, 'we"ird\\key\u00e9'.encode("ascii", "ignore").decode()])
def test_no_key_reaches_a_log_an_error_or_a_recording(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, secret: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    caplog.set_level(logging.DEBUG)
    told = f"Incorrect API key provided: {secret}"
    server.play(
        [
            Served(text=f"your key is {secret}"),
            Served(status=401, error=told),
            Served(status=400, error=told),
            Served.failing(),
            Served(status=500, error=told),
            Served(body=f'{{"choices": "{told}'),
            Served(text="a b", break_after=1),
            Served(calls=[("look", f"{{{secret}")]),
            Served(status=429, error=told),
            Served(break_after=0),
        ]
    )
    path = tmp_path / "run.jsonl"
    seen: list[str] = []
    with gateway_to(server, record=path, retry=SOON) as gateway:
        asked = question(f"my key is {secret}", agent="ann")
        for _ in range(8):
            try:
                seen.append(str(list(gateway.stream_blocking(asked))[-1]) and "")
                gateway.ask_blocking(asked, 10)
            except ModelError as error:
                seen += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
                seen += _chain(error)
        seen += [repr(gateway), str(gateway.metrics())]
        server.stop()
        with contextlib.suppress(ModelError):
            gateway.ask_blocking(asked, 10)
    assert server.headers[0]["authorization"] == f"Bearer {secret}"
    assert any("[redacted]" in each for each in seen)
    everything = "\n".join([caplog.text, path.read_text(), *seen, *(repr(vars(record)) for record in caplog.records)])
    assert caplog.records
    for form in (secret, secret.replace("\\", "\\\\").replace('"', '\\"'), repr(secret)[1:-1]):
        assert form not in everything


def _chain(error: BaseException) -> list[str]:
    """Return what a debugger would show of an error and all behind it."""
    texts = []
    behind: BaseException | None = error
    while behind is not None:
        texts += [repr(behind), repr(vars(behind))]
        behind = behind.__cause__ or behind.__context__
    return texts


def test_a_user_and_password_in_the_address_are_sent_and_shown_nowhere(
    server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("http://", "http://bob-the-user:pass%2Fw0rd%3Ax@")
    texts = []
    with ModelGateway("openai:any", base_url=url, retry=SOON) as gateway:
        gateway.ask_blocking(question(), 10)
        server.stop()
        with pytest.raises(ModelError) as caught:
            gateway.ask_blocking(question(), 10)
        texts += [*_chain(caught.value), repr(gateway)]
    import base64  # noqa: PLC0415

    basic = base64.b64encode(f"bob-the-user:{PASSWORD}".encode()).decode()
    assert server.headers[0]["authorization"] == f"Basic {basic}"
    everything = "\n".join([caplog.text, *texts])
    assert PASSWORD not in everything
    assert "pass%2Fw0rd" not in everything
    assert "bob-the-user" not in everything
    assert basic not in everything


@pytest.mark.parametrize("url", ["ftp://x", "localhost:11434", "http://", "http://x/v1?api_key=secret123", "", "http://x:port"])
def test_an_invalid_address_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"ModelGateway\.base_url") as caught:
        ModelGateway("openai:any", base_url=url)
    assert "secret123" not in str(caught.value)


@pytest.mark.parametrize("model", ["openai:gpt-5-mini", "openai-chat:gpt-5-mini"])
def test_a_missing_key_is_reported_when_the_gateway_is_made(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    for name in [name for name in os.environ if name.startswith("OPENAI")]:
        monkeypatch.delenv(name)
    with pytest.raises(KeyMissing, match=f"{model} needs an API key: set the environment variable OPENAI_API_KEY; keys are"):
        ModelGateway(model)


def test_a_missing_address_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_BASE_URL", raising=False)
    with pytest.raises(InvalidSetting, match="need its address: give base_url, or set OLLAMA_BASE_URL"):
        ModelGateway("ollama:qwen3")


def test_the_address_may_stand_in_the_environment(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    with ModelGateway("openai:any") as gateway:
        assert gateway.ask_blocking(question("here"), 10).text == "you said here"
    monkeypatch.setenv("OLLAMA_BASE_URL", server.url)
    with ModelGateway("ollama:qwen3") as gateway:
        assert gateway.ask_blocking(question("there"), 10).text == "you said there"
    assert server.requests[-1]["model"] == "qwen3"


def test_an_ollama_or_vllm_server_may_be_given_by_its_address(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_BASE_URL", raising=False)
    for model in ("ollama:qwen3", "vllm:mistral"):
        with ModelGateway(model, base_url=server.url) as gateway:
            assert gateway.ask_blocking(question("here"), 10).text == "you said here"


@pytest.mark.parametrize("model", ["gpt-5", "nobody:x", "openai:", ":x", ""])
def test_an_invalid_model_string_is_refused(model: str) -> None:
    with pytest.raises(InvalidSetting, match=r"ModelGateway\.model"):
        ModelGateway(model)


def test_the_model_for_tests_of_pydantic_ai_is_a_model_string_too() -> None:
    with ModelGateway("test") as gateway:
        assert gateway.ask_blocking(question(), 10).text == list(gateway.stream_blocking(question()))[-1].text


def test_a_redactor_removes_only_texts_that_look_like_secrets() -> None:
    environment = {
        "A_API_KEY": "abcdef123",
        "DB_PASSWORD": "hunter22",
        "GITHUB_TOKEN": "tok",
        "KEYBOARD": "us-layout",
        "HOME": "/home/x",
    }
    redactor = Redactor(["extra-secret"], environment)
    text = "abcdef123 hunter22 tok us-layout /home/x extra-secret http://me:pw@host/x Bearer aaaaaaaa"
    assert redactor.text(text) == (
        "[redacted] [redacted] tok us-layout /home/x [redacted] http://[redacted]@host/x Bearer [redacted]"
    )
    assert redactor.bytes(b'{"a": "hunter22"}') == b'{"a": "[redacted]"}'


def test_messages_tools_and_schemas_reach_the_provider_as_they_are_meant(server: ModelServer) -> None:
    from coterie.models import ModelRequest, ToolCall, ToolDefinition, ToolResult  # noqa: PLC0415

    request = ModelRequest(
        instructions="Be kind.",
        exchanges=(
            TextMessage("user", "look"),
            TextMessage("assistant", "I look."),
            ToolCall("c1", "look", {"at": "a"}),
            ToolCall("c2", "look", {"at": "b"}),
            ToolResult("c1", "look", "nothing"),
            ToolResult("c2", "look", "dark", failed=True),
            TextMessage("user", "and?"),
        ),
        tools=(ToolDefinition("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}),),
        temperature=0.25,
        max_tokens=77,
    )
    with gateway_to(server) as gateway:
        asyncio.run(gateway.ask(request))
    sent = server.requests[0]
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert sent["messages"][0]["content"] == "Be kind."
    assert [call["id"] for call in sent["messages"][2]["tool_calls"]] == ["c1", "c2"]
    assert sent["messages"][2]["content"] == "I look."
    assert [
        (each["tool_call_id"], "nothing" in each["content"], "dark" in each["content"]) for each in sent["messages"][3:5]
    ] == [
        ("c1", True, False),
        ("c2", False, True),
    ]
    assert sent["tools"][0]["function"]["name"] == "look"
    assert sent["temperature"] == 0.25
    assert 77 in (sent.get("max_completion_tokens"), sent.get("max_tokens"))
