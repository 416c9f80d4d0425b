"""`coterie chat`, as a person or a script uses it: the three scenarios of the telephone company, and what goes wrong."""

import re
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from coterie.testing.models import ModelServer, Served
from tests.cli.talking import CODE, COTERIE, TELCO, Talk, scenario, talking

ALICE = "07700 900101"


def log_in(talk: Talk, number: str = ALICE) -> None:
    talk.say(number)
    talk.expect("6 digits of the code.")
    talk.say(CODE)


def customers(folder: Path, number: str = "+447700900101") -> tuple[str, str]:
    with closing(sqlite3.connect(folder / "runs" / "telco" / "customers.db")) as database, database:
        row: tuple[str, str] = database.execute(
            "SELECT status, package FROM telco_customers WHERE number = ?", (number,)
        ).fetchone()
    return row


def test_a_long_operation_with_status_questions(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=0.4)
    with talking("chat", path, "--out", tmp_path / "runs") as talk:
        talk.expect("telco: Hello!")
        talk.say("I want to close my contract")
        talk.expect("What is your telephone number?")
        log_in(talk)
        assert "costs £" in talk.expect("Shall I go on?")
        assert customers(tmp_path) == ("active", "everyday")
        talk.say("yes")
        talk.expect("The closing of your contract is under way. It usually takes about 4 s.")
        talk.say("how far is it?")
        assert re.search(r"The closing of your contract is \d+ % done, \w+", talk.expect("in all."))
        talk.say("and what does roaming in Spain cost?")
        talk.expect("Spain is in zone Europe.")
        talk.say("is it done yet?")
        rest = talk.expect("in all.") + talk.end()
    assert rest.count("Contract C-1001 is closed. The final bill is £17.50.") == 1
    assert talk.process.returncode == 0
    assert customers(tmp_path)[0] == "closed"


def test_a_quick_question_is_answered_at_once_and_nothing_stays_under_way(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    done = subprocess.run(  # noqa: S603 - our own command
        [COTERIE, "chat", path, "--out", tmp_path / "runs"],
        input="what packages are there?\n\n   \nwhat is running?\nI need 50 GB\n",
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert "telco: These are our packages. Starter 5: 5 GB, 200 minutes" in done.stdout
    assert "telco: There is nothing under way." in lines
    assert "telco: For 50 GB I recommend Plus 60" in done.stdout
    assert done.stderr == ""
    assert "[op-" not in done.stdout.replace("[op-1 list available packages] succeeded", "")


def test_interactive_in_a_terminal(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=0.4)
    with talking("chat", path, "--out", tmp_path / "runs", terminal=True) as talk:
        talk.expect("you:")
        talk.say("show me my bill")
        talk.expect("telephone number?")
        log_in(talk)
        talk.expect("is under way")
        talk.expect("░")
        talk.say("change my package to plus 60")
        talk.expect("Shall I go on?")
        talk.say("no")
        talk.expect("Nothing has been done.")
        talk.expect("Your bills: 20")
        talk.say("what is my package?")
        talk.expect("Everyday 20")
        talk.expect("your credit is £12.50.")
        talk.key(b"z")
        talk.expect("z")
        talk.key(b"\x03")
        talk.say("thanks")
        talk.expect("You are welcome.")
        talk.expect("you:")
        talk.key(b"\x03")
        shown = talk.end()
    assert talk.process.returncode == 0
    assert "Traceback" not in shown
    assert "unfinished" not in shown


def test_operations_that_run_at_the_exit_are_listed_and_resumed(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=50)
    with talking("chat", path, "--out", tmp_path / "runs", "--no-wait") as talk:
        talk.say("close my contract")
        log_in(talk)
        talk.expect("Shall I go on?")
        talk.say("yes")
        talk.expect("is under way")
        assert "1 operation is unfinished; go on with: coterie chat" in talk.end()
    path = scenario(tmp_path, time_scale=0.05)
    with talking("chat", path, "--out", tmp_path / "runs", "--resume") as talk:
        shown = talk.end()
    assert "you: close my contract" in shown
    assert shown.count("Contract C-1001 is closed.") == 1


def test_killed_in_the_middle_of_a_tool_it_goes_on_and_nothing_is_done_twice(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=50)
    with talking("chat", path, "--out", tmp_path / "runs", "--user", "alice") as talk:
        talk.say("buy a roaming pass for Italy for a week")
        log_in(talk)
        talk.expect("Shall I go on?")
        talk.say("yes")
        talk.expect("is under way")
        talk.say("how far is it?")
        talk.expect("is 10 % done, checking the destination")
        talk.kill()
    path = scenario(tmp_path, time_scale=0.05)
    with talking("chat", path, "--out", tmp_path / "runs", "--user", "alice", "--resume") as talk:
        talk.say("is it done?")
        shown = talk.end()
    assert shown.count("Europe Week is active until") >= 1
    with closing(sqlite3.connect(tmp_path / "runs" / "telco" / "customers.db")) as database, database:
        assert database.execute("SELECT count(*) FROM telco_customer_passes").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM telco_changes").fetchone() == (1,)
    with talking("chat", path, "--out", tmp_path / "runs", "--user", "alice", "--resume") as talk:
        talk.end()
    with closing(sqlite3.connect(tmp_path / "runs" / "telco" / "customers.db")) as database, database:
        assert database.execute("SELECT count(*) FROM telco_customer_passes").fetchone() == (1,)


def test_operations_are_cancelled_and_moved_by_hand(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=5)
    with talking("chat", path, "--out", tmp_path / "runs", "--no-wait") as talk:
        talk.say("close my contract")
        log_in(talk)
        talk.expect("Shall I go on?")
        talk.say("yes")
        talk.expect("is under way")
        talk.say("/operations")
        talk.expect("close contract]")
        talk.say("/cancel op-99")
        talk.expect("has no operation")
        talk.say("/cancel op-3")
        talk.expect("op-3: stopped before effect")
        talk.say("/nonsense")
        talk.expect("/quit")
        talk.say("/quit")
        talk.end()
    assert customers(tmp_path)[0] == "active"


def test_users_have_conversations_and_logins_of_their_own(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    with talking("chat", path, "--out", tmp_path / "runs", "--user", "a/b", "--namespace", "x\N{SNOWMAN}'; --") as talk:
        talk.say("what is my package?")
        log_in(talk)
        talk.expect("Everyday 20")
        talk.end()
    with talking("chat", path, "--out", tmp_path / "runs", "--user", "a", "--namespace", "b/x\N{SNOWMAN}'; --") as talk:
        talk.say("what is my package?")
        talk.expect("What is your telephone number?")
        talk.end()
    with talking(
        "chat", path, "--out", tmp_path / "runs", "--user", "a/b", "--namespace", "x\N{SNOWMAN}'; --", "--resume"
    ) as talk:
        talk.say("how much data is left?")
        talk.expect("GB left")
        talk.end()


def refused(*arguments: object) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [COTERIE, *map(str, arguments)], input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_impossible_requests_get_one_clear_error(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    runs = tmp_path / "runs"
    assert "me has no conversation to resume there" in refused("chat", path, "--out", runs, "--resume")
    assert "it cannot be read" in refused("chat", tmp_path / "none.toml")
    assert "use `coterie run`" in refused("chat", TELCO.parent / "commons" / "fishing.toml")
    assert "use `coterie chat`" in refused("run", path)
    assert "rules need no server" in refused("chat", path, "--out", runs, "--base-url", "http://localhost:1/v1")
    assert "is not a namespace" in refused("chat", path, "--out", runs, "--user", "")


def test_a_folder_that_is_used_already_is_refused(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    with talking("chat", path, "--out", tmp_path / "runs") as talk:
        talk.expect("telco: Hello!")
        assert "has it open; end that one first" in refused("chat", path, "--out", tmp_path / "runs")


@pytest.mark.parametrize("line", ["\x1b[31mred", "a\x00b", "x" * 100_001, "\udcff"])
def test_odd_lines_do_no_harm(tmp_path: Path, line: str) -> None:
    path = scenario(tmp_path)
    done = subprocess.run(  # noqa: S603 - our own command
        [COTERIE, "chat", path, "--out", tmp_path / "runs"],
        input=line.encode(errors="surrogateescape") + b"\nthanks\n",
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"telco: You are welcome." in done.stdout
    assert b"\x1b" not in done.stdout


def test_a_real_model_takes_the_place_of_the_rules(tmp_path: Path) -> None:
    path = scenario(tmp_path, time_scale=0.05)

    def model(request: Mapping[str, Any]) -> Served:
        *_, last = request["messages"]
        if last["role"] == "tool":
            return Served(text=f"The desk says: {last['content']}")
        if "packages" in str(last["content"]):
            return Served(calls=[("list_available_packages", {})])
        return Served(text="Good day from the model.")

    with ModelServer(model) as server:
        options = ("--model", "openai:any", "--base-url", server.url, "--out", tmp_path / "runs")
        with talking("chat", path, *options, "--console", "--console-port", "0", OPENAI_API_KEY="sk-of-a-test") as talk:
            talk.say("hello")
            talk.expect("telco: Good day from the model.")
            link = re.search(r"http://127[^ \n]+", talk.all)
            assert link is not None
            costs = httpx.get(link[0], follow_redirects=True, headers={"Connection": "close"}).text
            assert "Tokens and costs of telco" in costs
            assert "openai:any" in costs
            talk.say("what packages are there?")
            talk.expect("The desk says:")
            assert "Starter 5" in talk.end()
        first = server.requests[0]
        assert "assistant of a telephone company" in str(first["messages"][0])
        assert {each["function"]["name"] for each in first["tools"]} >= {"close_contract", "check_status"}


def test_a_model_that_is_away_is_an_answer_and_not_the_end(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    with ModelServer([Served(status=401, error="Incorrect API key", code="invalid_api_key")]) as server:
        options = ("--model", "openai:any", "--base-url", server.url, "--out", tmp_path / "runs")
        with talking("chat", path, *options, OPENAI_API_KEY="sk-wrong-key-of-a-test") as talk:
            talk.say("hello")
            talk.expect("I am sorry")
            talk.say("again")
            talk.expect("you said again")
            shown = talk.end()
    assert "sk-wrong" not in shown
    assert "Traceback" not in shown
