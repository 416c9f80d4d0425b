"""The metrics of a runtime in the Prometheus format."""

from prometheus_client.parser import text_string_to_metric_families

from coterie import Agent, Request, Runtime, on
from coterie.runtime import RuntimeCollector


class Ask(Request[int]):
    pass


class Answerer(Agent):
    @on
    def answer(self, message: Ask) -> int:
        return 1


def test_prometheus_parses_the_counts_of_a_runtime_and_the_states_of_its_agents() -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Answerer)
        for _ in range(3):
            agent.ask(Ask()).result(10)
        runtime.spawn(Answerer).stop().result(10)
        text = RuntimeCollector(runtime).text()
    samples = {
        (sample.name, sample.labels.get("outcome") or sample.labels.get("state")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["coterie_messages_sent_total", None] == 3
    assert samples["coterie_messages_ended_total", "handled"] == 3
    assert samples["coterie_agents_spawned_total", None] == 2
    assert sum(value for (name, _), value in samples.items() if name == "coterie_agents") == 1
