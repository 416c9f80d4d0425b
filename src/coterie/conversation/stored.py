"""Read the conversations of a database without opening them, and act on those whose program has ended."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from coterie.concurrency import Rank, new_lock
from coterie.conversation.answers import DeferredAnswer
from coterie.conversation.forgetting import ForgetReport, forget_conversation, forget_user
from coterie.conversation.history import HistoryPolicy, Summarise
from coterie.conversation.journal import Journal, LogRecord, key_of, namespace_of, parts_of
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.sanitize import plain_text
from coterie.conversation.sent_requests import SentRequest
from coterie.conversation.session.builtin_tools import number_of
from coterie.conversation.session.prompt import PROMPT_ENTRIES, prompt_of
from coterie.conversation.state import WINDOW
from coterie.errors import InvalidSetting, TransitionRefused, UnknownOperation
from coterie.kernel import Clock, check_number, clock_or_system
from coterie.memory import TieredMemory
from coterie.models import PromptMessage
from coterie.storage import Database, SqliteDatabase, open_database
from coterie.storage.sqlite.copying import copy_database

_SHORTEST, _SHARE = 0.5, 0.02
"""A file that changes is copied again after this time in seconds, or later, so that copying takes this share of the time."""


class ConversationReading(ABC):
    """Reads stored conversations and opens none. Safe from any thread. Raises `InvalidNamespace` and storage errors."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Journal]:
        """Lend the journal."""

    @abstractmethod
    def prompt_limits(self) -> tuple[HistoryPolicy, int]:
        """Return the policy of prompts, and the tokens of the model's window."""

    @property
    def store(self) -> str:
        """The path or the address of the database."""
        with self.reading() as journal:
            return journal.database.name

    def namespaces(self) -> tuple[tuple[str, ...], ...]:
        """Return the namespaces of all stored conversations."""
        with self.reading() as journal:
            return tuple(parts_of(key) for key in journal.namespaces())

    def user_of(self, namespace: str | Iterable[str]) -> str:
        """Return the user for whom a stored conversation was opened, or an empty text."""
        with self.reading() as journal:
            return journal.person(key_of(namespace_of(namespace))).encode().decode("unicode_escape")

    def log(self, namespace: str | Iterable[str], newest: int = 200) -> tuple[LogRecord, ...]:
        """Return the newest entries of the log of a stored conversation, oldest first."""
        check_number("log.newest", newest, least=1, whole=True)
        with self.reading() as journal:
            return tuple(journal.newest(key_of(namespace_of(namespace)), newest))

    def stored_operations(self, namespace: str | Iterable[str]) -> tuple[Operation, ...]:
        """Return the operations of a stored conversation, oldest first."""
        with self.reading() as journal:
            return tuple(journal.ledger.all(key_of(namespace_of(namespace))))

    def answers(self, namespace: str | Iterable[str]) -> tuple[DeferredAnswer, ...]:
        """Return the answers to operations that take effect when the conversation is opened next, oldest first."""
        with self.reading() as journal:
            return tuple(journal.answers.of(key_of(namespace_of(namespace))))

    def requests(self, namespace: str | Iterable[str], *, turn: int | None = None, newest: int = 50) -> tuple[SentRequest, ...]:
        """Return the newest requests to the model as they were sent, or those of one turn, oldest first.

        The latest `ConversationSettings.kept_requests` of an open conversation are in memory, and the latest `stored_requests`
        of any in the store. Older ones are gone.
        """
        check_number("requests.newest", newest, least=1, whole=True)
        with self.reading() as journal:
            stored = journal.requests.newest(key_of(namespace_of(namespace)), newest, turn)
        live = [each for each in self.live_requests(namespace) if turn in (None, each.turn)]
        found = {each.number: each for each in (*stored, *live)}
        return tuple(found[number] for number in sorted(found))[-newest:]

    def live_requests(self, namespace: str | Iterable[str]) -> tuple[SentRequest, ...]:  # noqa: ARG002 - of those that are open
        """Return the requests that are in memory, oldest first."""
        return ()

    def prompt(self, namespace: str | Iterable[str], turn: int) -> tuple[PromptMessage, ...]:
        """Return the messages of the last request of a turn, as the log gives them; `requests` has them as they were sent."""
        return prompt_of(self.log(namespace, PROMPT_ENTRIES), turn, *self.prompt_limits())


class StoredConversations(ConversationReading):
    """The conversations in a database whose program has ended or runs elsewhere, without its model and tools.

    ::

        with StoredConversations("chat.db") as stored:
            for namespace in stored.namespaces(): print(stored.log(namespace))

    `store` is a path, a PostgreSQL URL, or an open database. A file is read in a copy as of its last commit, which is renewed
    at most every half second, so that a program that has it open goes on. `approve`, `reject`, `cancel` and `resolve` store an
    answer: the program applies it, with the checks of its tools, when it opens the conversation next. They, and `forget`,
    raise `StorageLocked` while another process has the file open. Safe from any thread; `_lock` guards the copy. Raises
    `InvalidSetting` for a file that does not exist, and the errors of opening the database.
    """

    def __init__(self, store: Database | str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._clock = clock_or_system("clock", clock)
        self._lock = new_lock(Rank.CONVERSATIONS)
        self._resources = ExitStack()
        self._copy: Journal | None = None
        self._version: object = None
        self._copied_at = self._took = 0.0
        self._file = _file_of(store)
        if self._file is None:
            given: Any = store
            database: Database = self._resources.enter_context(open_database(given)) if isinstance(given, str) else given
            self._copy = Journal(database, self._clock)
            self._name = database.name
            return
        if not self._file.is_file():
            raise InvalidSetting("store", str(store), "the file of a conversation, or an address of PostgreSQL")
        self._name = str(self._file)
        with self.reading():
            pass

    @property
    def store(self) -> str:
        """The path or the address of the database."""
        return self._name

    @contextmanager
    def reading(self) -> Iterator[Journal]:
        """Lend the journal: of the database, or of a copy of the file."""
        if self._file is None:
            assert self._copy is not None
            yield self._copy
            return
        with self._lock:
            yield self._renewed(self._file)

    def prompt_limits(self) -> tuple[HistoryPolicy, int]:
        """Return the usual ones: the settings of the program are not stored."""
        return Summarise(), WINDOW

    def approve(
        self, namespace: str | Iterable[str], operation: Operation | str | int, *, person: str | None = None
    ) -> DeferredAnswer:
        """Approve an operation that awaits approval. `person` is the user of the conversation unless given.

        Raises as the others `UnknownOperation`, `TransitionRefused` if its state does not fit, and `StorageLocked`.
        """
        return self._answer(namespace, operation, "approve", OperationState.QUEUED, person=person)

    def reject(
        self, namespace: str | Iterable[str], operation: Operation | str | int, why: str = "", *, person: str | None = None
    ) -> DeferredAnswer:
        """Reject an operation that awaits approval."""
        return self._answer(namespace, operation, "reject", OperationState.CANCELLED, why=why, person=person)

    def cancel(self, namespace: str | Iterable[str], operation: Operation | str | int) -> DeferredAnswer:
        """Cancel an operation that has not ended."""
        return self._answer(namespace, operation, "cancel", OperationState.CANCELLED)

    def resolve(
        self,
        namespace: str | Iterable[str],
        operation: Operation | str | int,
        state: OperationState | str,
        why: str = "",
        *,
        person: str | None = None,
    ) -> DeferredAnswer:
        """Resolve an operation of unknown outcome, or one that was running when the program ended, as `Conversation.resolve`."""
        if str(state) not in ("succeeded", "failed", "retry"):
            raise InvalidSetting("resolve.state", str(state), "succeeded, failed, or retry")
        return self._answer(namespace, operation, "resolve", OperationState.UNKNOWN, state=str(state), why=why, person=person)

    def forget(self, namespace: str | Iterable[str]) -> ForgetReport:
        """Delete one conversation, with those that it has opened with other assistants, and return a report."""
        with self._writing() as journal:
            return forget_conversation(journal.database, namespace_of(namespace))

    def forget_user(self, user: str, *, memory: TieredMemory | None = None) -> ForgetReport:
        """Delete all conversations of a user, and return a report; see `forget_user`."""
        with self._writing() as journal:
            return forget_user(journal.database, user, memory=memory)

    def _answer(
        self, namespace: str | Iterable[str], operation: Operation | str | int, action: str, after: OperationState, **given: Any
    ) -> DeferredAnswer:
        parts = namespace_of(namespace)
        number = number_of(operation)
        with self._writing() as journal:
            now = journal.ledger.one(key_of(parts), number) if number is not None else None
            if now is None or number is None:
                raise UnknownOperation(operation, "/".join(parts))
            if not _fits(action, now):
                raise TransitionRefused(now.id, now.state, after, f"it cannot be answered by {action} now")
            person = given.pop("person", None)
            answer = DeferredAnswer(
                operation=number,
                action=action,
                consent=now.consent,
                person=None if person is None else plain_text(person),
                at=self._clock.time(),
                state=given.get("state", ""),
                why=plain_text(given.get("why", "")),
            )
            journal.answers.put(key_of(parts), answer).result()
        return answer

    @contextmanager
    def _writing(self) -> Iterator[Journal]:
        if self._file is None:
            with self.reading() as journal:
                yield journal
            return
        with SqliteDatabase(self._file) as database:
            yield Journal(database, self._clock)
        with self._lock:
            # The next read sees what was written.
            self._version = None
            self._copied_at = 0.0

    def _renewed(self, file: Path) -> Journal:
        """Return the journal of a copy that is new enough. The caller holds the lock."""
        version = tuple(_version(each) for each in (file, file.with_name(f"{file.name}-wal")))
        now = self._clock.monotonic()
        due = self._version is None or now - self._copied_at >= max(_SHORTEST, self._took / _SHARE)
        if self._copy is not None and (version == self._version or not due):
            return self._copy
        with ExitStack() as resources:
            folder = Path(resources.enter_context(TemporaryDirectory(prefix="coterie-")))
            copy_database(file, folder / file.name)
            copy = Journal(resources.enter_context(SqliteDatabase(folder / file.name)), self._clock)
            self._resources.close()
            self._resources = resources.pop_all()
        self._copy, self._version = copy, version
        self._copied_at, self._took = self._clock.monotonic(), self._clock.monotonic() - now
        return copy

    def close(self) -> None:
        """Delete the copy, or close the database of a URL."""
        with self._lock:
            self._resources.close()
            self._copy, self._version = (self._copy, None) if self._file is None else (None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()


def _fits(action: str, operation: Operation) -> bool:
    if action == "cancel":
        return not operation.ended
    if action == "resolve":
        # What was running has an unknown outcome once the conversation is opened.
        return operation.state in (OperationState.UNKNOWN, OperationState.RUNNING, OperationState.CANCELLING)
    return operation.state is OperationState.AWAITING_APPROVAL


def _file_of(store: object) -> Path | None:
    """Return the file of SQLite that is meant, or None for another database."""
    if isinstance(store, str) and "://" in store:
        return None
    return Path(store).resolve() if isinstance(store, str | os.PathLike) else None


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
