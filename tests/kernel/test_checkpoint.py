import queue
import threading
from dataclasses import dataclass
from typing import Any

from coterie import Message
from coterie.kernel import Checkpointable
from coterie.kernel.checkpoint import detach, detach_all


class Note(Message):
    texts: list[str]


class Plain(Message):
    text: str


@dataclass
class Data:
    numbers: list[int]


class Guarded:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.numbers: list[int] = []


class Spiteful:
    def __deepcopy__(self, memo: object) -> None:
        raise RuntimeError("never")


def test_data_is_copied_all_the_way_down() -> None:
    original = {"a": [1, {2}], "b": Data([3])}
    copy = detach(original)
    assert copy == original
    original["a"][1].add(9)  # type: ignore[index]
    original["b"].numbers.append(9)  # type: ignore[attr-defined]
    assert copy == {"a": [1, {2}], "b": Data([3])}


def test_messages_are_copied_only_if_something_in_them_can_change() -> None:
    plain, note = Plain("x"), Note(["x"])
    assert detach(plain) is plain
    assert detach(note) == note
    assert detach(note).texts is not note.texts


def test_functions_classes_and_uncopyable_objects_are_passed_unchanged() -> None:
    numbers: list[int] = []
    values: list[object] = [
        numbers.append,
        len,
        Data,
        Guarded(),
        Guarded().numbers.append,
        queue.Queue(),
        threading,
        Spiteful(),
        lambda: 1,
    ]
    for value in values:
        assert detach(value) is value


def test_an_object_with_both_methods_is_checkpointable() -> None:
    class Both:
        def snapshot(self) -> int:
            return 1

        def restore(self, state: int) -> None: ...

    assert isinstance(Both(), Checkpointable)
    assert not isinstance(Data([]), Checkpointable)


class Odd(list[int]):
    """A list with a class of its own."""


class Holder:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_plain_data_is_copied_as_deepcopy_copies_it() -> None:
    row = [1, 2]
    value: dict[Any, Any] = {
        "rows": [row, row],
        "set": {1},
        "pair": (1, row),
        "flat": (1, "a"),
        "odd": Odd([1]),
        3: {"x": None},
    }
    value["self"] = value
    holder = Holder(value=value, row=row, other={"row": row}, odd=[row, Odd([2])])
    made = detach(holder)
    copied = made.value
    assert copied is not value
    assert copied["self"] is copied
    assert copied["rows"][0] is copied["rows"][1] is copied["pair"][1] is made.row is made.other["row"] is made.odd[0]
    assert made.row is not row
    assert copied["flat"] is value["flat"]
    assert type(copied["odd"]) is type(made.odd[1]) is Odd
    assert copied["set"] is not value["set"]
    assert list(copied) == list(value)
    plain = detach(value["rows"])
    assert (plain, plain[0] is plain[1], plain[0] is row) == ([[1, 2], [1, 2]], True, False)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert detach(deep) is deep


def test_what_several_values_share_their_copies_share() -> None:
    town = {"roads": [[1, 2]] * 3}
    one, two = Holder(town=town), Holder(town=town)
    first, second = detach_all([one, two])
    assert first.town is second.town is not town
    lock = threading.Lock()
    first, second, third = detach_all([one, two, Holder(lock=lock, town=town)])
    assert first.town is not second.town
    assert third.town is town


def test_a_class_that_copies_itself_is_asked_and_not_looked_through() -> None:
    @dataclass(frozen=True)
    class State:
        number: int
        notes: list[str]

        def __deepcopy__(self, memo: object) -> "State":
            return self

    @dataclass(frozen=True)
    class Fresh:
        number: int

        def __deepcopy__(self, memo: object) -> "Fresh":
            return Fresh(self.number + 1)

    state = State(1, [])
    assert detach(state) is state
    assert detach(Fresh(1)) == Fresh(2)
