"""A telephone company with an assistant: the package that `telco.toml` names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from coterie.models import RuleModel
from coterie.orchestrator import Assistant, Place

from .company import Company
from .rules.answering import answer
from .rules.phrases import GREETING
from .tools import tools

INSTRUCTIONS = """\
You are the assistant of a telephone company. Be brief and friendly; ask one question at a time.
Before anything private, log the customer in: ask for the telephone number, call start_login, ask for the code, call
verify_login. Use only the number that was logged in. Before you close a contract, change a package or buy a pass, tell the
customer what it will cost and mean, and go on only after a clear yes.
Never make up a figure: what you do not have from a tool, you do not know."""


class DeskSettings(BaseModel):
    """The table ``[settings]`` of the scenario."""

    model_config = ConfigDict(extra="forbid", strict=True)

    database: str = Field(default="customers.db", min_length=1)
    """The database of customers: a path in the assistant's folder, or an address of PostgreSQL."""
    time_scale: float = Field(default=1.0, ge=0, le=1000)
    """The factor of the durations of long operations."""
    fixed_code: Annotated[str, Field(pattern=r"^(\d{6})?$")] = ""
    """The one-time code that is always sent, for tests and scripts; empty for random codes."""
    pause: float = Field(default=0.0, ge=0, le=10)
    """Seconds between two words of the rules."""


def open_desk(place: Place, settings: DeskSettings) -> Assistant:
    """Open the company over its database."""
    database = settings.database if "://" in settings.database else place.folder / settings.database
    company = Company.open(
        database,
        clock=place.clock,
        send=lambda number, text: place.notice(f"text message to {number}: {text}"),
        time_scale=settings.time_scale,
        fixed_code=settings.fixed_code,
    )
    return Assistant(
        tools=tools(settings.time_scale),
        instructions=INSTRUCTIONS,
        model=RuleModel(answer, name="rules", pause=settings.pause),
        provide=(company,),
        greeting=GREETING,
        close=company.close,
    )
