"""The command itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from coterie.cli.chat.agent import ChatAgent, Follow
from coterie.cli.chat.plain import PlainScreen
from coterie.cli.chat.plain import converse as converse_plainly
from coterie.cli.chat.screen import Screen
from coterie.cli.chat.words import note, wrapped
from coterie.cli.console import PORT, Port, Wanted
from coterie.cli.console import shown as console_of
from coterie.cli.serving import AnsweringModel, AssistantsFolder, BaseUrl
from coterie.cli.tracing import TraceContent, TraceTo, traced
from coterie.conversation import Conversation
from coterie.kernel import SystemClock
from coterie.orchestrator.assistants.opening import ChatFolder, OpenAssistant, load_assistant, open_assistant
from coterie.runtime import Runtime


def chat(
    scenario: Annotated[Path, typer.Argument(help="The scenario of kind conversation, a TOML file.", show_default=False)],
    model: AnsweringModel = None,
    base_url: BaseUrl = None,
    user: Annotated[str, typer.Option(help="Who is talking; each has conversations of their own.")] = "me",
    namespace: Annotated[
        str | None, typer.Option(help="The conversation's own name, to have several.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the latest conversation, or with --namespace.")] = False,
    out: AssistantsFolder = Path("runs"),
    wait: Annotated[bool, typer.Option(help="At the end of piped input, wait for what still runs.")] = True,
    trace: TraceTo = None,
    trace_content: TraceContent = False,
    console: Wanted = False,
    console_port: Port = PORT,
) -> None:
    """Talk to an assistant. Results appear when they are ready; bars of running operations are above the line that you type."""
    loaded = load_assistant(scenario)
    folder = ChatFolder(out / loaded.scenario.name.replace(" ", "-"))
    name = folder.choose(user, namespace, resume=resume)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    shown: list[Screen] = []

    def notice(line: str) -> None:
        for screen in shown:
            screen.line(note(line, screen.width), style="class:note")

    try:
        with (
            traced(trace, content=trace_content),
            open_assistant(loaded, folder.path, model=model, base_url=base_url, notice=notice) as assistant,
            console_of(console, [out], "/conversations", port=console_port) as show,
        ):
            for part in assistant.parts:
                show(part, loaded.scenario.name)
            conversation = assistant.conversations.open(("chat", user, name), user=user)
            folder.remember(user, name)
            unfinished = _converse(assistant, conversation, shown, interactive=interactive, greet=not resume, wait=wait)
    except KeyboardInterrupt:
        Console(stderr=True, highlight=False).print("interrupted; go on with --resume", soft_wrap=True)
        raise typer.Exit(130) from None
    if unfinished:
        word = "operation is" if unfinished == 1 else "operations are"
        command = f"coterie chat {escape(str(scenario))} --resume"
        Console(stderr=True, highlight=False).print(f"{unfinished} {word} unfinished; go on with: {command}", soft_wrap=True)


def _converse(
    assistant: OpenAssistant, chat: Conversation, shown: list[Screen], *, interactive: bool, greet: bool, wait: bool
) -> int:
    """Talk until the end, and return how many operations are unfinished then."""
    screen = _screen(assistant, chat, interactive=interactive)
    shown.append(screen)
    if greet and assistant.greeting and not chat.transcript():
        screen.line(wrapped(assistant.name, assistant.greeting, screen.width), style="class:answer")
    with Runtime() as runtime:
        runtime.provide(screen, kind=Screen)
        agent = runtime.spawn(ChatAgent, name="chat")
        agent.tell(Follow())
        try:
            if interactive:
                from coterie.cli.chat.terminal import TerminalScreen, converse  # noqa: PLC0415 - it is slow to import

                assert isinstance(screen, TerminalScreen)
                converse(screen, agent)
            else:
                assert isinstance(screen, PlainScreen)
                converse_plainly(sys.stdin, screen, agent, wait=wait)
        finally:
            shown.clear()
            runtime.stop(drain=False)
    return len(chat.operations(unfinished=True))


def _screen(assistant: OpenAssistant, chat: Conversation, *, interactive: bool) -> Screen:
    if not interactive:
        return PlainScreen(chat, assistant.name)
    from coterie.cli.chat.terminal import TerminalScreen  # noqa: PLC0415 - it is slow to import

    return TerminalScreen(chat, assistant.name, SystemClock())
