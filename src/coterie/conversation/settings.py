"""How conversations behave, as one value."""

from __future__ import annotations

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number

_MAIN = "You are a helpful assistant. Use the tools for what you do not know and for what is to be done."
_SECOND = (
    "Something the user asked for is still running. Answer what the user asks meanwhile, briefly. Say how it stands when "
    "asked, from what is listed here or from check_status. Never claim that it is done. You have only safe tools now; "
    "what else is wanted can be queued with request."
)
_SYNTHESIS = (
    "What the user asked for has come to an end while you talked of other things. Tell the user the outcome in one brief "
    "reply that continues the conversation. State each outcome as it is; do not repeat what was said."
)


class ConversationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How conversations behave. Times are in seconds."""

    instructions: str = _MAIN
    """Who the model is to be, in every request."""
    second_instructions: str = _SECOND
    """What is added while something runs."""
    synthesis_instructions: str = _SYNTHESIS
    """What is added when results are to be merged with what was said."""
    patience: float = 2.0
    """How long a turn waits for a tool before that goes to the background, unless the tool has its own."""
    grace: float = 0.25
    """How long it waits at least, also when the user has spoken on."""
    synthesis_wait: float = 15.0
    """How long a result waits for an answer that is being given, before that is cut."""
    cancel_grace: float = 5.0
    """How long an operation that was asked to stop may take to, before it is given up."""
    model_timeout: float = 60.0
    """How long a model may say nothing before its reply is given up. A reply that is being written may take any time."""
    steps: int = 12
    """How often the model may call tools in one turn."""
    mistakes: int = 3
    """How many calls in a row may be refused, in one turn, before the turn is given up."""
    history: int = 40
    """How many turns, and deliveries, a prompt goes back."""
    longest: int = 100_000
    """The longest message of a user, in characters."""
    longest_result: int = 50_000
    """How much of a tool's result is kept and shown, in characters. What is longer is cut, and says so."""
    waiting: int = 100
    """How many messages of one conversation may wait for their answer."""
    queue: int = 20
    """How many operations of one conversation may be unfinished."""
    idle_timeout: float | None = 900.0
    """How long a conversation that nothing runs in, and whose events nobody waits for, is kept in memory. It is taken up
    where it was by what is asked of it next. None keeps it until it is closed."""
    kept_events: int = 512
    """How many of the latest events of a conversation are held in memory, for readers that fall behind."""
    temperature: float | None = None
    """That of answers; None for the provider's own."""
    synthesis_temperature: float | None = 0.7
    """That of deliveries."""

    def __post_init__(self) -> None:
        for name in ("patience", "grace", "synthesis_wait", "cancel_grace"):
            check_number(f"ConversationSettings.{name}", getattr(self, name))
        check_number("ConversationSettings.idle_timeout", self.idle_timeout, above=0, optional=True)
        check_number("ConversationSettings.model_timeout", self.model_timeout, above=0)
        for name in ("steps", "mistakes", "history", "longest", "longest_result", "waiting", "queue", "kept_events"):
            check_number(f"ConversationSettings.{name}", getattr(self, name), least=1, whole=True)
        for name in ("temperature", "synthesis_temperature"):
            check_number(f"ConversationSettings.{name}", getattr(self, name), optional=True)
        for name in ("instructions", "second_instructions", "synthesis_instructions"):
            if not isinstance(getattr(self, name), str):
                raise InvalidSetting(f"ConversationSettings.{name}", getattr(self, name), "a text")
