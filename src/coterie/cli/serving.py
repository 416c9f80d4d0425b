"""The options of all commands that serve an assistant, their token, and the line that says where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape

from coterie.errors import InvalidSetting
from coterie.kernel.access import AccessToken

_VARIABLE = "COTERIE_TOKEN"

ServedScenario: TypeAlias = Annotated[
    Path, typer.Argument(help="The scenario of kind conversation, a TOML file.", show_default=False)
]
Expose: TypeAlias = Annotated[
    bool, typer.Option("--expose", help=f"Let other machines in, with a token of your own in {_VARIABLE}.")
]
AnsweringModel: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Answer by this model, such as openai:gpt-5-mini, instead of the scenario's.", show_default=False),
]
BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option(help="Where an OpenAI-compatible server is, for --model.", show_default=False)
]
AssistantsFolder: TypeAlias = Annotated[Path, typer.Option(help="Where the assistant's folder is.")]


def serving_token(*, expose: bool) -> AccessToken:
    """Return the token of the environment, or a new one. Raises `InvalidSetting` if other machines are let in without one."""
    token = AccessToken.of(os.environ, _VARIABLE)
    if expose and token.generated:
        raise InvalidSetting(
            "token", "", f"one of your own in the environment variable {_VARIABLE}, when other machines are let in"
        )
    return token


def announce(terminal: Console, line: str, token: AccessToken) -> None:
    """Print where an assistant is served, and its token if it is new."""
    terminal.print(escape(line), soft_wrap=True)
    if token.generated:
        terminal.print(f"The token, for this time only: {escape(token.reveal())}", soft_wrap=True)
    else:
        terminal.print(f"The token is that of {_VARIABLE}.", soft_wrap=True)


def note(terminal: Console, line: str) -> None:
    """Print what an assistant says on its own account, such as a text message."""
    terminal.print(f"  ({escape(line)})", soft_wrap=True)
