"""Tic-tac-toe in meetings: two players and a referee, and every move is an utterance."""
