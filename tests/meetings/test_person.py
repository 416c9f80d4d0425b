"""A person at a console is a member like others, however early or late it types."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coterie import AgentRef
from coterie.errors import InvitationDeclined
from coterie.meetings import Person, Utterance
from coterie.testing import eventually, wait_until_idle
from tests.meetings.people import House, house


class Console:
    """What a person types, and what it is shown."""

    def __init__(self) -> None:
        self.typed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.shown: list[str] = []

    def type(self, *lines: str) -> None:
        for line in lines:
            self.typed.put(line and f"{line}\n")


@contextmanager
def console(*lines: str, decides: bool = True) -> Iterator[tuple[House, Console, AgentRef, AgentRef]]:
    """Give a house with a person at a console that has typed some lines before anything happens."""
    it = Console()
    it.type(*lines)
    with house() as each:
        ada = each.member("ada")
        paul = each.runtime.spawn(Person, it.typed.get, it.shown.append, decides=decides, name="paul")
        eventually(it.typed.empty)
        wait_until_idle(each.runtime)
        yield each, it, ada, paul
        it.type("")


def test_lines_typed_before_a_meeting_wait_for_it() -> None:
    with console("hello", "/accept", "again") as (each, _, ada, paul):
        each.call(ada, [paul])
        eventually(lambda: each.contents(ada) == ["hello", "again"])


def test_an_answer_is_taken_while_lines_wait_for_a_meeting() -> None:
    with console("hello") as (each, it, ada, paul):
        it.type("/decline no time")
        with pytest.raises(InvitationDeclined, match="paul declined: no time"):
            each.call(ada, [paul])
        it.type("/accept")
        each.call(ada, [paul])
        eventually(lambda: each.contents(ada) == ["hello"])


def test_a_line_for_a_meeting_does_not_answer_an_invitation() -> None:
    with console("/accept") as (each, it, ada, paul):
        ben = each.member("ben")
        each.call(ada, [paul])
        second = each.call(ben, optional=[paul])
        eventually(lambda: it.shown.count("/accept, or /decline REASON?") == 2)
        it.type("to the first", "/accept")
        eventually(lambda: each.contents(ada) == ["to the first"])
        eventually(lambda: each.see(ben, second, lambda meeting: meeting.members) == ("ben", "paul"))


@pytest.mark.parametrize("decides", [True, False])
def test_a_person_that_has_left_the_console_declines(decides: bool) -> None:
    with console("", decides=decides) as (each, _, ada, paul):
        wait_until_idle(each.runtime)
        with pytest.raises(InvitationDeclined, match="has left the console"):
            each.call(ada, [paul])


def test_leaving_the_console_declines_an_open_invitation() -> None:
    with console() as (each, it, ada, paul):
        it.type("")
        with pytest.raises(InvitationDeclined, match="has left the console"):
            each.call(ada, [paul])


def test_a_reaction_is_to_the_last_utterance_unless_it_names_another() -> None:
    with console("/accept") as (each, it, ada, paul):
        id_ = each.call(ada, [paul])
        first, second = (each.use(ada, id_, lambda meeting: meeting.say(text)) for text in ("one", "two"))
        it.type("/react +1", f"/react {first} well done", "/react", "/to ada", "/vote x")
        eventually(lambda: len(each.see(ada, id_, lambda meeting: meeting.state.reactions)) == 2)
        reactions = each.see(ada, id_, lambda meeting: meeting.state.reactions)
        assert [(reaction.to, reaction.sign) for reaction in reactions] == [(second, "+1"), (first, "well done")]
        eventually(lambda: sum(line.startswith("say something, or:") for line in it.shown) == 3)
        assert each.sent(ada, Utterance) == []
