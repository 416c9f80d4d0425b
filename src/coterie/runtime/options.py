"""Checks of what agents and runtimes are given to run by."""

from __future__ import annotations

from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.messaging import MailboxPolicy
from coterie.runtime.supervision import Supervision


def check_options(where: str, dispatcher: Any, supervision: Any, mailbox: Any) -> None:
    """See that each is what it should be, or None. Raises `InvalidSetting`, which names the one that is not."""
    if dispatcher is not None and (isinstance(dispatcher, type) or not callable(getattr(dispatcher, "open", None))):
        raise InvalidSetting(f"{where}.dispatcher", dispatcher, "an instance of a dispatcher: Leased() or Dedicated()")
    if supervision is not None:
        check_instance(f"{where}.supervision", supervision, Supervision, "a policy: Supervision(strategy=...)")
    if mailbox is not None:
        check_instance(f"{where}.mailbox", mailbox, MailboxPolicy, "a policy: MailboxPolicy(capacity=...)")
