import queue
import threading
from dataclasses import dataclass

from coterie import Message
from coterie.kernel import Checkpointable
from coterie.kernel.checkpoint import detach


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
