"""The command line loads the modules of the command that is called, and all of them for the help."""

import pytest
from typer.testing import CliRunner

from coterie.cli.application import _COMMANDS, create_application


def test_the_help_lists_all_commands() -> None:
    shown = CliRunner().invoke(create_application(), ["--help"]).output
    assert [name for name in _COMMANDS if f" {name} " not in shown] == []


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_alone_has_its_help(name: str) -> None:
    done = CliRunner().invoke(create_application(name), [name, "--help"])
    assert (done.exit_code, f" {name} " in done.output) == (0, True)


def test_one_command_loads_no_other() -> None:
    assert [command.name for command in create_application("keys").registered_commands] == ["keys"]


def test_an_unknown_command_is_an_error() -> None:
    assert CliRunner().invoke(create_application("rn"), ["rn"]).exit_code == 2


def test_the_version_needs_no_command() -> None:
    assert CliRunner().invoke(create_application("--version"), ["--version"]).output.startswith("coterie ")
