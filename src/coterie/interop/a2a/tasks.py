"""The tasks of an A2A server in a database, so that they outlive the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from a2a.server.context import ServerCallContext
from a2a.server.owner_resolver import resolve_user_scope
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import ListTasksRequest, ListTasksResponse, Task, TaskState

from coterie.storage import Database, Schema, Transaction

SCHEMA = Schema(
    "a2a",
    (
        "CREATE TABLE a2a_tasks (owner TEXT NOT NULL, id TEXT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (owner, id));",
        "CREATE TABLE a2a_push (owner TEXT NOT NULL, task TEXT NOT NULL, id TEXT NOT NULL, body BYTEA NOT NULL, secret BYTEA NOT NULL, PRIMARY KEY (owner, task, id));",
    ),
)
"""The tasks, and the configurations of push notifications."""
_ENDED = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_REJECTED,
    }
)
WORKED_ON = (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
"""The states of a task that its agent is at work on."""

Refresh = Callable[[Task, ServerCallContext], Awaitable[Task]]
"""Returns a task of an earlier process as it stands now."""


class StoredTaskStore(InMemoryTaskStore):
    """Keeps tasks in memory and in a database. A task that an earlier process had not ended is refreshed when it is read."""

    def __init__(self, database: Database, refresh: Refresh) -> None:
        super().__init__()
        self._database = database
        self._refresh = refresh
        database.migrate(SCHEMA)
        self._earlier: dict[tuple[str, str], bytes] = {
            (owner, id_): bytes(body) for owner, id_, body in database.rows("SELECT owner, id, body FROM a2a_tasks")
        }

    async def save(self, task: Task, context: ServerCallContext) -> None:
        """Store a task."""
        owner = resolve_user_scope(context)
        self._earlier.pop((owner, task.id), None)
        row = (owner, task.id, task.SerializeToString())

        def write(transaction: Transaction) -> None:
            transaction.execute(
                "INSERT INTO a2a_tasks VALUES (?, ?, ?) ON CONFLICT (owner, id) DO UPDATE SET body = excluded.body", row
            )

        await super().save(task, context)
        await self._database.write(write)

    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        """Return a task of the caller, or None."""
        body = self._earlier.get((resolve_user_scope(context), task_id))
        if body is None:
            found: Task | None = await super().get(task_id, context)
            return found
        task: Task = Task.FromString(body)
        if task.status.state not in _ENDED:
            task = await self._refresh(task, context)
        await self.save(task, context)
        return task

    def unfinished(self) -> list[tuple[str, Task]]:
        """Return the tasks that an earlier process was working on, with their owners."""
        tasks = [(owner, Task.FromString(body)) for (owner, _), body in self._earlier.items()]
        return [(owner, task) for owner, task in tasks if task.status.state in WORKED_ON]

    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Return the tasks of the caller, a page of them."""
        owner = resolve_user_scope(context)
        for known_owner, id_ in list(self._earlier):
            if known_owner == owner:
                await self.get(id_, context)
        return await super().list(params, context)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Delete a task of the caller."""
        owner = resolve_user_scope(context)
        self._earlier.pop((owner, task_id), None)
        await super().delete(task_id, context)
        await self._database.write(
            lambda write: write.execute("DELETE FROM a2a_tasks WHERE owner = ? AND id = ?", (owner, task_id))
        )
