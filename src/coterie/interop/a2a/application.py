"""The ASGI application of an A2A server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from types import SimpleNamespace

import httpx
from a2a.auth.user import User
from a2a.helpers import new_text_part
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.server.tasks import BasePushNotificationSender
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Artifact,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    SendMessageConfiguration,
    SendMessageRequest,
    StringList,
    Task,
    TaskState,
)
from a2a.utils.errors import A2AError
from a2a.utils.push_url_validator import validate_push_notification_url
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from coterie.conversation import Conversations, Delivered, TurnEnded
from coterie.errors import CoterieError
from coterie.interop.a2a.executor import RESUMED, AssistantExecutor
from coterie.interop.a2a.push import StoredPushConfigs
from coterie.interop.a2a.tasks import WORKED_ON, StoredTaskStore
from coterie.interop.access import TokenAuthMiddleware, verified_user
from coterie.interop.options import ServingOptions
from coterie.kernel.access import AccessToken
from coterie.storage import Database

_log = logging.getLogger("coterie.interop")
_CLOSING = 2.0
"""Seconds for which the tasks of the kit may end."""

INPUT_MODES = (
    "text/plain",
    "application/json",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "application/pdf",
)
"""The media types of parts of a message; a message with another one is refused."""


class _RequestUser(User):
    """The verified user of a request."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def is_authenticated(self) -> bool:
        """True: without the token, no request comes here."""
        return True

    @property
    def user_name(self) -> str:
        """The name, or an empty text for an anonymous user."""
        return self._name


class _ContextBuilder(DefaultServerCallContextBuilder):
    def __init__(self, user_headers: tuple[str, ...]) -> None:
        self._user_headers = user_headers

    def build_user(self, request: Request) -> User:
        """Return the user that the token or the trusted header names."""
        return _RequestUser(verified_user(request, self._user_headers))


def agent_card(conversations: Conversations, *, name: str, url: str, description: str = "", push: bool = True) -> AgentCard:
    """Return the card of an assistant: its tools as skills, both bindings, and authentication by a token."""
    skills = [
        AgentSkill(
            id=each.name, name=each.name.replace("_", " "), description=each.description or each.name, tags=[str(each.effect)]
        )
        for each in conversations.tools.values()
        if each.offered
    ]
    talk = AgentSkill(id="talk", name="talk", description="Talk with the assistant, also while it works.", tags=["chat"])
    return AgentCard(
        name=name,
        description=description or f"{name}, an assistant that goes on talking while it works",
        version=version("coterie"),
        supported_interfaces=[
            AgentInterface(url=f"{url}/", protocol_binding="JSONRPC", protocol_version="1.0"),
            AgentInterface(url=url, protocol_binding="HTTP+JSON", protocol_version="1.0"),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=push),
        default_input_modes=list(INPUT_MODES),
        default_output_modes=["text/plain"],
        skills=[talk, *skills],
        security_schemes={"token": SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer"))},
        security_requirements=[SecurityRequirement(schemes={"token": StringList()})],
    )


def create_a2a_application(
    conversations: Conversations,
    token: AccessToken,
    *,
    store: Database,
    name: str = "assistant",
    description: str = "",
    url: str = "http://127.0.0.1:8802",
    options: ServingOptions | None = None,
    users: Mapping[str, AccessToken] | None = None,
    private_push: bool = False,
) -> Starlette:
    """Return an ASGI application that serves an assistant by A2A 1.0: JSON-RPC at ``/``, and HTTP with JSON beside it.

    The card is at ``/.well-known/agent-card.json``, for anyone; all else needs a token, as `create_application`. `url` is the
    address that the card names, `store` keeps the tasks and the configurations of push notifications. These go to public addresses
    only, unless `private_push`. At its start, it goes on with the tasks of an earlier process.
    """
    options = options if options is not None else ServingOptions()
    executor = AssistantExecutor(conversations)

    async def refresh(task: Task, context: ServerCallContext) -> Task:
        return await _as_it_stands(executor, task, context)

    client = httpx.AsyncClient(timeout=10.0)
    configurations = StoredPushConfigs(store, token)
    allowed = None if private_push else validate_push_notification_url
    card = agent_card(conversations, name=name, url=url, description=description)
    tasks = StoredTaskStore(store, refresh)
    sender = BasePushNotificationSender(client, configurations, push_url_validator=allowed)
    handler = DefaultRequestHandlerV2(
        executor,
        tasks,
        card,
        push_config_store=configurations,
        push_sender=sender,
        push_url_validator=allowed,
        validate_input_modes=True,
    )
    contexts = _ContextBuilder(options.user_headers)

    @contextlib.asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with client:
            going_on = asyncio.create_task(_go_on(tasks, handler, sender))
            yield
            going_on.cancel()
            await conversations.drain()
            # What still runs goes on in the next process. Without this, the tasks of the kit would outlive the server.
            # Two of them can wait for each other if one was just ending; cancelled again, both end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await handler.aclose()
            application.state.server.closing.set()

    pages = Middleware(
        CORSMiddleware, allow_origins=list(options.origins), allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"]
    )
    application = Starlette(
        routes=[
            *create_agent_card_routes(card, cache_control="public, max-age=300"),
            *create_jsonrpc_routes(handler, "/", contexts),
            *create_rest_routes(handler, contexts),
        ],
        middleware=[pages, Middleware(TokenAuthMiddleware, token=token, users=users or {})],
        lifespan=lifespan,
    )
    application.state.server = SimpleNamespace(conversations=conversations, closing=asyncio.Event())
    return application


async def _go_on(tasks: StoredTaskStore, handler: DefaultRequestHandlerV2, sender: BasePushNotificationSender) -> None:
    """Go on with the tasks that an earlier process was working on, so that their ends are pushed and can be subscribed to."""
    for owner, unfinished in tasks.unfinished():
        context = ServerCallContext(user=_RequestUser(owner))
        try:
            task = await tasks.get(unfinished.id, context)
            if task is None or not task.history:
                continue
            if task.status.state not in WORKED_ON:
                # It had ended, but the end was not stored, nor pushed.
                await sender.send_notification(task.id, task)
                continue
            message = task.history[-1]
            message.task_id, message.context_id = task.id, task.context_id
            request = SendMessageRequest(message=message, configuration=SendMessageConfiguration(return_immediately=True))
            request.metadata[RESUMED] = True
            await handler.on_message_send(request, context)
        except (A2AError, CoterieError) as error:
            _log.warning("the task %s does not go on: %s", unfinished.id, error)


async def _as_it_stands(executor: AssistantExecutor, task: Task, context: ServerCallContext) -> Task:
    """Return a task of an earlier process with what the log of its conversation says: its turn was taken up at the opening."""
    chat = await executor.open(context.user.user_name, task.context_id)
    sent = [each.message_id[-200:] for each in task.history if each.message_id]
    turns = {turn for each in sent if (turn := chat.turn_of(each)) is not None}
    if not turns:
        # The process ended before its conversation had the message, which is sent again.
        return task
    mine = [each for each in chat.operations() if each.turn in turns]
    texts: dict[str, str] = {}
    async for event in chat.events(after=0, follow=False):
        if isinstance(event, TurnEnded) and event.turn in turns:
            texts[f"answer-{event.turn}"] = event.text
        elif isinstance(event, Delivered) and {each.number for each in event.operations} & {each.number for each in mine}:
            texts[f"delivery-{event.id}"] = event.text
    answered = {f"answer-{turn}" for turn in turns} <= texts.keys()
    if answered and all(each.ended and each.delivered for each in mine):
        del task.artifacts[:]
        task.artifacts.extend(Artifact(artifact_id=name, parts=[new_text_part(text)]) for name, text in texts.items())
        task.status.state = TaskState.TASK_STATE_COMPLETED
    return task
