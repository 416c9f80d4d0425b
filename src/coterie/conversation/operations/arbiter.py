"""Mutual exclusion of operations of different conversations that share a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coterie.concurrency import Rank, new_lock
from coterie.conversation.operations.machine import conflict
from coterie.conversation.operations.operation import Operation, ResourceScope

_Reach = tuple[str, ...]


def reach_of(operation: Operation, user: str) -> _Reach | None:
    """Return the key of the operations that can conflict across conversations; None if none can."""
    if not operation.resources or operation.scope is ResourceScope.CONVERSATION:
        return None
    if operation.scope is ResourceScope.ALL:
        return ("all",)
    # Anonymous conversations are not known to be of one user.
    return ("user", user) if user else None


class _Claim:
    """An operation that holds its resources, or waits for them."""

    __slots__ = ("granted", "operation")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.granted = False


class ResourceArbiter:
    """Grants resources to the operations of all conversations of a host, in the order in which they asked.

    Each conversation reports its held resources and the operations that it could start. All resources of an operation
    are granted together, so waits cannot form a cycle: a claim that its conversation could not use now is withdrawn.
    Within one conversation its own queue decides. Safe from any thread; `_lock` guards all attributes.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._claims: dict[_Reach, dict[tuple[str, int], _Claim]] = {}
        self._reaches: dict[str, set[_Reach]] = {}
        """The keys under which a conversation has claims."""
        self._wakes: dict[str, Callable[[], None]] = {}

    def update(
        self,
        conversation: str,
        user: str,
        holding: Iterable[Operation],
        ready: Iterable[Operation],
        wake: Callable[[], None],
    ) -> list[Operation]:
        """Replace the claims of a conversation, and return the operations of `ready` that may start, in order.

        `holding` are the operations that use their resources now. `wake` is called, from any thread, when a resource that
        a ready operation waits for may be free.
        """
        held = [(reach, each) for each in holding if (reach := reach_of(each, user)) is not None]
        wanted = [(reach_of(each, user), each) for each in ready]
        shared = [(reach, each) for reach, each in wanted if reach is not None]
        if not held and not shared and conversation not in self._reaches:
            return [each for _, each in wanted]
        with self._lock:
            freed = self._withdraw(conversation, {(reach, each.number) for reach, each in (*held, *shared)})
            for reach, each in held:
                self._claim(conversation, reach, each).granted = True
            for reach, each in shared:
                claim = self._claim(conversation, reach, each)
                claim.granted = claim.granted or self._is_free(conversation, reach, claim)
            granted = {each.number for reach, each in shared if self._claims[reach][conversation, each.number].granted}
            if held or shared:
                self._wakes[conversation] = wake
            wakes = self._waiting(conversation, freed)
        for each_wake in wakes:
            each_wake()
        return [each for reach, each in wanted if reach is None or each.number in granted]

    def leave(self, conversation: str) -> None:
        """Withdraw all claims of a conversation, whose agent has ended."""
        with self._lock:
            wakes = self._waiting(conversation, self._withdraw(conversation, set()))
        for wake in wakes:
            wake()

    def _claim(self, conversation: str, reach: _Reach, operation: Operation) -> _Claim:
        self._reaches.setdefault(conversation, set()).add(reach)
        claims = self._claims.setdefault(reach, {})
        claim = claims.setdefault((conversation, operation.number), _Claim(operation))
        claim.operation = operation
        return claim

    def _withdraw(self, conversation: str, kept: set[tuple[_Reach, int]]) -> set[_Reach]:
        """Remove the claims of a conversation that are not kept; return the keys where one was removed."""
        freed: set[_Reach] = set()
        for reach in list(self._reaches.get(conversation, ())):
            claims = self._claims[reach]
            mine = [key for key in claims if key[0] == conversation]
            gone = [key for key in mine if (reach, key[1]) not in kept]
            for key in gone:
                del claims[key]
            if gone:
                freed.add(reach)
            if len(gone) == len(mine):
                self._reaches[conversation].discard(reach)
            if not claims:
                del self._claims[reach]
        if not self._reaches.get(conversation):
            self._reaches.pop(conversation, None)
            self._wakes.pop(conversation, None)
        return freed

    def _is_free(self, conversation: str, reach: _Reach, claim: _Claim) -> bool:
        """Return whether no claim of another conversation that is granted, or came before, conflicts."""
        before = True
        for (other, _), each in self._claims[reach].items():
            if each is claim:
                before = False
            elif other != conversation and (each.granted or before) and conflict(each.operation, claim.operation):
                return False
        return True

    def _waiting(self, conversation: str, freed: set[_Reach]) -> list[Callable[[], None]]:
        others = {
            other
            for reach in freed
            for (other, _), each in self._claims.get(reach, {}).items()
            if other != conversation and not each.granted
        }
        return [self._wakes[each] for each in others]
