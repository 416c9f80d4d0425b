"""The references of senders on other nodes."""

from coterie.kernel import Address
from coterie.runtime import Runtime
from coterie.runtime.nodes import senders
from coterie.runtime.nodes.senders import SenderReferences


def test_a_sender_is_remembered_by_its_number_alone() -> None:
    with Runtime() as runtime:
        made: list[Address] = []

        def reference(address: Address) -> object:
            made.append(address)
            return runtime.reference(Address(runtime.node, "anyone"))

        known = SenderReferences("here", reference)  # type: ignore[arg-type] # any reference will do
        numbered, named, own = Address("there", "a", 1), Address("there", "a"), Address("here", "a", 1)
        assert known.get(None) is None
        for address, times in ((numbered, 1), (named, 3), (own, 3)):
            made.clear()
            references = [known.get(address) for _ in range(3)]
            assert len(made) == times
            assert references[0] == references[1] == references[2]
        known.forget()
        made.clear()
        known.get(numbered)
        assert made == [numbered]
        for number in range(2, senders._MOST + 2):
            known.get(Address("there", "a", number))
        assert len(known._known) <= senders._MOST
