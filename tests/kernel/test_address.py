import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.errors import InvalidAddress
from coterie.kernel import Address

names = st.text(st.characters(exclude_characters="#", exclude_categories=["Cc", "Cs"]), min_size=1)
nodes = st.text(st.characters(exclude_characters="/#", categories=["L", "N", "P"]), min_size=1)


@given(nodes, names, st.integers(0, 10**18 - 1))
def test_an_address_survives_being_written_and_read(node: str, name: str, number: int) -> None:
    address = Address(node, name, number)
    assert Address.parse(str(address)) == address
    assert Address.is_name(name)


@pytest.mark.parametrize(
    "text", ["", "counter", "http://node/a", "coterie://node", "coterie:///a", "coterie://n/a#x", "coterie://n/#1"]
)
def test_text_that_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress, match="is not an address: expected coterie://NODE/NAME"):
        Address.parse(text)


@pytest.mark.parametrize("name", ["", "a#b", "line\nbreak", "\x00", 3, None])
def test_texts_that_cannot_name_an_agent(name: object) -> None:
    assert not Address.is_name(name)


def test_addresses_are_values() -> None:
    assert {Address("n", "a", 1), Address("n", "a", 1), Address("n", "a", 2)} == {Address("n", "a", 1), Address("n", "a", 2)}
