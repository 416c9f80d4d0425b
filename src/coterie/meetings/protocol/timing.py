"""How patient replicas are."""

from __future__ import annotations

import msgspec

from coterie.kernel import check_number


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The times of the protocol, in seconds. Only members on different nodes ever need them."""

    beat: float = 0.25
    """How often the orderer says that it is there."""
    patience: float = 1.5
    """After how long without a word from it somebody else tries to take over."""
    step: float = 0.4
    """How much longer the next in line waits, so that they do not all try at once."""
    retry: float = 0.5
    """How often a submission is sent again."""
    gossip: float = 1.0
    """How often digests are exchanged."""
    absent: float = 60.0
    """After how long without a word a member counts as lost, and is taken out of the meeting."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            check_number(f"Timing.{name}", getattr(self, name), above=0)
