"""The end of a host of conversations: by `close`, by the end of the program, or because it was dropped."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from coterie.concurrency.exits import ExitOrder, end_dropped, register_exit_handler, unregister_exit_handler
from coterie.conversation.endings import EndingConversation, end_all_blocking
from coterie.conversation.session.messages import WaitUntilIdle
from coterie.conversation.session.monitor import AwaitMonitored, MonitoredSessions
from coterie.conversation.settings import ConversationSettings
from coterie.errors import CoterieError, DeliveryError, WaitTimeout
from coterie.kernel import Clock, Countdown
from coterie.kernel.clock import DrivenClock
from coterie.runtime import AgentRef, Reply, Runtime
from coterie.storage import Database

_log = logging.getLogger(__name__)

_NAMED = 5
"""Conversations that the report of a loss names."""


def _ask_to_settle(each: EndingConversation) -> Reply[None] | None:
    return None if each.agent is None else each.agent.ask(WaitUntilIdle(), timeout=None)


class HostEnd:
    """Ends the parts of a host. It does not refer to the host itself, so that a dropped host is noticed.

    `runtime` and `database` are those that the host owns, if any; `folder` is the place of a temporary store. Safe from any
    thread.
    """

    def __init__(
        self,
        settings: ConversationSettings,
        monitored: MonitoredSessions,
        monitor: AgentRef,
        *,
        runtime: Runtime | None,
        database: Database | None,
        folder: Path | None,
        clock: Clock,
    ) -> None:
        self._monitored = monitored
        self._monitor = monitor
        self._runtime = runtime
        self._database = database
        self._folder = folder
        # On a driven clock, turns may wait for a time to which no caller advances it any more.
        self._limit = 0.0 if isinstance(clock, DrivenClock) else settings.shutdown_grace
        self._open = True
        register_exit_handler(self, ExitOrder.CONVERSATIONS)

    def release(self) -> None:
        """Close the store, after all agents have ended."""
        self._open = False
        unregister_exit_handler(self)
        if self._database is not None:
            self._database.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def finish_at_exit(self) -> str | None:
        """Let turns and operations end within `settings.shutdown_grace`, and close. Return the loss as text, or None.

        What has a store is no loss: it continues when the conversation is opened again.
        """
        limit = self._limit
        unfinished: list[str] = []
        try:
            unfinished = self._wait_until_idle(limit)
        finally:
            self._close()
        if not unfinished:
            return None
        more = f" and {len(unfinished) - _NAMED} more" if len(unfinished) > _NAMED else ""
        what = f"the answers and operations of {len(unfinished)} conversations, not done within {limit:g} s"
        what = f"{what}: {', '.join(unfinished[:_NAMED])}{more}"
        if self._folder is not None:
            return f"{what}; they have no store: give one, use the conversations in a `with` block, or raise shutdown_grace"
        _log.warning("the program ended before %s; they continue when the conversation is opened again", what)
        return None

    def dropped(self) -> None:
        """Let turns and operations end and close, because the host was dropped; do not make the caller wait."""
        if self._open:
            end_dropped("a host of conversations", self._finish_dropped)

    def _finish_dropped(self) -> None:
        loss = self.finish_at_exit()
        if loss is not None:
            _log.error("a host of conversations was dropped, which lost %s", loss)

    def _wait_until_idle(self, limit: float) -> list[str]:
        """Wait until the conversations are idle, and return the names of those that are not within the limit."""
        asked = [(each, _ask_to_settle(each)) for each in self._active()]
        countdown = Countdown(limit)
        unfinished = []
        for each, reply in asked:
            try:
                if reply is not None:
                    reply.result(countdown.left())
            except WaitTimeout:
                unfinished.append(each.state.name)
            except CoterieError:
                # It has failed, which its log tells.
                continue
        return unfinished

    def _close(self) -> None:
        end_all_blocking(self._active(), 0.0)
        with contextlib.suppress(DeliveryError):
            self._monitor.ask(AwaitMonitored()).result()
        self._monitor.stop().result()
        if self._runtime is not None:
            self._runtime.stop(drain=False)
        self.release()

    def _active(self) -> list[EndingConversation]:
        return [EndingConversation(state, agent) for agent, state in self._monitored.all()]
