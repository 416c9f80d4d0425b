"""The suite of durable agents, over both dispatchers and through the codec."""

from typing import Any

import pytest

from coterie import Dedicated, Leased, Runtime
from coterie.runtime import DurablePolicy
from coterie.testing.conformance import DurableConformance


class TestLeased(DurableConformance):
    def runtime(self, store: str, **options: Any) -> Runtime:
        return Runtime(store=store, dispatcher=Leased(), **options)


class TestDedicated(DurableConformance):
    def runtime(self, store: str, **options: Any) -> Runtime:
        return Runtime(store=store, dispatcher=Dedicated(), **options)


class TestStrict(DurableConformance):
    def runtime(self, store: str, **options: Any) -> Runtime:
        return Runtime(store=store, strict=True, **options)


class TestRelaxed(DurableConformance):
    """The same promises, as long as the process ends in order."""

    def runtime(self, store: str, *, durable: DurablePolicy | None = None, **options: Any) -> Runtime:
        policy = durable or DurablePolicy()
        relaxed = DurablePolicy(
            policy.idle, policy.most_active, "relaxed", policy.attempts, policy.snapshot_every, policy.keep_answers
        )
        return Runtime(store=store, durable=relaxed, **options)


class TestPostgres(DurableConformance):
    @pytest.fixture
    def store(self, postgres_url: str) -> str:
        return postgres_url
