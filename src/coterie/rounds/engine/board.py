"""Which token is where, so that nobody has to look at all of them."""

from __future__ import annotations

from coterie.rounds.engine.token import Status, Token


class Board:
    """All tokens by name, those that are ready, those at the gate, and how far the slowest is. The engine's thread uses it."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {}
        self.ready: dict[str, Token] = {}
        """Those that have come to a stage, and have not begun it."""
        self.gate: dict[str, Token] = {}
        """Those that have left their last round, and have not entered the next."""
        self._fronts: dict[int, int] = {}

    @property
    def live(self) -> list[Token]:
        """The tokens that take part, in the order of their names."""
        return [token for _, token in sorted(self.tokens.items()) if token.status is not Status.GONE]

    @property
    def slowest(self) -> int:
        """The round that the slowest token is in, or is about to enter; 0 if there is none."""
        return min(self._fronts, default=0)

    def add(self, token: Token) -> None:
        """Have a token take part, from where it is."""
        self.tokens[token.name] = token
        self._count(token, 1)

    def move(self, token: Token, status: Status, number: int) -> None:
        """Have a token be in a round, in that state."""
        self._count(token, -1)
        token.status, token.round = status, number
        self._count(token, 1)

    def _count(self, token: Token, by: int) -> None:
        if token.status is Status.GONE:
            return
        front = token.round + (token.status is Status.AT_GATE)
        left = self._fronts.get(front, 0) + by
        if left:
            self._fronts[front] = left
        else:
            del self._fronts[front]
        kept = self.ready if token.status is Status.READY else self.gate if token.status is Status.AT_GATE else None
        if kept is not None:
            if by > 0:
                kept[token.name] = token
            else:
                del kept[token.name]
