import datetime as dt
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie import Message, Request
from coterie.errors import EncodeFailed
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.kernel.codec import Extension, Packed


@dataclass(frozen=True)
class Point:
    x: float
    y: float


class Foreign:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Inner(Message):
    n: int


class Everything(Request[int]):
    number: int
    point: Point
    when: dt.datetime
    inner: Inner
    foreign: Foreign
    anything: Any = None
    maybe: Foreign | None = None


def codec() -> Codec:
    return Codec([Extension(Foreign, 5, lambda foreign: foreign.text, Foreign)])


def test_a_message_survives_with_all_that_it_may_hold() -> None:
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    message = Everything(
        1, Point(1.5, 2.5), when, Inner(3), Foreign("é"), {"in": [Foreign("deep"), b"\x00", None]}, Foreign("m")
    )
    both = codec()
    assert both.unpack(both.pack(message), Message) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_plain_values_survive(value: Any) -> None:
    both = Codec()
    assert both.decode(both.encode(value), Any) == value


def test_a_value_without_a_wire_form_is_named() -> None:
    with pytest.raises(EncodeFailed, match=r"cannot encode a Inner: threading|cannot encode a list: .*Thread.* has no form"):
        codec().encode([__import__("threading").current_thread()])
    with pytest.raises(EncodeFailed, match="cannot encode a Foreign"):
        Codec().encode(Foreign("x"))


def test_a_value_of_the_wrong_type_is_refused_when_it_is_read() -> None:
    both = codec()
    with pytest.raises(DecodeFailed, match=r"cannot decode a Inner: Expected `int`, got `str` - at `\$\.n`"):
        both.unpack(both.pack(Inner("three")), Message)  # type: ignore[arg-type] # on purpose
    with pytest.raises(DecodeFailed, match="cannot decode a int"):
        both.decode(b"\xff\xff", int)
    with pytest.raises(DecodeFailed):
        both.decode(Codec().encode({"$type": "Other", "n": 1}), Inner)
    with pytest.raises(DecodeFailed, match="expected Foreign, got str"):
        both.decode(Codec().encode("text"), Foreign)


def test_a_class_is_found_in_loaded_modules_and_nothing_is_imported() -> None:
    both = codec()
    assert both.resolve(f"{__name__}:Inner", Message) is Inner
    assert "antigravity" not in sys.modules
    for name in ("antigravity:Anything", "no.such:Thing", "nonsense", "", ":", "os:path.join", f"{__name__}:Nothing"):
        with pytest.raises(DecodeFailed, match="no such class is known here"):
            both.resolve(name, Message)
    assert "antigravity" not in sys.modules


def test_only_subclasses_of_the_expected_class_are_found() -> None:
    both = codec()
    for name in ("subprocess:Popen", "builtins:int", f"{__name__}:Point"):
        with pytest.raises(DecodeFailed, match="it is not a subclass of Message"):
            both.unpack(Packed(name, b""), Message)


def test_a_class_that_no_module_shows_is_found_once_it_was_shown() -> None:
    class Local(Message):
        n: int

    both, other = codec(), codec()
    packed = both.pack(Local(1))
    assert both.unpack(packed, Message) == Local(1)
    with pytest.raises(DecodeFailed):
        other.unpack(packed, Message)
    other.register(Local)
    assert other.unpack(packed, Message) == Local(1)


def test_unknown_extensions_are_refused() -> None:
    with pytest.raises(DecodeFailed, match="unknown extension 5"):
        Codec().decode(codec().encode(Foreign("x")), Any)


_MANY_AT_ONCE = """
import sys, threading, types
import msgspec
from coterie.kernel import Codec

sys.setswitchinterval(1e-6)
kinds = "".join(
    f"class C{i}(msgspec.Struct, tag=True, frozen=True):\\n    a: int\\n    b: tuple[{'C' + str(i - 1) if i else 'int'}, ...] = ()\\n"
    for i in range(25)
)
source = "from __future__ import annotations\\nimport msgspec\\n" + kinds
source += "U = " + " | ".join(f"C{i}" for i in range(25)) + "\\nclass M(msgspec.Struct):\\n    u: tuple[U, ...]\\n"
for number in range(20):
    module = sys.modules[f"fresh{number}"] = types.ModuleType(f"fresh{number}")
    exec(source, module.__dict__)
    value = module.M((module.C3(1, (module.C2(2),)),))
    start = threading.Barrier(5)

    def decode():
        codec = Codec()
        start.wait()
        assert codec.decode(codec.encode(value), module.M) == value

    threads = [threading.Thread(target=decode) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("fine")
"""


def test_many_threads_meet_a_class_for_the_first_time_at_once() -> None:
    # In a process of its own, which this used to end.
    command = [sys.executable, "-c", _MANY_AT_ONCE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr[-2000:]


class Moved(Message):
    text: str


def test_a_class_keeps_the_name_it_was_registered_with() -> None:
    codec = Codec()
    assert codec.register(Moved, "former.module:Moved") == "former.module:Moved"
    packed = codec.pack(Moved("a"))
    assert (packed.kind, codec.register(Moved)) == ("former.module:Moved", "former.module:Moved")
    assert codec.unpack(packed, Message) == Moved("a")
    # A sender that does not know the name sends that of the module.
    assert codec.unpack(Codec().pack(Moved("a")), Message) == Moved("a")


def test_another_class_that_takes_a_name_is_read_from_then_on() -> None:
    class Later(Message, tag="Moved"):
        text: str
        note: str = ""

    codec = Codec()
    codec.register(Moved, "place:Moved")
    packed = codec.pack(Moved("a"))
    for _ in range(2):
        assert codec.unpack(packed, Message) == Moved("a")
    codec.register(Later, "place:Moved")
    assert codec.unpack(packed, Message) == Later("a")


class Count(int):
    pass


class Title(str):
    __slots__ = ()


def test_numbers_and_texts_of_derived_classes_are_sent_as_plain_ones() -> None:
    codec = Codec()
    for value, kind in ((Count(3), int), (Title("x"), str)):
        again = codec.decode(codec.encode(value), kind)
        assert again == value
        assert type(again) is kind
