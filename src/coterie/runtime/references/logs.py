"""Logs whose records name the agent."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from coterie.kernel import SystemClock
from coterie.kernel.clock import Throttle
from coterie.runtime.references.invocation import CURRENT

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

_OWN = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})
_MOST = 10
_SPAN = 60.0
"""Entries that `AgentLog.limited` writes for one agent in so many seconds."""
_LOGGER = logging.getLogger("coterie.agents")


class AgentLog(_Adapter):
    """The log of one agent: an ordinary logger adapter, over the logger ``coterie.agents``.

    Keyword arguments become fields of the record, beside `agent` and `node`, for a formatter to write::

        self.context.log.info("sold %d pieces", 3, price=12.5)
    """

    def __init__(self, node: str, agent: str) -> None:
        super().__init__(_LOGGER, {"agent": agent, "node": node})
        self._prefix = f"{agent}: "
        self._throttle = Throttle(_MOST, _SPAN)

    def limited(self, level: int, msg: str, *args: object, **kwargs: Any) -> None:
        """Log an entry that may recur endlessly: ten of an agent's in a minute, and with the next how many were left out."""
        omitted = self._throttle.permit(SystemClock.monotonic())
        if omitted is not None:
            more = f" ({omitted} entries like this were left out before)" if omitted else ""
            self.log(level, msg + more, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move the fields into the record."""
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in _OWN}
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {}), **fields}
        # The text is a format for the arguments, and the name of an agent may hold a percent sign.
        return self._prefix.replace("%", "%%") + str(msg), kwargs


class AgentLogFilter(logging.Filter):
    """Puts the name of the agent whose code logs into the `agent` field of records that do not have it.

    Add it to a handler, so that libraries which agents use are seen to log for their agent.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record, and let it pass."""
        if not hasattr(record, "agent"):
            invocation = CURRENT.get()
            record.agent = invocation.cell.name if invocation is not None else ""
        return True
