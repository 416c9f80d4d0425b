"""A memory as an MCP server, used by the client of the official SDK."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coterie.cli.application import create_application
from coterie.interop.memory_tools import memory_server
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory
from coterie.testing import ManualClock

mcp = pytest.importorskip("mcp")


@pytest.fixture
def memory() -> Iterator[TieredMemory]:
    with TieredMemory(MemoryConfig(maintenance_interval=None), clock=ManualClock()) as memory:
        yield memory


def call(memory: TieredMemory, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """Return the results of calls by a client of the server, in order: structured content, or the text of the error."""

    async def run() -> list[Any]:
        results = []
        async with mcp.Client(memory_server(memory, "ann")) as client:
            for name, arguments in calls:
                result = await client.call_tool(name, arguments)
                results.append(result.content[0].text if result.is_error else result.structured_content)
        return results

    return asyncio.run(run())


def test_the_tools_are_described(memory: TieredMemory) -> None:
    async def run() -> dict[str, Any]:
        async with mcp.Client(memory_server(memory, "ann")) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = asyncio.run(run())
    assert sorted(tools) == ["add_memory", "delete_memory", "list_memories", "search_memories", "update_memory"]
    assert tools["search_memories"].annotations.read_only_hint
    assert tools["delete_memory"].annotations.destructive_hint
    assert "best first" in tools["search_memories"].description


def test_a_client_adds_searches_updates_lists_and_deletes(memory: TieredMemory) -> None:
    added, again = call(
        memory,
        ("add_memory", {"content": "Ich esse gern Äpfel", "metadata": {"topic": "food"}}),
        ("add_memory", {"content": "Ich esse gern Äpfel", "metadata": {"topic": "food"}}),
    )
    assert added["id"] == again["id"]
    assert (added["memory"], added["metadata"]) == ("Ich esse gern Äpfel", {"topic": "food"})
    found, filtered, none, listed, updated, later, gone, empty = call(
        memory,
        ("search_memories", {"query": "apfel"}),
        ("search_memories", {"query": "apfel", "where": {"topic": "work"}}),
        ("search_memories", {"query": "Motorrad"}),
        ("list_memories", {}),
        ("update_memory", {"id": added["id"], "content": "Ich esse gern Birnen"}),
        ("search_memories", {"query": "birne"}),
        ("delete_memory", {"id": added["id"]}),
        ("list_memories", {}),
    )
    assert [each["id"] for each in found["memories"]] == [added["id"]]
    assert filtered == none == empty == {"memories": []}
    assert [each["memory"] for each in listed["memories"]] == ["Ich esse gern Äpfel"]
    assert (updated["memory"], updated["metadata"]) == ("Ich esse gern Birnen", {"topic": "food"})
    assert [each["memory"] for each in later["memories"]] == ["Ich esse gern Birnen"]
    assert gone == {"deleted": [added["id"]]}


def test_a_fact_in_three_parts_replaces_an_earlier_one(memory: TieredMemory) -> None:
    said = {"subject": "Ann", "relation": "lives in"}
    call(memory, ("add_memory", {"content": "Ann lives in Rome", **said, "object": "Rome"}))
    assert isinstance(memory.clock, ManualClock)
    memory.clock.advance(100)
    new, found, then = call(
        memory,
        ("add_memory", {"content": "Ann lives in Paris", **said, "object": "Paris"}),
        ("search_memories", {"query": "Where does Ann live?"}),
        ("search_memories", {"query": "Where does Ann live?", "valid_at": "2001-09-09T01:47:00"}),
    )
    assert new["fact"] == ["Ann", "lives in", "Paris"]
    assert [each["memory"] for each in found["memories"]] == ["Ann lives in Paris"]
    assert [each["memory"] for each in then["memories"]] == ["Ann lives in Rome"]


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("update_memory", {"id": "none", "content": "x"}, "has no memory 'none'"),
        ("delete_memory", {"id": "none"}, "has no memory 'none'"),
        ("add_memory", {"content": " "}, "content is empty"),
        ("add_memory", {"content": "x", "subject": "Ann"}, "or none of them"),
        ("add_memory", {"content": "x", "importance": 5}, "from 0 to 1"),
        ("search_memories", {"query": "x", "limit": 0}, "from 1 to 100"),
        ("search_memories", {"query": "x", "valid_at": "soon"}, "ISO 8601"),
        ("search_memories", {"query": "x", "where": {"a": [1]}}, "compare with"),
        ("list_memories", {"after": "soon"}, "ISO 8601"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(memory: TieredMemory, tool: str, arguments: dict[str, Any], problem: str) -> None:
    (error,) = call(memory, (tool, arguments))
    assert isinstance(error, str)
    assert problem in error
    assert "\n" not in error


def test_the_command_serves_a_file_over_standard_input_and_output(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"

    async def run() -> Any:
        program = "from coterie.cli.application import main; main()"
        arguments = ["-c", program, "mcp", "--memory", str(path), "--agent", "ann"]
        parameters = mcp.StdioServerParameters(command=sys.executable, args=arguments)
        async with mcp.Client(mcp.stdio_client(parameters)) as client:
            return (await client.call_tool("add_memory", {"content": "Die Katze heißt Mitzi"})).structured_content

    assert json.dumps(asyncio.run(asyncio.wait_for(run(), 60))).count("Mitzi") == 1
    with TieredMemory(MemoryConfig(path=path)) as memory:
        assert [each.text for each in AgentMemory(memory, "ann").recall("katze")] == ["Die Katze heißt Mitzi"]


def test_the_command_needs_something_to_serve() -> None:
    result = CliRunner().invoke(create_application(), ["mcp"])
    assert "coterie mcp --memory FILE" in str(result.exception)
    both = CliRunner().invoke(create_application(), ["mcp", "scenario.toml", "--memory", "a.db"])
    assert "served alone" in str(both.exception)
