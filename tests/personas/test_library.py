"""Documents are found by words, cited by marks, and read whole or with one clear error."""

from pathlib import Path

import pytest

from coterie import Runtime
from coterie.errors import InvalidSetting
from coterie.errors.personas import DocumentUnreadable
from coterie.personas import Library, Persona, Population, RuleMind, Situation, act, perceived, say, when
from coterie.personas.mind.state import StimulusKind

HANDBOOK = """# Warranty

The warranty of an oven lasts three years. It covers the motor and the door.

A broken door is replaced at home.

# Cleaning

Clean the oven with warm water. Never use sand.
"""


def test_passages_are_found_and_cited() -> None:
    library = Library({"handbook": HANDBOOK, "menu": "Bread.\n\nSoup."}, length=80)
    found = library.search("How long is the warranty of the ovens?")
    assert found[0].text.startswith("Warranty: The warranty of an oven lasts three years.")
    assert found[0].mark == "[handbook 1]"
    assert library.search("zebra") == []
    cited = library.citations("Three years [handbook 1], not ten [handbook 9] [handbook 1].")
    assert cited.passages == (found[0],)
    assert cited.unknown == ("[handbook 9]",)
    assert "- [handbook 1] Warranty:" in library.with_sources("Three years [handbook 1].")
    assert library.with_sources("None.") == "None."


def test_a_persona_looks_up_its_documents_and_cites_them() -> None:
    def answer(situation: Situation) -> str:
        looked = next(each.content for each in situation.stimuli if each.kind is StimulusKind.RESULT)
        return "It lasts three years " + looked[looked.index("[") : looked.index("]") + 1]

    library = Library({"handbook": HANDBOOK})
    with Runtime() as runtime:
        population = Population(runtime, documents=library)
        mind = RuleMind(when(perceived(StimulusKind.RESULT), say(answer)), act("LOOK_UP", "warranty of the oven"))
        ada = population.add(Persona.of("Ada"), mind)
        episode = ada.ask("How long is the warranty?").result()
        assert episode.said == ("It lasts three years [handbook 1]",)
        assert [passage.document for passage in library.citations(episode.text).passages] == ["handbook"]


def test_files_are_loaded_by_name_and_faults_are_named(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "handbook.md").write_text(HANDBOOK)
    (tmp_path / "deep" / "menu.txt").write_bytes("\ufeffBröd".encode())
    library = Library.load(tmp_path)
    assert sorted(library) == ["handbook", "menu"]
    assert library["menu"] == "Bröd"
    (tmp_path / "scan.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DocumentUnreadable, match=r"scan\.txt: it is no text in UTF-8; convert it"):
        Library.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DocumentUnreadable, match="there is no file in it"):
        Library.load(tmp_path / "empty")
    with pytest.raises(DocumentUnreadable, match="another document is called handbook"):
        Library.load(tmp_path / "handbook.md", tmp_path / "handbook.md")
    with pytest.raises(DocumentUnreadable, match="cannot be read"):
        Library.load(tmp_path / "none.md")
    with pytest.raises(InvalidSetting, match="without brackets"):
        Library({"a[1]": "x"})


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "One sentence is here. " * 20
    passages = Library({"long": text}, length=100).passages("long")
    assert all(len(passage.text) <= 100 and passage.text.endswith(".") for passage in passages)
    assert " ".join(passage.text for passage in passages).split() == text.split()
