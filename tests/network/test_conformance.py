"""The suite of the runtime over the network: each message and each answer goes to another process and comes back."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from coterie import Leased, Runtime
from coterie.network import Topology
from coterie.testing.conformance import RuntimeConformance
from tests.network.mirror import ThroughAnotherProcess
from tests.network.nodes import Process, topology, write


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    # Some tests have two runtimes at once.
    nodes = topology("mirror", *(f"suite-{n}" for n in range(4)))
    path = write(tmp_path_factory.mktemp("network") / "network.toml", nodes)
    process = Process("-m", "tests.network.mirror", str(path), cwd=Path(__file__).parents[2])
    assert process.line() == "ready"
    yield nodes
    process.end()


class TestOverTheNetwork(RuntimeConformance):
    sender_sees_full = False
    arrives_at_once = False
    nodes: ClassVar[Topology]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    @pytest.fixture(autouse=True)
    def meet(self, mirror: Topology) -> None:
        type(self).nodes = mirror

    def runtime(self, **options: Any) -> Runtime:
        name = f"suite-{next(self.numbers) % 4}"
        pair = {each: self.nodes.nodes[each] for each in ("mirror", name)}
        transport = ThroughAnotherProcess(replace(self.nodes, nodes=pair), name)
        return Runtime(dispatcher=Leased(), strict=True, transport=transport, link_patience=10.0, **options)
