"""The console admits by token, refuses foreign pages, escapes all texts, and says what is wrong with a run."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from coterie.console import Console, ConsoleOptions
from coterie.console.rendering import STATIC
from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import ServerFailed
from coterie.kernel.access import AccessToken
from coterie.orchestrator import load_scenario, run_scenario
from coterie.orchestrator.folder import RunFolder
from coterie.rounds import Graph, Simulation, Turn
from coterie.runtime import Runtime
from coterie.world import World

TEN = Path(__file__).parents[2] / "examples/commons/ten-each.toml"
TOKEN, ANN = AccessToken("the-token-of-the-operator"), AccessToken("the-token-of-ann-alone")
HOSTILE = "<img src=x onerror=alert(1)>"
ANYWHERE = ConsoleOptions(port=0, period=0.02)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that has ended."""
    place = tmp_path_factory.mktemp("runs")
    with RunFolder.create(place, "lake", TEN.read_text()) as folder:
        run_scenario(load_scenario(TEN), folder)
    folder.path.rename(place / "lake")
    return place


@pytest.fixture(scope="module")
def console(places: Path) -> Iterator[Console]:
    with Console([places], options=ANYWHERE, token=TOKEN, users={"ann": ANN}) as console:
        yield console


@pytest.fixture(scope="module")
def client(console: Console) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=console.address, headers={"Authorization": f"Bearer {TOKEN.reveal()}"}) as client:
        yield client


def test_the_link_sets_a_cookie_and_leaves_the_address_without_the_token(console: Console) -> None:
    with httpx.Client(base_url=console.address) as browser:
        answer = browser.get(console.link("/audit"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/audit")
        cookie = answer.headers["set-cookie"]
        assert TOKEN.reveal() not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        page = browser.get("/audit")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/runs/lake", "/runs/lake/-/parts", "/runs/lake/-/stream", "/audit", "/?token=wrong"])
def test_no_page_is_shown_without_the_right_token(console: Console, path: str) -> None:
    answer = httpx.get(console.address + path)
    assert answer.status_code == 401
    assert "link" in answer.text
    assert "lake" not in answer.text.replace("/runs/lake", "")


def test_an_action_needs_the_token_and_a_page_of_the_console(console: Console, client: httpx.Client) -> None:
    assert httpx.post(f"{console.address}/runs/lake/pause").status_code == 401
    with httpx.Client(base_url=console.address) as browser:
        browser.get(console.link())
        for headers in (
            {},
            {"Origin": "https://elsewhere.example"},
            {"Origin": console.address, "Sec-Fetch-Site": "cross-site"},
        ):
            refused = browser.post("/runs/lake/pause", headers=headers)
            assert (refused.status_code, "own pages only" in refused.text) == (403, True)
        allowed = browser.post("/runs/lake/pause", headers={"Origin": console.address, "Accept": "application/json"})
    assert allowed.status_code == 409
    assert "has ended" in allowed.json()["message"]
    audit = client.get("/audit").text
    assert "pause run" in audit
    assert "operator" in audit


def test_a_console_that_is_read_only_does_nothing_and_shows_no_buttons(places: Path, tmp_path: Path) -> None:
    options = ConsoleOptions(port=0, read_only=True, audit=tmp_path / "audit.jsonl")
    bearer = {"Authorization": f"Bearer {TOKEN.reveal()}", "Accept": "application/json"}
    with Console([places], options=options, token=TOKEN) as console:
        refused = httpx.post(f"{console.address}/runs/lake/replay", headers=bearer)
        assert (refused.status_code, "read-only" in refused.json()["message"]) == (403, True)
        assert "/replay" not in httpx.get(f"{console.address}/runs/lake", headers=bearer).text
    entry = json.loads((tmp_path / "audit.jsonl").read_text())
    assert (entry["action"], entry["target"], entry["done"]) == ("replay run", "lake", False)


def test_a_user_sees_no_page_of_the_operator(console: Console) -> None:
    ann = {"Authorization": f"Bearer {ANN.reveal()}"}
    for path in ("/", "/runs/lake", "/audit"):
        answer = httpx.get(console.address + path, headers=ann)
        assert (answer.status_code, "for the operator" in answer.text) == (403, True), path
    refused = httpx.post(f"{console.address}/runs/lake/replay", headers=ann | {"Accept": "application/json"})
    assert refused.status_code == 403


def test_the_page_of_an_ended_run_shows_its_end_and_its_past(client: httpx.Client) -> None:
    page = client.get("/runs/lake").text
    assert "12 months, no collapse" in page
    assert "basket/" in page
    assert "stock, asked, caught, left" in page
    past = client.get("/runs/lake/-/parts", params={"round": 3, "keys": "basket/"}).json()
    assert "Month 3: intents and decisions" in past["live_resolutions"]
    assert ">30<" in past["live_world"]
    filtered = client.get("/runs/lake/-/parts", params={"event": "settled"}).json()["live_events"]
    assert filtered.count("<li>") == 12
    wrong = client.get("/runs/lake", params={"round": "x"})
    assert (wrong.status_code, "round must be a whole number" in wrong.text) == (400, True)


def test_two_runs_are_compared_round_by_round(places: Path, client: httpx.Client, tmp_path: Path) -> None:
    scenario = load_scenario(TEN).changed({"seed": 99})
    with RunFolder.create(places, "other", TEN.read_text()) as folder:
        run_scenario(scenario, folder)
    try:
        page = client.get("/compare", params=[("run", "lake"), ("run", folder.path.name)]).text
        assert "same digest after each of 12 rounds" in page
        assert client.get("/compare?run=lake").status_code == 400
        assert client.get("/compare?run=lake&run=nowhere").status_code == 404
        assert folder.path.name in client.get("/?find=other").text
        assert "lake</a>" not in client.get("/?find=other").text
    finally:
        shutil.rmtree(folder.path)


def test_a_run_that_is_gone_damaged_or_of_a_later_version_is_said_in_one_sentence(places: Path, client: httpx.Client) -> None:
    gone = client.get("/runs/nowhere")
    assert (gone.status_code, "There is no run nowhere here" in gone.text) == (404, True)
    for name in ("torn", "later", "cut"):
        shutil.copytree(places / "lake", places / name)
    try:
        (places / "torn/scenario.json").write_text("{")
        (places / "cut/run.db").write_bytes((places / "lake/run.db").read_bytes()[:5_000])
        with closing(sqlite3.connect(places / "later/run.db")) as database, database:
            database.execute("UPDATE coterie_migrations SET version = version + 98")
        database.close()
        listed = client.get("/").text
        assert "unreadable" in listed
        assert "cannot be read" in listed
        for name in ("torn", "later", "cut"):
            answer = client.get(f"/runs/{name}")
            assert answer.status_code == 409, name
            assert "This does not work" in answer.text
            assert "Traceback" not in answer.text
        assert "version" in client.get("/runs/later").text
    finally:
        for name in ("torn", "later", "cut"):
            shutil.rmtree(places / name)


def test_an_open_page_says_that_its_run_was_deleted(places: Path, console: Console) -> None:
    shutil.copytree(places / "lake", places / "doomed")
    bearer = {"Authorization": f"Bearer {TOKEN.reveal()}"}
    with (
        httpx.Client(timeout=20) as client,
        client.stream("GET", f"{console.address}/runs/doomed/-/stream", headers=bearer) as stream,
    ):
        lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert next(lines)["problem"] == ""
        shutil.rmtree(places / "doomed")
        assert "There is no run doomed here" in next(lines)["problem"]


def test_texts_of_agents_never_become_markup(console: Console, client: httpx.Client) -> None:
    def speak(turn: Turn) -> None:
        turn.intend("set", key=f"{HOSTILE}-key", value=f"</script>{HOSTILE}")
        turn.intend("set", key="number/" + HOSTILE, value=turn.round)
        turn.intend(HOSTILE)

    simulation = Simulation(World(), [f"a{HOSTILE}"], Graph.chain(speak))
    name = console.show(simulation, HOSTILE)
    try:
        simulation.run(3)
        assert name == HOSTILE
        path = f"/runs/{HOSTILE.replace('/', '%2F')}"
        for page in (client.get("/").text, client.get(path).text, client.get(path, params={"keys": HOSTILE}).text):
            assert "onerror" in page
            assert HOSTILE not in page
            assert "</script><img" not in page
        assert "onerror" not in client.get(path).headers.values()
    finally:
        console.hide(simulation)
    assert client.get(path).status_code == 404


def test_a_stream_sends_what_changes_and_ends_with_the_console(places: Path) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN.reveal()}"}
    world = World({"n": 1})
    simulation = Simulation(world, ["ada"], Graph.chain(lambda turn: turn.intend("add", key="n", amount=1)))
    with Console([places], options=ANYWHERE, token=TOKEN) as console, httpx.Client(timeout=20) as client:
        console.show(simulation, "counting")
        with client.stream("GET", f"{console.address}/runs/counting/-/stream", headers=bearer) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            first = json.loads(next(lines)[6:])
            assert ">1<" in first["live_world"]
            assert console.viewers == 1
            simulation.run(1)
            changed: dict[str, str] = {}
            while ">2<" not in changed.get("live_world", ""):
                changed = json.loads(next(lines)[6:])
                assert "live_actions" not in changed
            console.close()
            assert list(lines) == []


def test_a_costly_page_is_updated_seldom_and_says_so(places: Path) -> None:
    options = ConsoleOptions(port=0, period=0.01, share=1e-5, most_share=1e-6, slowest=3600.0)
    with Console([places], options=options, token=TOKEN) as console:
        headers = {"Authorization": f"Bearer {TOKEN.reveal()}"}
        with httpx.stream("GET", f"{console.address}/-/stream", headers=headers) as stream:
            lines = stream.iter_lines()
            # The first update does not count: it loads the templates.
            found = [json.loads(line[6:]) for line in (next(lines), next(lines), next(lines)) if line.startswith("data: ")]
        assert found[-1]["connection"].startswith("live, every ")
        assert console.viewers <= 1


def test_a_world_that_keeps_only_its_newest_events_is_followed(console: Console, client: httpx.Client) -> None:
    world = World({"n": 0}, history=20)
    simulation = Simulation(world, ["ada"], Graph.chain(lambda turn: turn.intend("add", key="n", amount=1)))
    name = console.show(simulation, "short")
    try:
        simulation.run(40)
        page = client.get(f"/runs/{name}")
        assert (page.status_code, "Round 40: intents" in page.text) == (200, True)
        assert client.get(f"/runs/{name}/-/parts", params={"round": 39}).status_code == 200
        gone = client.get(f"/runs/{name}/-/parts", params={"round": 1})
        assert (gone.status_code, "no longer kept" in gone.text) == (410, True)
    finally:
        console.hide(simulation)


def test_wrong_options_and_a_taken_address_are_refused(console: Console) -> None:
    with pytest.raises(InvalidSetting, match="loopback"):
        ConsoleOptions(host="0.0.0.0")  # noqa: S104 - this is refused
    with pytest.raises(InvalidSetting, match="of your own"):
        Console(options=ConsoleOptions(host="0.0.0.0", expose=True))  # noqa: S104 - as above
    with pytest.raises(ServerFailed, match="another port"):
        Console(options=ConsoleOptions(port=int(console.address.rpartition(":")[2])))
    with pytest.raises(InvalidSetting, match=r"Console\.show"):
        console.show(object())


def test_what_the_browser_loads_is_small_and_has_its_licences(client: httpx.Client) -> None:
    files = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css", ".svg")]
    assert sum(path.stat().st_size for path in files) < 500_000
    for library in ("uPlot", "idiomorph"):
        assert (STATIC / f"{library}.LICENSE.txt").stat().st_size > 100
    page = client.get("/").text
    assert "http://" not in page
    assert "https://" not in page
    for path in files:
        assert client.get(f"/static/{path.name}").status_code == 200


def test_many_runtimes_of_one_name_are_told_apart(console: Console) -> None:
    with Runtime("one") as one, Runtime("two") as two:
        assert [console.show(one, "node"), console.show(two, "node"), console.show(one)] == ["node", "node~2", "node"]
        console.hide(one)
        console.hide(two)


def test_the_metrics_of_all_that_is_shown_are_for_the_operator(console: Console, client: httpx.Client) -> None:
    with Runtime("metered") as runtime:
        console.show(runtime)
        text = client.get("/metrics").text
        assert f'coterie_agents_spawned_total{{runtime="{runtime.node}"}} 0.0' in text
        assert "coterie_threads{" in text
    with httpx.Client(base_url=console.address, headers={"Authorization": f"Bearer {ANN.reveal()}"}) as user:
        assert user.get("/metrics").status_code == 403
    assert httpx.get(f"{console.address}/metrics").status_code in (401, 403)
