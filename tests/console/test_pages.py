"""Each page shows what runs, each action has its effect, and users see only what is theirs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coterie.conversation import Conversation, OperationState, StoredConversations, tool
from coterie.meetings import Meetings
from coterie.runtime import Runtime
from coterie.testing import eventually
from tests.conversation.scripted import Script, by_words

from .live import ANN, BOB, TOKEN, Boss, Close, Fail, Hold, Live, Worker, living


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with living(tmp_path_factory.mktemp("live")) as live:
        yield live


def client_of(live: Live, token: object) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}  # type: ignore[attr-defined]
    return httpx.Client(base_url=live.console.address, headers=headers)


@pytest.fixture(scope="module")
def operator(live: Live) -> Iterator[httpx.Client]:
    with client_of(live, TOKEN) as client:
        yield client


def done(client: httpx.Client, path: str, **form: str) -> str:
    answer = client.post(path, data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["message"])


def test_the_table_of_agents_is_sorted_filtered_and_a_tree(operator: httpx.Client) -> None:
    page = operator.get("/agents?runtime=town").text
    assert all(name in page for name in ("boss", "worker", "guest"))
    assert "guest</a>" not in operator.get("/agents?runtime=town&find=work").text
    tree = operator.get("/agents?runtime=town&view=tree").text
    assert tree.index(">boss<") < tree.index(">worker<")
    assert operator.get("/agents?sort=luck").status_code == 400
    assert operator.get("/agents?runtime=nowhere").status_code == 404


def test_an_agent_is_inspected_paused_resumed_restarted_and_stopped(live: Live, operator: httpx.Client) -> None:
    worker = live.runtime.find("worker")
    assert worker is not None
    page = operator.get("/agents/town/worker").text
    assert "&lt;b&gt;haste&lt;/b&gt;" in page
    assert "supervised by" in page
    assert done(operator, "/agents/town/worker/pause") == "It is paused."
    assert live.runtime.health()["worker"].paused
    done(operator, "/agents/town/worker/resume")
    assert done(operator, "/agents/town/worker/restart").startswith("Its restart was requested")
    eventually(lambda: live.runtime.health()["worker"].restarts == 1)
    worker.tell(Fail())
    eventually(lambda: live.runtime.health()["worker"].restarts == 2)
    assert "the saw is blunt" in operator.get("/agents/town/worker").text
    assert live.runtime.metrics_of("worker").failed == 1
    done(operator, "/agents/town/worker/stop")
    eventually(lambda: live.runtime.find("worker") is None)
    for answer in (operator.get("/agents/town/worker"), operator.post("/agents/town/worker/stop")):
        assert "has ended" in answer.text
        assert answer.status_code in (404, 409)
    assert operator.post("/agents/town/worker/pause").status_code == 409


def test_a_dead_letter_is_sent_again_to_the_agent_of_that_name(live: Live, operator: httpx.Client) -> None:
    page = operator.get("/letters/town").text
    assert "the agent has stopped" in page
    key = page.split('name="key" value="')[1].split('"')[0]
    assert "was sent to gone again" in done(operator, "/letters/town/send", key=key)
    eventually(lambda: "'letters': '1'" in str(live.runtime.inspect("gone").attributes))
    assert "read to nobody" in operator.get("/agents/town/gone").text
    assert operator.post("/letters/town/send", data={"key": "none"}).status_code == 409


def test_a_meeting_is_shown_with_its_floor_minutes_and_replicas(live: Live, operator: httpx.Client) -> None:
    assert "the budget" in operator.get("/meetings").text
    page = operator.get(f"/meetings/meetings/{live.meeting}").text
    assert "we spend &lt;i&gt;less&lt;/i&gt;" in page
    assert "guest" in page
    digest = page.split("<code>")[1].split("</code>")[0]
    assert page.count(digest[:12]) >= 2
    assert operator.get("/meetings/meetings/none").status_code == 409


def test_a_person_approves_rejects_and_edits_operations(live: Live, operator: httpx.Client) -> None:
    assert "customer/ann" in operator.get("/conversations").text
    path = "/conversations/chats/customer:ann"
    page = operator.get(path).text
    assert "awaiting approval" in page
    assert "!pay" in page
    assert "user" in operator.get(f"{path}?prompt=1").text
    assert operator.post(f"{path}/edit", data={"operation": "op-1", "arguments": "[1]"}).status_code == 400
    done(operator, f"{path}/edit", operation="op-1", arguments='{"amount": 7}')
    done(operator, f"{path}/approve", operation="op-1")
    eventually(lambda: live.paid == [7])
    eventually(lambda: live.chats["ann"].operations()[0].state is OperationState.SUCCEEDED)
    assert operator.post(f"{path}/approve", data={"operation": "op-1"}).status_code == 409
    assert "7 paid" in operator.get(path).text
    done(operator, "/conversations/chats/customer:bob/reject", operation="op-1")
    assert live.chats["bob"].operations()[0].state is OperationState.CANCELLED
    assert operator.get("/conversations/chats/customer:eve").status_code == 404


def test_the_requests_of_a_turn_are_shown_as_they_were_sent(operator: httpx.Client) -> None:
    path = "/conversations/chats/customer:ann"
    page = operator.get(f"{path}?prompt=1").text
    assert "Requests of turn 1, as sent" in page
    assert "You are a helpful assistant" in page
    assert page.count("to script") == 2
    assert "!pay" in operator.get(f"{path}?request=1").text
    assert "This request is not kept" in operator.get(f"{path}?request=99").text


def test_a_conversation_at_rest_is_opened_by_an_action(live: Live, operator: httpx.Client) -> None:
    asyncio.run(live.chats["bob"].send('!pay {"amount": 9}').answer())
    live.chats["bob"].close()
    path = "/conversations/chats/customer:bob"
    assert "an action opens it" in operator.get(path).text
    asked = next(each for each in live.conversations.stored_operations(("customer", "bob")) if not each.ended)
    done(operator, f"{path}/cancel", operation=asked.id)
    reopened = live.conversations.find(("customer", "bob"))
    assert reopened is not None
    assert reopened.user == "bob"


def test_stored_conversations_are_listed_read_answered_and_forgotten(
    tmp_path: Path, live: Live, operator: httpx.Client
) -> None:
    @tool(confirm="Really pay?")
    def pay(amount: int) -> str:
        return f"{amount} paid"

    async def talk() -> None:
        async with Conversation(Script(by_words), [pay], store=tmp_path / "old.db", namespace="eve", user="eve") as chat:
            await chat.send('!pay {"amount": 3}').answer()

    asyncio.run(talk())
    with StoredConversations(tmp_path / "old.db") as stored:
        live.console.show(stored, "old")
        try:
            assert ">eve</a>" in operator.get("/conversations").text
            page = operator.get("/conversations/old/eve?prompt=1").text
            assert "The requests of this turn are no longer kept" in page
            assert "Really pay?" in page
            with client_of(live, ANN) as ann:
                assert ann.get("/conversations/old/eve").status_code == 404
            assert "takes effect" in done(operator, "/conversations/old/eve/approve", operation="op-1")
            assert "approve is stored" in operator.get("/conversations/old/eve").text
            answer = operator.post("/conversations/old/eve/edit", data={"operation": "op-1", "arguments": "{}"})
            assert answer.status_code == 409
            assert "1 conversations are forgotten" in done(operator, "/conversations/old/eve/forget")
            assert operator.get("/conversations/old/eve").status_code == 404
        finally:
            live.console.hide(stored)


def test_a_store_in_the_folder_that_is_damaged_is_named_and_the_others_are_shown(live: Live, operator: httpx.Client) -> None:
    folder = live.place / "assistant"
    folder.mkdir()
    (folder / "conversations.db").write_text("no database, but longer than the header of one is in SQLite " * 20)
    page = operator.get("/conversations").text
    assert "conversations.db" in page
    assert "customer/ann" in page
    (folder / "conversations.db").unlink()


def test_a_memory_is_searched_explained_and_forgotten(live: Live, operator: httpx.Client) -> None:
    page = operator.get("/memory", params={"agent": "ann", "question": "apples"}).text
    assert "made of" in page
    assert "Ann likes red apples" in page
    found = page.split("explain=")[1].split('"')[0]
    assert "Why it is known" in operator.get("/memory", params={"agent": "ann", "explain": found}).text
    key = operator.get("/memory", params={"agent": "ann"}).text.split('name="key" value="')[1].split('"')[0]
    with client_of(live, BOB) as bob:
        assert bob.post("/memory/memory/forget", data={"key": key}).status_code == 409
    assert "1 memories are forgotten" in done(operator, "/memory/memory/forget", key=key)
    assert live.memory.record(key) is None


def test_a_user_sees_and_moves_only_what_is_theirs(live: Live) -> None:
    with client_of(live, ANN) as ann, client_of(live, BOB) as bob:
        for page in ("/", "/agents", "/machine", "/meetings", "/audit", "/letters/town", "/agents/town/boss"):
            assert ann.get(page).status_code == 403, page
        listed = ann.get("/conversations").text
        assert "customer/ann" in listed
        assert "customer/bob" not in listed
        assert ann.get("/conversations/chats/customer:bob").status_code == 404
        assert ann.post("/conversations/chats/customer:bob/approve", data={"operation": "op-1"}).status_code == 404
        assert ann.post("/agents/town/boss/stop").status_code == 403
        pears = bob.get("/memory", params={"agent": "ann", "question": "pears apples"}).text
        assert "Bob grows green pears" in pears
        assert "red apples" not in pears
        assert "tier</dt>" not in pears


def test_a_cluster_is_shown_and_a_node_is_drained(live: Live, operator: httpx.Client) -> None:
    class Member:
        name, lease = "north", 5.0

    class TwoNodes:
        drained: list[str] = []  # noqa: RUF012 - one test uses it

        def nodes(self) -> list[Member]:
            return [Member()]

        def status(self) -> dict[str, object]:
            busy = {"name": "teller", "state": "busy", "queued": 9}
            node = {
                "agents": 3,
                "address": "10.0.0.1",
                "ready": True,
                "draining": False,
                "labels": {"zone": "a"},
                "keys": 7,
                "busiest": [busy],
            }
            return {"nodes": {"north": node}, "programs": ["me"], "problems": []}

        def drain(self, name: str) -> None:
            self.drained.append(name)

    cluster = TwoNodes()
    live.console.show(cluster, "two")
    try:
        page = operator.get("/cluster").text
        assert all(text in page for text in ("north", "ready", "10.0.0.1", "zone: a", "keys: 7", "5 s", "teller", "1 of 3"))
        assert "has stopped" in done(operator, "/cluster/two/drain", node="north")
        assert cluster.drained == ["north"]
    finally:
        live.console.hide(cluster)


def test_the_machine_tells_its_threads_and_rates(operator: httpx.Client) -> None:
    page = operator.get("/machine").text
    assert "threads of Coterie" in page
    assert "town" in page
    assert operator.get("/cluster").status_code == 200


def test_minutes_of_meetings_that_are_over_are_read_from_files(live: Live, operator: httpx.Client, tmp_path: Path) -> None:
    folder = live.place / "club" / "meetings"
    folder.mkdir(parents=True)
    (folder.parent / "scenario.json").write_text('{"name": "club", "kind": "meeting"}')
    with Runtime("club") as club:
        club.provide(Meetings(folder=folder))
        boss, guest = club.spawn(Boss, name="chief"), club.spawn(Worker, "quiet", name="visitor")
        boss.ask(Hold((guest,), record="first")).result()
        boss.ask(Close()).result()
    (folder / "torn.jsonl").write_text("this is no line of JSON\n")
    listed = operator.get("/meetings").text
    assert "/minutes/run%20club/first" in listed
    assert "torn.jsonl" in listed
    page = operator.get("/minutes/run club/first").text
    assert "chief: we spend &lt;i&gt;less&lt;/i&gt;" in page
    assert "chief put to the vote: cut (yes, no)" in page
    assert "visitor" in page
    assert ">enough<" in page
    assert operator.get("/minutes/run club/scenario").status_code == 404
    assert operator.get("/minutes/run club/torn").status_code == 409
    assert operator.get("/minutes/nowhere/first").status_code == 404
    assert "first" in operator.get("/meetings?where=run club").text


def test_a_meeting_of_two_hundred_is_shown_with_every_member(live: Live, operator: httpx.Client) -> None:
    guests = tuple(live.runtime.spawn(Worker, "present", name=f"guest-{number}") for number in range(199))
    meeting = live.boss.ask(Hold(guests)).result()
    page = operator.get(f"/meetings/meetings/{meeting}").text
    assert page.count("<code>") == 201
    assert "guest-198" in page
    assert "we spend &lt;i&gt;less&lt;/i&gt;" in page
