"""One page of metrics for all rooms, and the dashboard that reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coterie import Runtime
from coterie.conversation import Conversations
from coterie.meetings import MeetingCollector, Meetings
from coterie.memory import MemoryCollector, TieredMemory
from coterie.models import ModelGateway, ModelRequest, RuleModel, TextMessage
from coterie.rounds import Graph, RoundsCollector, Simulation, per_agent
from coterie.runtime import RuntimeCollector
from coterie.storage import SqliteDatabase
from coterie.telemetry import StorageCollector, prometheus_text
from coterie.work import ActionSystem, ProcessingEngine, WorkCollector
from coterie.world import World, WorldCollector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    with (
        ModelGateway(RuleModel(lambda _: "hello"), name="rules") as gateway,
        Runtime("shop", store=folder / "agents.db") as runtime,
        Conversations(gateway, store=folder / "chats.db", runtime=runtime) as conversations,
        TieredMemory() as memory,
        TieredMemory() as other,
        ProcessingEngine() as engine,
        ActionSystem() as actions,
    ):
        gateway.ask_blocking(ModelRequest(exchanges=(TextMessage("user", "hi"),)))
        meetings = Meetings()
        runtime.provide(meetings)
        yield prometheus_text(
            *conversations.collectors(),
            MemoryCollector(memory, name="one"),
            MemoryCollector(other, name="two"),
            WorldCollector(World({"lake": 100})),
            WorkCollector(engine, actions),
            MeetingCollector(meetings),
            RoundsCollector(Simulation(World(), [], Graph.chain(per_agent(print)))),
        )


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a page. Raises `AssertionError` if a family or a sample is there twice."""
    assert len(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) == len(set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)))
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items())))
            assert name not in found, f"{name} is there twice"
            found[name] = sample.value
    return found


def test_all_rooms_are_on_one_page_and_families_of_one_name_are_one(page: str) -> None:
    found = samples(page)
    (shop,) = [name[1] for name in found if name[0] == "coterie_agents_spawned_total"]
    assert shop.startswith("runtime=shop")
    assert found["coterie_agents_spawned_total", shop] >= 1
    assert found["coterie_durable_agents_active", shop] == 0
    assert found["coterie_link_frames_total", "outcome=sent", shop] == 0
    (requests,) = [
        value for name, value in found.items() if name[0] == "coterie_model_requests_total" and "outcome=answered" in name
    ]
    assert requests == 1
    assert {name[1] for name in found if name[0] == "coterie_memory_stores_total"} == {"memory=one", "memory=two"}
    assert found["coterie_meetings_open",] == 0
    assert found["coterie_world_keys", "world=world"] == 1
    assert min(value for name, value in found.items() if name[0] == "coterie_storage_commits_total") > 0
    assert sum(value for name, value in found.items() if name[0] == "coterie_threads") >= 1


def test_a_database_that_two_parts_share_is_there_once(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "shared.db") as database:
        assert samples(prometheus_text(StorageCollector(database, database)))


def test_the_dashboard_asks_only_for_metrics_that_there_are(page: str) -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    known = {re.sub(r"_(total|sum|count)$", "", each) for each in re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)}
    asked = {
        re.sub(r"_(total|sum|count)$", "", name)
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        for name in re.findall(r"coterie_\w+", target["expr"])
    }
    assert len(asked) > 20
    assert asked <= known
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_the_agents_of_a_runtime_are_on_a_page_of_their_own() -> None:
    with Runtime("one") as one, Runtime("two") as two:
        found = samples(prometheus_text(RuntimeCollector(one), RuntimeCollector(two)))
        assert {name[1] for name in found if name[0] == "coterie_agents_spawned_total"} == {
            f"runtime={each.node}" for each in (one, two)
        }
