"""The report of a run: whole months, whole legends, and nothing that is hidden behind something else."""

import re

from coterie.orchestrator.scenario import parse_scenario
from coterie.rounds.engine.timeline import Span
from coterie_examples.commons import plots
from coterie_examples.commons.scenario import CommonsScenario
from tests.examples.commons.playing import commons, play

SCENARIO = """
kind = "commons"
name = "one"
mode = "tokens"
[[agents]]
name = "Ada"
count = {count}
strategy = {{ rule = "constant", amount = 50 }}
"""


def fishers(count: int) -> CommonsScenario:
    return commons(parse_scenario(SCENARIO.format(count=count)))


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_single_month_is_one_month_on_every_axis() -> None:
    months, _ = play(fishers(3))
    assert len(months) == 1
    for drawn in (plots.stock(months, 100), plots.harvest(months), plots.inequality(months)):
        assert "month" in texts(drawn)
        assert "1" in texts(drawn)
        assert not any(re.fullmatch(r"0\.\d\d|1\.\d+", text) for text in texts(drawn) if text != "1.0")
    assert {"Ada-1", "Ada-2", "Ada-3"} <= set(texts(plots.harvest(months)))


def test_many_fishers_are_shown_by_their_catch_without_names() -> None:
    months, _ = play(fishers(20))
    shown = texts(plots.harvest(months))
    assert "fishers, by what they caught" in shown
    assert not any(text.startswith("Ada") for text in shown)


def test_there_are_no_waits_before_the_first_arrival_and_fishers_keep_the_order_of_the_file() -> None:
    _, result = play(fishers(11))
    assert all(span.waited_for for span in result.timeline if span.stage == "the slowest")
    shown = texts(plots.timeline(result.timeline))
    assert [text for text in shown if text.startswith("Ada")] == [f"Ada-{number}" for number in range(11, 0, -1)]
    assert "the slowest" not in shown


def test_the_time_line_is_in_the_unit_that_it_can_be_read_in() -> None:
    for seconds, unit in ((0.2, "milliseconds"), (20.0, "seconds")):
        shown = texts(plots.timeline([Span("ada", 1, "fish", 0.0, seconds)]))
        assert any(text.startswith(f"{unit};") for text in shown)
