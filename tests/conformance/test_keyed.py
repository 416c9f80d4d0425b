"""The suite of the runtime over durable agents, over both dispatchers and through the codec."""

from typing import Any

from coterie import Dedicated, Leased, Runtime
from coterie.testing.conformance import KeyedConformance


class TestLeased(KeyedConformance):
    def runtime(self, **options: Any) -> Runtime:
        return super().runtime(dispatcher=Leased(), **options)


class TestDedicated(KeyedConformance):
    def runtime(self, **options: Any) -> Runtime:
        return super().runtime(dispatcher=Dedicated(), **options)


class TestStrict(KeyedConformance):
    def runtime(self, **options: Any) -> Runtime:
        return super().runtime(strict=True, **options)
