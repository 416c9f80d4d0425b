"""Relations: one record for both sides, whoever changes it."""

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import sampled_from

from coterie.errors import InvalidSetting
from coterie.personas import Relations
from coterie.personas.agent.directory import RelationsView

NAMES = ["ada", "ben", "cy", "dora"]


def both_sides_agree(view: RelationsView) -> bool:
    return all(view[other][name] is relation for name in view for other, relation in view[name].items())


def test_each_side_sees_the_role_of_the_other() -> None:
    relations = Relations()
    relations.relate("ben", "ada", "my boss", back="works for me")
    assert relations.accessible("ben") == {"ada": "my boss"}
    assert relations.accessible("ada") == {"ben": "works for me"}
    relation = relations.relate("ada", "ben", "friends")
    assert relations.accessible("ben") == {"ada": "friends"}
    assert relations.between("ben", "ada") is relations.between("ada", "ben") is relation
    assert relation.other("ada") == "ben"
    assert relations.separate("ben", "ada")
    assert not relations.separate("ben", "ada")
    assert relations.accessible("ada") == relations.accessible("ben") == {}


def test_a_view_stays_as_it_was() -> None:
    relations = Relations()
    relations.relate("ada", "ben", "friends")
    view = relations.view()
    relations.relate("ada", "ben", "rivals")
    relations.forget("ben")
    assert view.accessible("ada") == {"ben": "friends"}
    assert relations.view().accessible("ada") == {}


def test_it_can_be_kept_and_given_back() -> None:
    relations, other = Relations(), Relations()
    relations.relate("ada", "ben", "boss", back="staff")
    relations.relate("cy", "ada", "twins")
    other.restore(relations.snapshot())
    assert other.snapshot() == relations.snapshot()
    assert other.accessible("ben") == {"ada": "staff"}
    assert both_sides_agree(other.view())


@pytest.mark.parametrize(("one", "other"), [("ada", "ada"), ("", "ada"), ("ada", "")])
def test_a_persona_has_no_relation_to_itself_or_to_an_empty_name(one: str, other: str) -> None:
    with pytest.raises(InvalidSetting):
        Relations().relate(one, other)


class Changes(RuleBasedStateMachine):
    """Whatever is changed, both sides hold one record, and a model of unordered pairs agrees."""

    def __init__(self) -> None:
        super().__init__()
        self.relations = Relations()
        self.pairs: dict[frozenset[str], dict[str, str]] = {}

    @rule(one=sampled_from(NAMES), other=sampled_from(NAMES), what=sampled_from("xyz"), back=sampled_from("xyz"))
    def relate(self, one: str, other: str, what: str, back: str) -> None:
        if one != other:
            self.relations.relate(one, other, what, back=back)
            self.pairs[frozenset((one, other))] = {one: what, other: back}

    @rule(one=sampled_from(NAMES), other=sampled_from(NAMES))
    def separate(self, one: str, other: str) -> None:
        assert self.relations.separate(one, other) is (self.pairs.pop(frozenset((one, other)), None) is not None)

    @rule(name=sampled_from(NAMES))
    def forget(self, name: str) -> None:
        gone = [pair for pair in self.pairs if name in pair]
        assert self.relations.forget(name) == len(gone)
        for pair in gone:
            del self.pairs[pair]

    @invariant()
    def agrees(self) -> None:
        view = self.relations.view()
        assert both_sides_agree(view)
        for name in NAMES:
            expected = {next(iter(pair - {name})): seen[name] for pair, seen in self.pairs.items() if name in pair}
            assert view.accessible(name) == expected


Changes.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestChanges = Changes.TestCase
