import dataclasses

import msgspec
import pytest

from coterie.errors import InvalidValue
from coterie.rounds.carrying import CarriedError, ModuleNames, carried, carry


class Note(msgspec.Struct, frozen=True):
    text: str
    places: tuple[int, ...] = ()


@dataclasses.dataclass
class Pile:
    notes: list[Note]
    by: dict[str, Note | None]


class Odd(Exception):
    def __init__(self, first: int, second: int) -> None:
        self.sum = first + second
        super().__init__(f"{self.sum} is odd")


@pytest.mark.parametrize("value", [1, "a", (1, (2, 3)), Note("x", (1, 2)), Pile([Note("y")], {"a": Note("z"), "b": None})])
def test_a_value_of_a_stage_arrives_as_it_was(value: object) -> None:
    form = msgspec.msgpack.decode(msgspec.msgpack.encode(carry(value, "look")))
    assert carried(form) == value


def test_a_value_that_cannot_be_carried_names_its_stage_and_its_class() -> None:
    with pytest.raises(InvalidValue, match=r"'look': a builtins\.set is not plain data"):
        carry({1, 2}, "look")
    with pytest.raises(InvalidValue, match="this process has no such class"):
        carried(["no_such_module:Note", [], []])
    with pytest.raises(InvalidValue, match="this process has no such class"):
        carried(["os:PathLike", [], []])


def test_a_module_may_be_called_otherwise_in_the_other_process() -> None:
    names = ModuleNames(here=__name__, there="elsewhere")
    form = carry(Note("x"), "look", names)
    assert form[0] == "elsewhere:Note"
    assert carried(form, names) == Note("x")


def test_an_error_comes_back_with_its_class_its_text_and_its_cause() -> None:
    error = KeyError("lake")
    error.__cause__ = Odd(1, 2)
    sent = CarriedError.of(error)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=CarriedError).revived()
    assert (type(back).__name__, str(back)) == ("KeyError", "'lake'")
    assert isinstance(back.__cause__, Odd)
    assert str(back.__cause__) == "3 is odd"
    unknown = CarriedError("no_such_module:Peculiar", "text").revived()
    assert (type(unknown).__name__, str(unknown)) == ("Peculiar", "text")
