"""Record the requests of one conversation to its models, in memory and, if the settings ask for it, in the store."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import msgspec

from coterie.conversation.sent_requests import SentRequest, masked_request, without_bytes
from coterie.conversation.state import ConversationState
from coterie.conversation.tools.redaction import SecretRedactor
from coterie.errors import CoterieError, describe
from coterie.models import ModelReply, ModelRequest, Usage
from coterie.storage import Pending

_NOT_STORED = "a request of %s is not stored: %s"
_log = logging.getLogger(__name__)


class RequestRecorder:
    """Records requests as they are sent. Only the conversation's thread uses it; others read `ConversationState.requests`.

    The newest `settings.kept_requests` stay in memory: the oldest is dropped for each new one. With `settings.stored_requests`
    each is stored when its reply has come, and the oldest are deleted.
    """

    def __init__(self, state: ConversationState, redactor: SecretRedactor) -> None:
        self._state = state
        self._redactor = redactor
        self._settings = state.host.settings
        self._store = state.host.journal.requests
        self._open: dict[int, SentRequest] = {}
        """The requests whose replies have not come."""
        kept = state.requests[-1].number if state.requests else 0
        stored = self._store.last_number(state.key) if self._settings.stored_requests else 0
        self._last = max(kept, stored)

    def begin(self, model: str, request: ModelRequest, turn: int = 0) -> int:
        """Record a request that is sent now, and return its number."""
        self._last += 1
        at = self._state.host.clock.time()
        sent = SentRequest(number=self._last, at=at, turn=turn, model=model, request=without_bytes(request))
        self._open[sent.number] = sent = self._masked(sent)
        kept = self._settings.kept_requests
        self._state.requests = (*self._state.requests, sent)[-kept:] if kept else ()
        return sent.number

    def end(self, number: int, reply: ModelReply | None, problem: BaseException | None = None) -> None:
        """Record the end of a request: its reply, or the error that it ended with; without both it was cut short."""
        sent = self._open.pop(number, None)
        if sent is None:
            return
        outcome = str(reply.finish) if reply is not None else "failed" if isinstance(problem, Exception) else "cut"
        after = msgspec.structs.replace(
            sent,
            seconds=max(0.0, self._state.host.clock.time() - sent.at),
            outcome=outcome,
            problem=self._redactor.mask(describe(problem)) if isinstance(problem, Exception) else "",
            usage=reply.usage if reply is not None and isinstance(reply.usage, Usage) else sent.usage,
        )
        self._state.requests = tuple(after if each.number == number else each for each in self._state.requests)
        if most := self._settings.stored_requests:
            try:
                self._report(self._store.put(self._state.key, after, most))
            except CoterieError as error:
                _log.warning(_NOT_STORED, self._state.name, describe(error))

    @contextlib.contextmanager
    def recorded(self, model: str, request: ModelRequest) -> Iterator[None]:
        """Record a request beside the turns around the block that awaits its reply."""
        number = self.begin(model, request)
        problem: BaseException | None = None
        try:
            yield
        except BaseException as error:
            problem = error
            raise
        finally:
            self.end(number, ModelReply() if problem is None else None, problem)

    def redact(self) -> None:
        """Mask the requests so far, after the redactor has learnt of more secrets."""
        self._open = {number: self._masked(each) for number, each in self._open.items()}
        self._state.requests = tuple(map(self._masked, self._state.requests))
        if self._settings.stored_requests:
            self._report(self._store.mask(self._state.key, self._redactor.mask))

    def _masked(self, sent: SentRequest) -> SentRequest:
        return masked_request(sent, self._redactor.mask) if self._redactor.has_any else sent

    def _report(self, pending: Pending[None]) -> None:
        def ended() -> None:
            if (error := pending.exception()) is not None:
                _log.warning(_NOT_STORED, self._state.name, describe(error))

        pending.add_callback(ended)
