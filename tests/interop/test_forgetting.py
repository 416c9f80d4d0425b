"""`DELETE /users/USER`: all that the server stored of a user is gone, and of nobody else."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai

from coterie.storage import open_database
from tests.interop.served import ANNS, SECRET, Served, served, texts


def ask(server: Served, who: str, text: str, **headers: str) -> httpx.Response:
    body = {"model": "test", "messages": [{"role": "user", "content": text}]}
    with server.client() as client:
        return client.post("/v1/chat/completions", json=body, headers={"X-User": who, **headers})


def test_a_user_is_forgotten_over_http_and_nobody_else(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        for who in ("ann", "ben"):
            server.run("t", f"the secret of {who}", who=who)
            ask(server, who, f"the second secret of {who}", **{"Idempotency-Key": f"key of {who}"})
            ask(server, who, f"the third secret of {who}", **{"X-Thread-Id": "shared"})
        assert client.delete("/users/ben", headers={"Authorization": f"Bearer {ANNS}"}).status_code == 403
        assert client.delete("/users/ben", headers={"Authorization": "Bearer nobody"}).status_code == 401
        assert client.delete("/users/").status_code == 422
        gone = client.delete("/users/ann", headers={"Authorization": f"Bearer {ANNS}"})
        assert (gone.status_code, gone.json()) == (200, {"conversations": 3, "memories": 0})
        assert client.delete("/users/ann").json() == {"conversations": 0, "memories": 0}
        for path in tmp_path.glob("chats.db*"):
            assert b"secret of ann" not in path.read_bytes()
        assert client.get("/agui/t/transcript", headers={"X-User": "ann"}).json()["messages"] == []
        assert len(client.get("/agui/t/transcript", headers={"X-User": "ben"}).json()["messages"]) == 2
        # The thread can be used again, and a request with the key of a forgotten one is new.
        assert "you said hello" in texts(server.run("t", "hello", who="ann")).values()
        assert ask(server, "ann", "anew", **{"Idempotency-Key": "key of ann"}).status_code == 200
        assert ask(server, "ben", "anew", **{"Idempotency-Key": "key of ben"}).status_code == 422


def test_a_history_of_a_forgotten_user_begins_anew(tmp_path: Path) -> None:
    with (
        served(tmp_path) as server,
        server.client() as client,
        openai.OpenAI(base_url=f"{server.address}/v1", api_key=SECRET, default_headers={"X-User": "ann"}) as chat,
        open_database(tmp_path / "chats.db") as database,
    ):
        chat.chat.completions.create(model="test", messages=[{"role": "user", "content": "hello"}])
        count = "SELECT count(*) FROM serving_histories"
        assert database.row(count) == (1,)
        client.delete("/users/ann")
        assert database.row(count) == (0,)
        assert database.row("SELECT count(*) FROM serving_requests") == (0,)
