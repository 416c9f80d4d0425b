"""An assistant as an A2A agent, by the official client: card, messages, streams, tasks, push and authentication."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.helpers import get_artifact_text, new_data_part, new_text_message
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.types import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    Message,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskNotFoundError,
    TaskPushNotificationConfig,
    TaskState,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coterie.conversation import Conversations, ConversationSettings, ToolContext, tool
from coterie.interop import AccessToken
from coterie.interop.a2a import application
from coterie.interop.a2a.application import create_a2a_application
from coterie.interop.a2a.push import StoredPushConfigs
from coterie.storage import open_database
from tests.conversation.scripted import Gate, Script, by_words, run

TOKEN = "t" * 20
COMPLETED, WORKING = TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_WORKING


class Work:
    """A long tool whose end a test decides."""

    def __init__(self) -> None:
        self.begun, self.end = Gate(), Gate()

        @tool(effect="write", resources=["x"], long_running=True)
        async def work(context: ToolContext) -> str:
            """Work."""
            await context.progress(0.5, "half of it")
            self.begun.set()
            await self.end
            return "worked"

        self.tool = work


@tool(effect="write", resources=["y"], confirm="Really pay?")
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


@contextlib.asynccontextmanager
async def listening(make: Callable[[str], Starlette]) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine, on this loop, and yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(make(address), log_level="error", lifespan="on"))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # of older versions
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.005)
            yield address
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def served(folder: Path, *tools: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    path = folder / "chats.db"
    settings = ConversationSettings(patience=5, shutdown_grace=0, cancel_grace=30)
    with open_database(path) as store:
        async with Conversations(Script(by_words), tools=[pay, *tools], store=path, settings=settings) as conversations:

            def make(address: str) -> Starlette:
                return create_a2a_application(
                    conversations, AccessToken(TOKEN), store=store, name="desk", url=address, private_push=True, **options
                )

            async with (
                listening(make) as address,
                httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20) as http,
            ):
                yield http


async def client_of(http: httpx.AsyncClient, *, streaming: bool = True, binding: str = "JSONRPC") -> Any:
    card = await A2ACardResolver(http, str(http.base_url)).get_agent_card()
    config = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=[binding])
    return ClientFactory(config).create(card)


def asked(text: str, **more: Any) -> SendMessageRequest:
    message = new_text_message(text, role=Role.ROLE_USER, **more)
    return SendMessageRequest(message=message)


async def task_after(client: Any, request: SendMessageRequest) -> Task:
    """Return the task of a message after its stream or answer has ended."""
    id_ = ""
    async for event in client.send_message(request):
        id_ = id_ or (event.task.id if event.HasField("task") else event.status_update.task_id)
    found: Task = await client.get_task(GetTaskRequest(id=id_))
    return found


def said(task: Task) -> list[str]:
    return [get_artifact_text(each) for each in task.artifacts]


def test_the_card_is_public_and_all_else_needs_the_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as http:
            http.headers.pop("Authorization")
            card = (await http.get("/.well-known/agent-card.json")).json()
            assert (card["name"], card["capabilities"]["streaming"]) == ("desk", True)
            assert {each["id"] for each in card["skills"]} == {"talk", "pay"}
            assert {each["protocolBinding"] for each in card["supportedInterfaces"]} == {"JSONRPC", "HTTP+JSON"}
            assert card["securitySchemes"]["token"]["httpAuthSecurityScheme"]["scheme"] == "bearer"
            assert (await http.post("/", json={})).status_code == 401
            assert (await http.post("/message:send", json={})).status_code == 401

    run(main)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_a_message_is_answered_as_a_task(tmp_path: Path, binding: str, streaming: bool) -> None:
    async def main() -> None:
        async with served(tmp_path) as http:
            client = await client_of(http, streaming=streaming, binding=binding)
            task = await task_after(client, asked("hello"))
            assert (task.status.state, said(task)) == (COMPLETED, ["you said hello"])
            again = await task_after(client, asked("more", context_id=task.context_id))
            assert (again.context_id, said(again)) == (task.context_id, ["you said more"])

    run(main)


def test_a_task_lasts_until_its_operations_have_ended_and_can_be_subscribed_to(tmp_path: Path) -> None:
    work = Work()

    async def main() -> None:
        async with served(tmp_path, work.tool) as http:
            client = await client_of(http)
            stream = client.send_message(asked("!work"))
            async for event in stream:
                if "fraction" in event.status_update.metadata and event.status_update.metadata["fraction"] == 0.5:
                    id_ = event.status_update.task_id
                    break
            await stream.aclose()
            await work.begun

            async def subscribe() -> list[Any]:
                stream = client.subscribe(SubscribeToTaskRequest(id=id_))
                return [each.status_update.status.state async for each in stream]

            reading = asyncio.create_task(subscribe())
            assert (await client.get_task(GetTaskRequest(id=id_))).status.state == WORKING
            await asyncio.sleep(0.05)
            work.end.set()
            assert (await reading)[-1] == COMPLETED
            assert said(await client.get_task(GetTaskRequest(id=id_)))[-1] == "worked"

    run(main)


def test_a_task_is_cancelled_with_its_operation(tmp_path: Path) -> None:
    work = Work()

    async def main() -> None:
        async with served(tmp_path, work.tool) as http:
            client = await client_of(http)
            request = asked("!work")
            request.configuration.CopyFrom(SendMessageConfiguration(return_immediately=True))
            task = await anext(aiter(client.send_message(request)))
            await work.begun
            cancelled = await client.cancel_task(CancelTaskRequest(id=task.task.id))
            assert cancelled.status.state == TaskState.TASK_STATE_CANCELED
            with pytest.raises(TaskNotFoundError):
                await client.get_task(GetTaskRequest(id="nothing"))

    run(main)


@pytest.mark.parametrize(("agrees", "last"), [(True, "paid 5"), (False, "cancelled")])
def test_an_operation_that_needs_approval_asks_for_input(tmp_path: Path, agrees: bool, last: str) -> None:
    async def main() -> None:
        async with served(tmp_path) as http:
            client = await client_of(http)
            task = await task_after(client, asked('!pay {"amount": 5}'))
            assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
            assert task.status.message.parts[0].text == "Really pay?"
            answer = Message(
                message_id="answer",
                role=Role.ROLE_USER,
                task_id=task.id,
                context_id=task.context_id if agrees else "",
                parts=[new_data_part({"operation": "op-1", "approve": agrees})],
            )
            task = await task_after(client, SendMessageRequest(message=answer))
            assert task.status.state == COMPLETED
            assert last in said(task)[-1]

    run(main)


def test_a_receiver_is_pushed_the_end_of_a_task(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    async def receive(request: Request) -> Response:
        heard.append({"token": request.headers.get("x-a2a-notification-token"), "body": await request.json()})
        return Response()

    async def main() -> None:
        receiver = Starlette(routes=[Route("/hook", receive, methods=["POST"])])
        async with listening(lambda _: receiver) as there, served(tmp_path) as http:
            client = await client_of(http, streaming=False)
            request = asked("hello")
            push = TaskPushNotificationConfig(url=f"{there}/hook", token="mine")  # noqa: S106 - of a test
            request.configuration.CopyFrom(SendMessageConfiguration(task_push_notification_config=push))
            await task_after(client, request)
            while not any("COMPLETED" in str(each["body"]) for each in heard):
                await asyncio.sleep(0.01)
            assert {each["token"] for each in heard} == {"mine"}

    run(main)


def test_tasks_outlive_the_process(tmp_path: Path) -> None:
    work = Work()

    async def before() -> tuple[str, str]:
        async with served(tmp_path) as http:
            client = await client_of(http)
            done = await task_after(client, asked("hello"))
            return done.id, done.context_id

    async def after(id_: str) -> None:
        async with served(tmp_path, work.tool) as http:
            client = await client_of(http)
            task = await client.get_task(GetTaskRequest(id=id_))
            assert (task.status.state, said(task)) == (COMPLETED, ["you said hello"])

    id_, _ = run(before)
    run(lambda: after(id_))


def test_a_task_that_a_crash_cut_off_is_read_from_the_log(tmp_path: Path) -> None:
    @tool(effect="read", long_running=True)
    async def look() -> str:
        """Look."""
        return "seen"

    async def main() -> None:
        path = tmp_path / "chats.db"
        async with served(tmp_path, look) as http:
            client = await client_of(http)
            task = await task_after(client, asked("!look"))
        task.status.state = WORKING
        with open_database(path) as store:
            await store.write(
                lambda write: write.execute("UPDATE a2a_tasks SET body = ? WHERE id = ?", (task.SerializeToString(), task.id))
            )
        async with served(tmp_path, look) as http:
            client = await client_of(http)
            found = await client.get_task(GetTaskRequest(id=task.id))
            assert found.status.state == COMPLETED
            assert any("seen" in each for each in said(found))

    run(main)


class Receiver:
    """A receiver of push notifications that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

        async def receive(request: Request) -> Response:
            names = ("x-a2a-notification-token", "authorization")
            self.heard.append({"headers": [request.headers.get(each) for each in names], "body": await request.json()})
            return Response()

        self.application = Starlette(routes=[Route("/hook", receive, methods=["POST"])])

    async def completed(self) -> dict[str, Any]:
        while not (found := [each for each in self.heard if "COMPLETED" in str(each["body"])]):
            await asyncio.sleep(0.01)
        return found[0]


def test_a_push_configuration_outlives_the_process_and_its_secrets_are_not_readable_in_the_database(tmp_path: Path) -> None:
    receiver, end = Receiver(), Gate()

    @tool(effect="read", long_running=True)
    async def look() -> str:
        """Look."""
        await end
        return "seen"

    async def begin(there: str) -> str:
        async with served(tmp_path, look) as http:
            client = await client_of(http, streaming=False)
            request = asked("!look")
            push = TaskPushNotificationConfig(url=f"{there}/hook", token="mine-alone")  # noqa: S106 - of a test
            push.authentication.CopyFrom(AuthenticationInfo(scheme="Bearer", credentials="credentials-of-the-receiver"))
            request.configuration.CopyFrom(
                SendMessageConfiguration(task_push_notification_config=push, return_immediately=True)
            )
            return str((await anext(aiter(client.send_message(request)))).task.id)

    async def go_on(task: str) -> None:
        async with served(tmp_path, look) as http:
            client = await client_of(http)
            asking = ListTaskPushNotificationConfigsRequest(task_id=task)
            (kept,) = (await client.list_task_push_notification_configs(asking)).configs
            assert (kept.token, kept.authentication.credentials) == ("mine-alone", "credentials-of-the-receiver")
            end.set()
            assert (await receiver.completed())["headers"] == ["mine-alone", "Bearer credentials-of-the-receiver"]
            while (found := await client.get_task(GetTaskRequest(id=task))).status.state != COMPLETED:
                await asyncio.sleep(0.01)
            assert any("seen" in each for each in said(found))
            assert len(found.history) == 1
            await client.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest(task_id=task, id=kept.id))

    async def main() -> None:
        async with listening(lambda _: receiver.application) as there:
            task = await begin(there)
            kept = await asyncio.to_thread(lambda: b"".join(each.read_bytes() for each in tmp_path.glob("chats.db*")))
            assert b"/hook" in kept
            assert b"mine-alone" not in kept
            assert b"credentials-of-the-receiver" not in kept
            await go_on(task)
            async with served(tmp_path, look) as http:
                asking = ListTaskPushNotificationConfigsRequest(task_id=task)
                assert not (await (await client_of(http)).list_task_push_notification_configs(asking)).configs

    run(main, 60.0)


@pytest.mark.parametrize("after", [0.0, 0.004, 0.02])
def test_an_operation_that_ends_before_its_task_is_followed_again_is_in_the_task(tmp_path: Path, after: float) -> None:
    end = Gate()

    @tool(effect="read", long_running=True)
    async def look() -> str:
        """Look."""
        await end
        return "seen"

    async def main() -> None:
        async with served(tmp_path, look) as http:
            client = await client_of(http, streaming=False)
            request = asked("!look")
            request.configuration.CopyFrom(SendMessageConfiguration(return_immediately=True))
            task = (await anext(aiter(client.send_message(request)))).task.id
            await asyncio.sleep(after)  # The process may end at any moment.
        end.set()
        async with served(tmp_path, look) as http:
            client = await client_of(http)
            while (found := await client.get_task(GetTaskRequest(id=task))).status.state != COMPLETED:
                await asyncio.sleep(0.01)
            assert any("seen" in each for each in said(found))

    run(main)


def test_tasks_of_the_kit_that_never_end_do_not_hold_the_server_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_end(handler: DefaultRequestHandlerV2) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with served(tmp_path) as http:
            assert said(await task_after(await client_of(http), asked("hello"))) != []

    monkeypatch.setattr(DefaultRequestHandlerV2, "aclose", never_end)
    monkeypatch.setattr(application, "_CLOSING", 0.02)
    run(main)


def test_a_configuration_whose_secrets_are_lost_is_shown_and_sends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        context = ServerCallContext()
        config = TaskPushNotificationConfig(url="http://there/hook", token="mine")  # noqa: S106 - of a test
        plain = TaskPushNotificationConfig(url="http://there/plain")
        with open_database(tmp_path / "tasks.db") as store:
            for name, token in (("kept", AccessToken(TOKEN)), ("lost", AccessToken.of({}))):
                configs = StoredPushConfigs(store, token)
                await configs.set_info(name, config, context)
                await configs.set_info(f"{name} plain", plain, context)
                assert len(await configs.get_info_for_dispatch(name)) == 1
            later = StoredPushConfigs(store, AccessToken(TOKEN))
            assert [each.token for each in await later.get_info_for_dispatch("kept")] == ["mine"]
            assert [each.token for each in await later.get_info("lost", context)] == [""]
            assert await later.get_info_for_dispatch("lost") == []
            assert len(await later.get_info_for_dispatch("lost plain")) == 1
            await later.set_info("lost", config, context)
            assert len(await later.get_info_for_dispatch("lost")) == 1
            other = StoredPushConfigs(store, AccessToken("u" * 20))
            assert await other.get_info_for_dispatch("kept") == []
            await other.delete_info("kept plain", context)
            assert await StoredPushConfigs(store, AccessToken(TOKEN)).get_info("kept plain", context) == []

    run(main)


def test_a_message_that_was_taken_but_not_yet_asked_is_answered_after_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as http:
            task = await task_after(await client_of(http), asked("hello"))
        lost = Task()
        lost.CopyFrom(task)
        lost.id, lost.context_id, lost.status.state = "lost", "elsewhere", TaskState.TASK_STATE_SUBMITTED
        lost.history[0].message_id = "never-seen"
        del lost.artifacts[:]
        with open_database(tmp_path / "chats.db") as store:
            row = ("", lost.id, lost.SerializeToString())
            await store.write(lambda write: write.execute("INSERT INTO a2a_tasks VALUES (?, ?, ?)", row))
        async with served(tmp_path) as http:
            client = await client_of(http)
            while (found := await client.get_task(GetTaskRequest(id="lost"))).status.state != COMPLETED:
                await asyncio.sleep(0.01)
            assert said(found) == ["you said hello"]

    run(main)


def test_users_do_not_see_each_others_tasks(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, users={"ann": AccessToken("a" * 20), "ben": AccessToken("b" * 20)}) as http:
            http.headers["Authorization"] = f"Bearer {'a' * 20}"
            task = await task_after(await client_of(http), asked("hello"))
            http.headers["Authorization"] = f"Bearer {'b' * 20}"
            with pytest.raises(TaskNotFoundError):
                await (await client_of(http)).get_task(GetTaskRequest(id=task.id))

    run(main)
