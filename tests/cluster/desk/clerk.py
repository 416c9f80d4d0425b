"""An assistant beside its scenario file: it writes a line into a file, which takes long, and says where it is."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from coterie.conversation import tool
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall
from coterie.orchestrator import Assistant, Place


class DeskSettings(BaseModel):
    ledger: str


def open_desk(place: Place, settings: DeskSettings) -> Assistant:
    def write(line: str) -> None:
        with Path(settings.ledger).open("a") as ledger:
            ledger.write(f"{line}\n")

    @tool(effect="write", long_running=True)
    def book(what: str) -> str:
        """Book something."""
        write(what)
        time.sleep(120.0)
        return "booked"

    async def answer(request: ModelRequest) -> ModelReply | str:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) and last.text == "think":
            write(f"thinks {os.getpid()}")
            await asyncio.sleep(2.0)
        if isinstance(last, TextMessage) and last.text.startswith("book "):
            return ModelReply(calls=(ToolCall("1", "book", {"what": last.text}),))
        said = sum(isinstance(each, TextMessage) and each.role == "user" for each in request.exchanges)
        return f"{said} said, at process {os.getpid()}"

    return Assistant(tools=[book], model=RuleModel(answer))
