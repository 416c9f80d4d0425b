"""Persona files: what goes in comes out, fragments merge, and nonsense is told with its place."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.errors import FragmentConflict, InvalidPersona, InvalidSetting
from coterie.errors.personas import PersonaTooLarge
from coterie.personas import Fragment, Persona
from tests.personas.samples import FRAGMENT, USUAL, VARIANT, write

KEYS = st.text(max_size=6)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value, kind and order of keys."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("document", [USUAL, VARIANT], ids=["usual", "variant"])
def test_a_saved_file_is_equal_and_in_the_same_order(tmp_path: Path, document: dict[str, Any]) -> None:
    persona = Persona.load(write(tmp_path, "one.agent.json", document))
    assert persona.document == document
    assert same(persona.to_dict(), document)
    saved = persona.save(tmp_path / "two.agent.json")
    assert same(json.loads(saved.read_text(encoding="utf-8")), document)
    assert Persona.load(saved) == persona
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@given(
    st.dictionaries(KEYS.map(lambda key: f"x{key}"), PLAIN, max_size=4),
    st.dictionaries(KEYS.map(lambda key: f"y{key}"), PLAIN, max_size=3),
)
def test_every_key_is_kept_whatever_it_holds(inner: dict[str, Any], outer: dict[str, Any]) -> None:
    document = {"type": "TinyPerson", **outer, "persona": {**inner, "name": "N"}}
    persona = Persona.parse(json.dumps(document))
    assert same(json.loads(persona.to_json()), document)
    assert persona == Persona.parse(persona.to_json())


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    path = tmp_path / "odd.agent.json"
    path.write_text('{"persona": {"name": "N", "mood": "\\ud83d"}}')
    again = Persona.load(Persona.load(path).save(tmp_path / "again.agent.json"))
    assert again.get("mood") == "\ud83d"


def test_the_persona_may_stand_elsewhere_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    assert Persona.parse('{"_configuration": {"name": "Early"}}').name == "Early"
    assert Persona.parse('{"name": "Flat", "age": "in his forties"}').age == "in his forties"
    path = tmp_path / "mark.agent.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(USUAL).encode())
    assert Persona.load(path).document == USUAL


def test_fields_are_at_hand_whatever_their_shape() -> None:
    usual, variant = Persona(USUAL), Persona(VARIANT)
    assert (usual.name, usual.age, usual.occupation) == ("Nora Lindqvist", 41, "Baker")
    assert (variant.name, variant.age, variant.occupation) == ("Ivo Petrov", 29.5, "Welder")
    assert usual.get("personality.big_five.openness") == "Medium."
    assert usual.get("personality.big_five.humour", "?") == "?"
    assert usual.goals == ("To open a second bakery.", "To see the northern lights once.")
    assert usual.relationships == (("Tomas", "Your brother, who keeps the till."),)
    assert variant.relationships == (("Ada", "boss"),)
    assert usual.summary() == "Nora Lindqvist (41, Swedish, Baker)"


def test_a_description_has_every_value_and_can_be_cut() -> None:
    text = Persona(USUAL).description()
    assert all(str(leaf) in text for leaf in leaves(USUAL["persona"]))
    cut = Persona(USUAL).description(200)
    assert len(cut) <= 200
    assert cut.endswith("[...]")
    assert "welding; Level: 5" in Persona(VARIANT).description()


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def test_it_cannot_be_changed_by_accident() -> None:
    source = copy.deepcopy(USUAL)
    persona = Persona(source)
    source["persona"]["name"] = "Somebody Else"
    assert persona.name == "Nora Lindqvist"
    with pytest.raises(TypeError, match="never changed"):
        persona.document["persona"]["name"] = "X"
    with pytest.raises(TypeError, match="never changed"):
        persona.document["persona"]["skills"].append("X")
    with pytest.raises(TypeError, match="never changed"):
        persona.document["persona"] |= {"name": "X"}
    with pytest.raises(AttributeError):
        persona.document = {}  # type: ignore[misc]
    mine = persona.to_dict()
    mine["persona"]["name"] = "X"
    assert persona.name == "Nora Lindqvist"
    assert copy.deepcopy(persona) is persona


def test_it_crosses_the_wire() -> None:
    persona = Persona({"persona": {"name": "N", "age": 3, "likes": ["a"]}})
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(persona), type=Persona)
    assert again == persona
    with pytest.raises(TypeError, match="never changed"):
        again.document["persona"]["likes"].append("b")


# Fragments.


def test_a_fragment_is_merged_by_the_rule_of_the_format(tmp_path: Path) -> None:
    persona = Persona(USUAL)
    fragment = Fragment.load(write(tmp_path, "chess.fragment.json", FRAGMENT))
    merged = persona.merge(fragment)
    assert merged.get("preferences.interests") == ["Sourdough", "Chess"]
    assert merged.get("preferences.likes") == ["Rain", "Quiet rooms"]
    assert merged.get("preferences.dislikes") == ["Waste"]
    assert merged.get("behaviors.chess") == ["Plays both sides."]
    assert list(merged.fields)[: len(USUAL["persona"])] == list(USUAL["persona"])
    assert merged.merge(fragment) == merged
    assert persona.document == USUAL
    assert fragment.document == FRAGMENT


def test_null_is_replaced_and_replaces_nothing() -> None:
    persona = Persona.of("N", residence=None, health="good")
    merged = persona.merge(Fragment.of(residence="Oslo", health=None))
    assert (merged.get("residence"), merged.get("health")) == ("Oslo", "good")


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ({"style": "short"}, {"style": "long"}, "persona.style"),
        ({"health": "good"}, {"health": {"general": "good"}}, "persona.health"),
        ({"behaviors": {"general": ["a"]}}, {"behaviors": {"general": "a"}}, "persona.behaviors.general"),
        ({"flag": True}, {"flag": 1}, "persona.flag"),
        ({"a b": {"c": 1}}, {"a b": {"c": 2}}, 'persona["a b"].c'),
    ],
)
def test_a_fragment_that_conflicts_is_an_error_that_names_the_place(
    ours: dict[str, Any], theirs: dict[str, Any], where: str
) -> None:
    persona, fragment = Persona.of("N", **ours), Fragment.of(**theirs)
    with pytest.raises(FragmentConflict) as caught:
        persona.merge(fragment)
    assert caught.value.where == where
    assert where in str(caught.value)
    assert persona.merge(fragment, on_conflict="keep") == persona
    replaced = persona.merge(fragment, on_conflict="replace")
    assert json.dumps(next(iter(theirs.values()))) in json.dumps(dict(replaced.fields))


@given(PLAIN)
def test_merging_existing_values_changes_nothing(value: Any) -> None:
    persona = Persona.of("N", thing={"inside": value})
    again = persona.merge(Fragment.of(thing={"inside": value}))
    if not (isinstance(value, list) and len({json.dumps(each, sort_keys=True) for each in value}) < len(value)):
        assert same(again.to_dict(), persona.to_dict())


# Nonsense.


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "", "it is empty"),
        ("{", "line 1, column 2", "it is not JSON"),
        ('{"persona": {"name": "N",}}', "line 1", "it is not JSON"),
        ("[]", "", "a list"),
        ('"text"', "", "text"),
        ("{}", "persona", "missing"),
        ('{"persona": []}', "persona", "a list is not possible"),
        ('{"persona": null}', "persona", "null is not possible"),
        ('{"persona": {}}', "persona.name", "missing"),
        ('{"persona": {"name": ""}}', "persona.name", "not a name"),
        ('{"persona": {"name": 7}}', "persona.name", "not a name"),
        ('{"persona": {"name": "N", "age": -3}}', "persona.age", "-3 is not possible"),
        ('{"persona": {"name": "N", "age": true}}', "persona.age", "true or false is not possible"),
        ('{"persona": {"name": "N", "age": [1]}}', "persona.age", "a list is not possible"),
        ('{"persona": {"name": "N", "style": 5}}', "persona.style", "5 is not possible; it is text"),
        ('{"persona": {"name": "N", "skills": false}}', "persona.skills", "it is a list"),
        ('{"persona": {"name": "N", "skills": ["a", true]}}', "persona.skills[1]", "True is not possible"),
        ('{"persona": {"name": "N", "preferences": 1.5}}', "persona.preferences", "it is an object"),
        ('{"persona": {"name": "N", "x": {"y": [0, NaN]}}}', "persona.x.y[1]", "not a number"),
        ('{"persona": {"name": "N", "x": 1e999}}', "persona.x", "not a number"),
        ('{"type": "Banana", "persona": {"name": "N"}}', "type", "'Banana' is not possible"),
        ('{"type": 5, "persona": {"name": "N"}}', "type", "5 is not possible"),
        ('{"type": "Fragment", "persona": {"name": "N"}}', "type", "a fragment"),
        ('{"persona": {"name": "N", "x": ' + "[" * 200 + "]" * 200 + "}}", "persona.x[0]", "levels deep"),
        ("[" * 200_000, "", ""),
        ('{"persona": {"name": "N", "x": ' + "1" * 5_000 + "}}", "", "more than 4300 digits"),
        ('{"persona": {"name": "N", "age": ' + "1" * 4_000 + "}}", "persona.age", "1111... is not possible"),
        ('{"type": "' + "x" * 9_000 + '", "persona": {"name": "N"}}', "type", "xxx... is not possible"),
    ],
    ids=range(28),
)
def test_nonsense_gets_an_error_with_the_file_and_the_place(tmp_path: Path, text: str, where: str, problem: str) -> None:
    path = tmp_path / "odd.agent.json"
    path.write_text(text)
    with pytest.raises(InvalidPersona) as caught:
        Persona.load(path)
    assert str(path) in str(caught.value)
    assert where in caught.value.where
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 1_000 + len(str(path))


def test_a_fragment_needs_no_name_but_must_make_sense(tmp_path: Path) -> None:
    assert Fragment.load(write(tmp_path, "a.fragment.json", FRAGMENT)).get("beliefs") == ["A move once made is made."]
    with pytest.raises(InvalidPersona, match=r"persona\.name"):
        Fragment.load(write(tmp_path, "b.fragment.json", {"type": "Fragment", "persona": {"name": 5}}))


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.agent.json"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(PersonaTooLarge, match=r"large\.agent\.json: it has 50\.0 MB, and a persona's file at most 5\.0 MB"):
        Persona.load(path)
    small = write(tmp_path, "small.agent.json", USUAL)
    with pytest.raises(PersonaTooLarge, match="100 bytes"):
        Persona.load(small, max_bytes=100)
    assert Persona.load(small, max_bytes=small.stat().st_size).document == USUAL


def test_unreadable_and_unwritable_files_raise_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidPersona, match="No such file"):
        Persona.load(tmp_path / "none.agent.json")
    with pytest.raises(InvalidPersona, match="Is a directory"):
        Persona.load(tmp_path)
    latin = tmp_path / "latin.agent.json"
    latin.write_bytes('{"persona": {"name": "Zoë"}}'.encode("latin-1"))
    with pytest.raises(InvalidPersona, match="not UTF-8"):
        Persona.load(latin)
    with pytest.raises(InvalidPersona, match="cannot be written"):
        Persona(USUAL).save(tmp_path / "none" / "x.agent.json")


def test_a_key_that_is_there_twice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    persona = Persona.parse('{"persona": {"name": "N", "likes": 1, "likes": 2}}', "twice.agent.json")
    assert persona.get("likes") == 2
    assert "twice.agent.json: the key 'likes' is there twice" in caplog.text


def test_duplicate_keys_are_reported_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    twice = ",".join(f'"k{number}": 1, "k{number}": 2' for number in range(20_000))
    persona = Persona.parse(f'{{"persona": {{"name": "N", {twice}}}}}')
    assert persona.get("k7") == 2
    (told,) = caplog.messages
    assert "and 19995 others" in told


def test_a_readable_file_can_be_saved_and_read_again_at_any_size(tmp_path: Path) -> None:
    path = tmp_path / "large.agent.json"
    path.write_text(json.dumps({"persona": {"name": "N", "numbers": [1] * 900_000}}, separators=(",", ":")))
    persona = Persona.load(path)
    assert Persona.load(persona.save(path)) == persona


@pytest.mark.parametrize(
    "do",
    [
        lambda: Persona.load(5),  # type: ignore[arg-type]
        lambda: Persona.parse(b"{}"),  # type: ignore[arg-type]
        lambda: Persona("text"),  # type: ignore[arg-type]
        lambda: Persona.of("N").get(5),  # type: ignore[arg-type]
        lambda: Persona.of("N").merge({"persona": {}}),  # type: ignore[arg-type]
    ],
    ids=range(5),
)
def test_a_value_that_is_not_a_persona_is_reported(do: Callable[[], object]) -> None:
    with pytest.raises((InvalidPersona, InvalidSetting)):
        do()
