"""Commands and services over a cluster: `run --cluster`, `serve --cluster`, budgets, meetings. With a cluster of Ray of its own."""

import asyncio
import dataclasses
import functools
import json
import os
import shutil
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from coterie.cli import run as run_command
from coterie.cli import runs as runs_command
from coterie.cli import serve as serve_command
from coterie.cluster import Cluster
from coterie.errors import InvalidSetting, ScenarioError
from coterie.errors.cluster import ClusterUnavailable, RefusedByNode
from coterie.interop import AccessToken, ServingOptions
from coterie.interop.front import create_front
from coterie.meetings import Meetings
from coterie.orchestrator import load_run, load_scenario, run_scenario
from coterie.orchestrator.assistants.opening import LoadedAssistant, load_assistant
from coterie.orchestrator.assistants.spreading import spread
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.hosting import host_on
from coterie.testing.waiting import eventually
from tests.cluster.conftest import Machines
from tests.cluster.people import AskModel, ModelUser
from tests.network.people import Call, Guest, Heard, Say
from tests.runs import LONG
from tests.servers import Postgres

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOCK = Path(__file__).parent / "flock" / "flock.toml"
DESK = Path(__file__).parent / "desk"
TOKEN = "t" * 32
FROZEN = 30.0 if LONG else 0.5
"""Seconds for which a node stands still after another has taken over."""


def settled(cluster: Cluster, *names: str, without: str = "") -> None:
    """Wait until these are the nodes, and ready, and a runtime is gone."""

    def over() -> bool:
        ready = [each for each in cluster.nodes() if each.ready and each.runtime != without]
        return [each.name for each in ready] == sorted(names)

    eventually(over, timeout=40.0)


# Scenarios.


@pytest.mark.parametrize(
    "scenario", [EXAMPLES / "commons/bargaining.toml", EXAMPLES / "epidemic/epidemic.toml", FLOCK], ids=lambda path: path.stem
)
def test_a_scenario_over_nodes_has_the_digest_of_one_process(cluster: Cluster, scenario: Path) -> None:
    loaded = load_scenario(scenario)
    alone, over_nodes = run_scenario(loaded), run_scenario(loaded, host=host_on(cluster))
    assert (over_nodes.digest, over_nodes.forfeits) == (alone.digest, alone.forfeits)


def test_a_run_goes_on_over_nodes_after_an_interruption_and_the_death_of_a_node(cluster: Cluster, tmp_path: Path) -> None:
    loaded = load_scenario(FLOCK).with_model({"name": "test"})
    alone = run_scenario(loaded)
    killed = cluster.node("b")

    class Interrupted(Exception):
        pass

    def interrupt(step: dict[str, int]) -> None:
        if step["number"] == 3:
            os.kill(killed.pid, signal.SIGKILL)
            raise Interrupted

    with RunFolder.create(tmp_path, "flock", FLOCK.read_text()) as folder, pytest.raises(Interrupted):
        run_scenario(loaded, folder, interrupt, host=host_on(cluster))
    with RunFolder.open(folder.path) as folder:
        record = run_scenario(load_run(folder.path)[0], folder, resume=True, host=host_on(cluster))
    assert record.digest == alone.digest
    # The program has asked the model, and recorded it.
    assert record.costs[-1]["requests"] > 0
    assert (folder.path / "model.jsonl").stat().st_size > 0


def test_the_commands_run_and_resume_over_a_cluster(
    cluster: Cluster, machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command.run(FLOCK, tmp_path, quiet=True, report=False, cluster=machines.address)
    shown = capsys.readouterr().out
    assert run_scenario(load_scenario(FLOCK)).digest in shown
    (folder,) = tmp_path.iterdir()
    runs_command.resume_run(folder, quiet=True, report=False, cluster=machines.address)
    assert run_scenario(load_scenario(FLOCK)).digest in capsys.readouterr().out
    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        run_command.run(FLOCK, tmp_path / "none", cluster="127.0.0.1:1")
    with pytest.raises(InvalidSetting, match="a copy of the token"):
        run_command.run(FLOCK, tmp_path / "none", cluster="127.0.0.1:1", token_file=tmp_path / "token")
    with pytest.raises(InvalidSetting, match="the option --cluster"):
        run_command.run(FLOCK, tmp_path / "none", token_file=tmp_path / "token")
    assert not (tmp_path / "none").exists()


def test_a_scenario_that_nodes_cannot_run_is_one_clear_error(cluster: Cluster) -> None:
    with pytest.raises(ScenarioError, match="a run of the kind 'tic-tac-toe' is no simulation"):
        run_scenario(load_scenario(EXAMPLES / "tic_tac_toe/game.toml"), host=host_on(cluster))
    loaded = load_scenario(FLOCK)
    elsewhere = loaded.parameters.model_copy(update={"kind": "only_here:Flock"})
    with pytest.raises(RefusedByNode, match=r"node a: only_here:Flock:\s+kind: there is no module 'only_here'"):
        run_scenario(dataclasses.replace(loaded, parameters=elsewhere), host=host_on(cluster))


# Conversations.


class Client:
    """A front end of AG-UI."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def say(self, thread: str, text: str, name: str) -> str:
        """Send a message, and return the text of the answer."""
        events = await self.events(thread, text, name)
        assert "RUN_FINISHED" in events, events
        return str((await self.transcript(thread))[-1]["content"])

    async def events(self, thread: str, text: str, name: str) -> str:
        """Send a message, and return the events of the answer."""
        message = {"id": name, "role": "user", "content": text}
        body = {"threadId": thread, "runId": f"run-{name}", "state": {}, "messages": [message], "tools": [], "context": []}
        response = await self.http.post("/agui", json={**body, "forwardedProps": {}})
        assert response.status_code == 200, response.text
        return response.text

    async def transcript(self, thread: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get(f"/agui/{thread}/transcript")).json()["messages"]
        return found


def desk_in(folder: Path) -> LoadedAssistant:
    shutil.copytree(DESK, folder / "desk", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "desk" / "desk.toml"
    file.write_text(file.read_text().replace("replaced by the test", str(folder / "ledger")))
    return load_assistant(file)


def with_fronts(
    cluster: Cluster, loaded: LoadedAssistant, store: str, talk: Callable[[Client, Client], Coroutine[Any, Any, None]]
) -> None:
    """Talk to two fronts of one assistant."""
    options, token = ServingOptions(), AccessToken(TOKEN)
    with spread(cluster, loaded, store, options=options) as one, spread(cluster, loaded, store, options=options) as other:
        applications = [create_front(places, token, name="desk", options=options) for places in (one, other)]

        def client(application: Any) -> httpx.AsyncClient:
            transport, headers = httpx.ASGITransport(application), {"Authorization": f"Bearer {TOKEN}"}
            return httpx.AsyncClient(transport=transport, base_url="http://front", headers=headers, timeout=60.0)

        async def both() -> None:
            async with client(applications[0]) as first, client(applications[1]) as second:
                await talk(Client(first), Client(second))

        asyncio.run(both())


def test_conversations_are_on_the_nodes_and_go_on_elsewhere_when_a_node_dies(
    cluster: Cluster, postgres_process: Postgres, tmp_path: Path
) -> None:
    settled(cluster, "a", "b")
    ledger = tmp_path / "ledger"

    async def talk(one: Client, other: Client) -> None:
        threads = [f"thread-{number}" for number in range(8)]
        first = await asyncio.gather(*(one.say(thread, "hello", "m1") for thread in threads))
        nodes = {each.pid: each.name for each in cluster.nodes()}
        assert {nodes[int(text.split()[-1])] for text in first} == {"a", "b"}
        # Another front finds the same nodes.
        again = await asyncio.gather(*(other.say(thread, "hello again", "m2") for thread in threads))
        assert [text.split()[-1] for text in again] == [text.split()[-1] for text in first]
        killed = int(first[0].split()[-1])
        thread = threads[0]
        await one.say(thread, "book a table", "m3")
        assert await asyncio.to_thread(lambda: eventually(lambda: ledger.read_text() == "book a table\n", timeout=20.0)) is None
        os.kill(killed, signal.SIGKILL)
        # The same message again, as a front end does that got no answer, and a new one: each is told once.
        answer = await other.say(thread, "are you there?", "m4")
        await one.say(thread, "are you there?", "m4")
        assert int(answer.split()[-1]) != killed
        said = [each["content"] for each in await one.transcript(thread) if each["role"] == "user"]
        assert said == ["hello", "hello again", "book a table", "are you there?"]
        # It may have been booked, or not: the ledger says so, and it is not booked again.
        operations = (await one.http.get(f"/agui/{thread}/operations")).json()
        assert [each["state"] for each in operations["operations"]] == ["unknown"]
        assert ledger.read_text() == "book a table\n"
        plain = {"model": "desk", "messages": [{"role": "user", "content": "hello"}]}
        assert (await one.http.post("/v1/chat/completions", json=plain)).json()["choices"][0]["message"]["content"]
        assert (await one.http.post("/agui", content=b"{")).status_code == 400
        assert (await one.http.get("/agui/x/transcript", headers={"Authorization": "Bearer wrong"})).status_code == 401

    with_fronts(cluster, desk_in(tmp_path), postgres_process.fresh(), talk)


@pytest.mark.stress
def test_a_node_that_was_frozen_writes_and_answers_nothing_in_conversations_that_another_has_taken_over(
    cluster: Cluster, postgres_process: Postgres, tmp_path: Path
) -> None:
    settled(cluster, "a", "b")
    ledger = tmp_path / "ledger"

    async def talk(one: Client, other: Client) -> None:
        frozen = cluster.node("b")
        threads = [f"thread-{number}" for number in range(8)]
        first = await asyncio.gather(*(one.say(thread, "hello", "m1") for thread in threads))
        thread = next(thread for thread, text in zip(threads, first, strict=True) if int(text.split()[-1]) == frozen.pid)
        # It is in the middle of an answer when it freezes, which it would write and send afterwards.
        interrupted = asyncio.create_task(one.events(thread, "think", "m2"))
        thinks = functools.partial(eventually, lambda: ledger.exists() and ledger.read_text() == f"thinks {frozen.pid}\n", 20.0)
        await asyncio.to_thread(thinks)
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            # The same message again, as a front end does that got no answer.
            answer = await other.say(thread, "think", "m2")
            taken_over = await other.transcript(thread)
            await asyncio.sleep(FROZEN)
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        assert int(answer.split()[-1]) != frozen.pid
        # The front has sent it again to the other node if nothing had come back, or says that the answer was lost.
        assert _said(await interrupted) in [("", "RUN_ERROR"), (answer, "RUN_FINISHED")]
        await asyncio.to_thread(functools.partial(settled, cluster, "a", "b", without=frozen.runtime))
        assert await one.transcript(thread) == taken_over
        assert [each["content"] for each in taken_over if each["role"] == "user"] == ["hello", "think"]
        assert sum(each["role"] == "assistant" for each in taken_over) == 2
        assert (await one.say(thread, "hello again", "m3")).startswith("3 said")

    with_fronts(cluster, desk_in(tmp_path), postgres_process.fresh(), talk)


def _said(text: str) -> tuple[str, str]:
    """Return the text of an answer that came as events, and the kind of the last event."""
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    said = "".join(each["delta"] for each in events if each["type"] == "TEXT_MESSAGE_CONTENT")
    return said, events[-1]["type"]


def test_serving_over_a_cluster_needs_a_database_that_nodes_share(tmp_path: Path) -> None:
    for store in (None, "chats.db"):
        with pytest.raises(InvalidSetting, match="postgresql://USER:PASSWORD@HOST:PORT/NAME: with --cluster"):
            serve_command.serve(DESK / "desk.toml", store=store, cluster="127.0.0.1:1", out=tmp_path)
    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        serve_command.serve(DESK / "desk.toml", store="postgresql://nowhere/x", cluster="127.0.0.1:1", out=tmp_path)


# Limits and budgets of models.


def test_a_budget_holds_over_nodes_also_when_one_dies_with_what_it_has_asked(cluster: Cluster) -> None:
    settled(cluster, "a", "b")
    askers = [cluster.spawn(ModelUser, "dear", 60, node=node) for node in ("a", "b")]
    first = [each.ask(AskModel(10)).result(30) for each in askers]
    assert first == [10, 10]
    keeper = cluster.find("budget-dear")
    assert keeper is not None
    where = next(each for each in cluster.nodes() if each.runtime == keeper.address.node)
    other = next(each for each, node in zip(askers, ("a", "b"), strict=True) if node != where.name)
    os.kill(where.pid, signal.SIGKILL)
    settled(cluster, "a", "b", without=where.runtime)
    # What was spent is in the store: 20 of 60.
    assert other.ask(AskModel(100), timeout=60).result(60) == 40
    assert cluster.spawn(ModelUser, "dear", 60).ask(AskModel(1)).result(30) == 0


# Meetings.


def test_a_meeting_over_nodes_goes_on_when_one_of_them_is_killed(cluster: Cluster) -> None:
    settled(cluster, "a", "b")
    if cluster.runtime.find("host") is None:
        cluster.runtime.provide(Meetings(patience=20.0))
    host = cluster.runtime.spawn(Guest, name="host")
    there, lost = (cluster.spawn(Guest, name=f"guest-{node}", node=node) for node in ("a", "b"))
    meeting = host.ask(Call([there, lost]), timeout=60).result(60)
    for agent, text in ((host, "one"), (there, "two"), (lost, "three")):
        assert agent.ask(Say(meeting, text), timeout=60).result(60) > 0
    os.kill(cluster.node("b").pid, signal.SIGKILL)
    assert there.ask(Say(meeting, "four"), timeout=60).result(60) > 0
    assert host.ask(Say(meeting, "five"), timeout=60).result(60) > 0
    for agent in (host, there):
        heard = functools.partial(agent.ask, Heard(meeting))
        eventually(lambda heard=heard: heard().result(30) == ["one", "two", "three", "four", "five"], timeout=20.0)  # type: ignore[misc]
