"""Every example runs, and prints what it is about."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PRINTED = {
    "approval": (
        r"(?s)clerk: The treasurer is asked\.\nop-1 awaiting approval 500\nann: 'ann' may not decide on op-1: 500 needs .*"
        r"treasurer: .*its arguments were changed.*clerk: 50 paid to the baker\."
    ),
    "bank": r"the bank has 100,000\nthe bank has 100,000",
    "breakfast": (
        r": Good morning!\nNora Lindqvist: Morning. Bread\?\nSamuel Okafor: Morning. Bread\?\nNora Lindqvist: Always.\n"
        r"Ilse Brandt: tea\nMei Tanaka: coffee\nNora Lindqvist: coffee\nSamuel Okafor: tea"
    ),
    "counter": r"answers: \[11, 12, 13, 14, 15\]",
    "crash": r"(?s)(?=.*balance: 7)(?=.*teller is back after ValueError: -1 coins).*",
    "budget_meeting": r"\d+ each, after \d+ utterances; left at the end: nets, boats",
    "blocking": r"50 agents sleep; the others answer in \d+\.\d ms",
    "newsroom": r"Fish: what nobody told you\nLakes: .*\nQuotas: .*",
    "work": r"\['5 coins paid', '5 coins paid'\]: paid 1 time, after 2 retries; 19053 bits",
    "conversation": (
        r"(?s)clerk: op-1 send_parcel is changing what weigh_parcel reads\nclerk: It rains in Oslo\.\n"
        r".*67% handing over\nclerk: Meanwhile your parcel has left for Oslo\."
    ),
    "commons_in_code": (
        r"10 each: 12 months, no collapse, harvest 600\n11 each: collapse in month 4, harvest 195\n"
        r"12 each: collapse in month 3, harvest 160\n20 each: collapse in month 1, harvest 100\n"
        r"one greedy: collapse in month 4, harvest 184"
    ),
    "dilemma": r"cooperators: \d+ digests: 1",
    "life": r"moved by \(1, 1\): True",
    "mcp_tools": (r"librarian: Emma is on shelf 7\.\n +0% cutting\n +33% sewing\n +67% gluing\nlibrarian: Emma is bound\."),
    "long_history": (
        r"60 turns, of which the last prompt shows \d+\nit begins: The user has counted fish\.\n"
        r"clerk: he treasure is under the oak\."
    ),
    "market_research": (
        r"4 personas from files, 60 sampled\nprice \d\.\d, coffee \d+%\nwarm against plain: \+0\.\d+, p 0\.\d+\n"
        r"10 lines, 0 turns missed\nreport: report\.html, report\.md"
    ),
    "models": (
        r"\['you said fish\? 0', 'you said fish\? 1', '\(no more requests\)'\]\n8 answers, at most [12] at once\n"
        r"replayed the same: True"
    ),
    "changing_facts": (
        r"likes tea, lives in Bonn\nRome before: I live in Rome, near the river\.\n"
        r"Bonn now: Ich bin letzte Woche nach Bonn gezogen\.\n\['Bonn'\]"
    ),
    "remembering": (
        r"(?s)monday, ann: .*monday, assistant: I shall remember that\..*monday, assistant: Das merke ich mir\..*"
        r"A BICYCLE\?\ntuesday, assistant: my sister bought two bicycles in Rome\..*"
        r"her\?\ntuesday, assistant: ich jeden Morgen Äpfel aus Straßburg esse\..*"
        r"Hund\?\ntuesday, assistant: Das weiß ich nicht\."
    ),
    "streams": (
        r"and then the fish went on and then the fish\ninterrupted after 1[0-4] words"
        r"|interrupted after 1[0-4] words\nand then the fish went on and then the fish"
    ),
    "team": (
        r"you: gulls\n  \(ask_researcher: look up\)\ndesk: Our researcher says: I have read that gulls eat fish\.\n"
        r"you: my bill is wrong\n  \(billing speaks now: a bill\)\nbilling: I have refunded 5 coins\."
    ),
    "team_over_nodes": r"asked as an agent: gulls eat fish\ndesk: The researcher on the other node says: penguins eat fish",
    "trade": r"(?:(?:lockstep|sync-points|pipelines|tokens): 40 coins, the poorest has 0, refused: True\n?){4}",
    "two_processes": r"steps from 27 to 1: 111\nanswered by process child",
    "two_nodes": r"answered \d+, lost \d+, in all 100",
}


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_its_documented_output(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(PRINTED[name], done.stdout.strip()), done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100
