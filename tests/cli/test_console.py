"""`coterie console` and `--console`: a link, a run that ends by itself where no terminal is, and one line for what is wrong."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from coterie.conversation import Conversation
from coterie.models import RuleModel

MAIN = "from coterie.cli import main; main()"
TEN = Path(__file__).parents[2] / "examples/commons/ten-each.toml"


def coterie(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - our own


def test_a_run_with_a_console_prints_its_link_and_ends_by_itself(tmp_path: Path) -> None:
    words = ("run", str(TEN), "--console", "--console-port", "0", "--no-report", "-q", "--out", str(tmp_path))
    out, _ = coterie(*words).communicate(timeout=50)
    assert re.search(r"Watch it at http://127\.0\.0\.1:\d+/runs/ten-each-[\d-]+\?token=\S+\n", out)
    assert "digest" in out
    refused, _ = coterie("run", str(TEN), "--paused").communicate(timeout=50)
    assert "--console" in refused


def test_the_console_shows_runs_and_stored_conversations_until_it_is_interrupted(tmp_path: Path) -> None:
    with Conversation(RuleModel(lambda _: "hello"), store=tmp_path / "old.db", namespace=("customer", "7")) as chat:
        asyncio.run(chat.ready())
    process = coterie("console", str(tmp_path), str(tmp_path / "old.db"), "--port", "0", "--read-only")
    assert process.stdout is not None
    link = process.stdout.readline().split()[-1]
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(link)
        conversations = browser.get(link.replace("/?token", "/conversations?token"))
    assert "/conversations/old/customer%3A7" in conversations.text
    assert "No run found in" in page.text
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0
