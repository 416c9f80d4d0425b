"""The suite of the runtime, over every dispatcher and every way that a message can take."""

from typing import Any

from coterie import Dedicated, Leased, Runtime
from coterie.testing import LossyTransport
from coterie.testing.conformance import RuntimeConformance


class TestLeased(RuntimeConformance):
    def runtime(self, **options: Any) -> Runtime:
        return Runtime(dispatcher=Leased(), **options)


class TestDedicated(RuntimeConformance):
    def runtime(self, **options: Any) -> Runtime:
        return Runtime(dispatcher=Dedicated(), **options)


class TestLeasedStrict(RuntimeConformance):
    def runtime(self, **options: Any) -> Runtime:
        return Runtime(dispatcher=Leased(), strict=True, **options)


class TestDedicatedStrict(RuntimeConformance):
    def runtime(self, **options: Any) -> Runtime:
        return Runtime(dispatcher=Dedicated(), strict=True, **options)


class TestOverARepeatingTransport(RuntimeConformance):
    """Each frame may come twice; every message is handled once."""

    sender_sees_full = False

    def runtime(self, **options: Any) -> Runtime:
        transport = LossyTransport(seed=1, duplicate=0.3)
        return Runtime(dispatcher=Leased(), strict=True, transport=transport, link_patience=10.0, **options)


class TestOverADisorderlyTransport(RuntimeConformance):
    """Frames are late, come twice, and overtake each other; the link puts that right."""

    sender_sees_full = False
    arrives_at_once = False

    def runtime(self, **options: Any) -> Runtime:
        transport = LossyTransport(seed=2, duplicate=0.2, reorder=0.3, delay=(0.0, 0.001), behind=0.002)
        return Runtime(dispatcher=Leased(), strict=True, transport=transport, link_patience=10.0, **options)
