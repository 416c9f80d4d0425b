"""The console in a browser: each page during live runs, each action and its effect, and no serious fault of access."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.concurrency import start_thread
from coterie.console import Console, ConsoleOptions
from coterie.kernel.access import AccessToken
from coterie.orchestrator import load_scenario, replay_run, run_scenario, run_status
from coterie.orchestrator.folder import RunFolder
from coterie.testing import eventually

from .live import living

FISHING = Path(__file__).parents[2] / "examples/commons/fishing.toml"
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
TOKEN = AccessToken("the-token-of-the-operator")


class Page:
    """The browser that looks at a console."""

    def __init__(self, console: Console, chromium: Any) -> None:
        self.console, self.browser = console, chromium

    def open(self, path: str = "/") -> None:
        self.browser.get(self.console.address + path)

    def text(self, selector: str = "main") -> str:
        return str(self.browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def sees(self, text: str, selector: str = "main") -> None:
        eventually(lambda: text in self.text(selector), timeout=20, what=f"{text!r} in {selector}")

    def press(self, label: str, within: str = "main") -> None:
        script = """
            const found = [...document.querySelectorAll(arguments[0] + ' button')].find(
                (each) => each.textContent.trim() === arguments[1]);
            if (found) found.click();
            return !!found;"""
        eventually(lambda: self.browser.execute_script(script, within, label), timeout=20, what=f"the button {label}")

    def type(self, selector: str, value: str) -> None:
        script = """
            const field = document.querySelector(arguments[0]);
            field.value = arguments[1];
            field.dispatchEvent(new Event('input', {bubbles: true}));"""
        self.browser.execute_script(script, selector, value)

    def faults(self) -> list[str]:
        """Return the serious faults that axe finds in the open page."""
        self.browser.execute_script(AXE)
        found = self.browser.execute_async_script(
            "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then((found) => done(found.violations))"
        )
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


class Watched(Page):
    """Fishers that wait for the console before their first month, with the console and the browser that looks on."""

    def __init__(self, place: Path, console: Console, chromium: Any) -> None:
        super().__init__(console, chromium)
        self.place = place
        self.folder = RunFolder.create(place, "fishing", FISHING.read_text())
        self.name = self.folder.path.name
        self.thread = start_thread(self._run, "watched-run")

    def _run(self) -> None:
        with self.folder:
            run_scenario(
                load_scenario(FISHING), self.folder, paused=True, on_live=lambda part: self.console.show(part, self.name)
            )


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, Path]]:
    place = tmp_path_factory.mktemp("runs")
    with Console([place], options=ConsoleOptions(port=0, period=0.05), token=TOKEN) as console:
        yield console, place


@pytest.fixture(scope="module")
def watched(console: tuple[Console, Path], chromium: Any) -> Watched:
    served, place = console
    watched = Watched(place, served, chromium)
    chromium.set_script_timeout(30)
    chromium.set_window_size(1280, 1000)
    chromium.get(served.link())
    return watched


def every_theme(watched: Watched, check: Callable[[], None]) -> None:
    for theme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        watched.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        check()


def test_a_run_is_followed_stepped_adjusted_and_scrubbed(watched: Watched) -> None:
    assert "token" not in watched.browser.current_url
    watched.sees(watched.name)
    watched.sees("paused")
    watched.open(f"/runs/{watched.name}")
    watched.sees("live", "#connection")
    watched.sees("0 of 12")
    watched.press("Step")
    watched.sees("1 of 12")
    watched.sees("Month 1: intents and decisions")
    watched.sees("the quota is 10")
    watched.press("Step")
    watched.sees("2 of 12")
    assert watched.browser.execute_script("return document.querySelectorAll('.uplot canvas').length") == 2
    watched.type("#round", "1")
    watched.sees("after event 1", "#live_world")
    assert "round=1" in watched.browser.current_url
    watched.press("Latest")
    watched.sees("Month 2", "#live_resolutions")
    watched.type("#keys", "basket/Ada")
    eventually(lambda: watched.text("#live_world").count("basket/") == 1)
    watched.type("#agent", "Cleo")
    eventually(lambda: "Ben" not in watched.text("#live_events ol strong"))
    watched.type("input[name=value]", "1")
    watched.press("Set", ".adjust")
    watched.sees("lake.growth is 1 from the next step on", "#toasts")
    watched.browser.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', {key: 's', bubbles: true}))")
    every_theme(watched, lambda: _no_faults(watched))


def _no_faults(watched: Watched) -> None:
    assert watched.faults() == []


def test_no_page_is_wider_than_a_phone(watched: Watched) -> None:
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    watched.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for path in ("/", f"/runs/{watched.name}"):
            watched.open(path)
            watched.sees("fishing")
            assert watched.browser.execute_script("return document.documentElement.scrollWidth") <= 360, path
            assert watched.faults() == []
    finally:
        watched.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_run_goes_on_to_its_end_and_is_replayed(watched: Watched) -> None:
    watched.open(f"/runs/{watched.name}")
    watched.press("Go on")
    watched.thread.join(20)
    watched.sees("Result: collapsed")
    watched.sees("ended", "#live_state")
    status = run_status(watched.folder.path)
    assert status is not None
    assert status.state == "ended"
    assert replay_run(watched.folder.path).digest
    watched.press("Replay")
    watched.sees("replay: done")
    watched.sees("each as recorded")
    watched.open("/audit")
    watched.sees("replay run")
    watched.sees("adjust run")
    for path in ("/audit", "/", f"/compare?run={watched.name}&run={watched.name}"):
        watched.open(path)
        watched.sees("live", "#connection")
        assert watched.faults() == [], path


def test_every_page_of_a_live_process_is_readable_on_a_phone_and_has_no_fault(chromium: Any, tmp_path: Path) -> None:
    with living(tmp_path) as live:
        paths = [
            "/agents?runtime=town",
            "/agents?runtime=town&view=tree",
            "/agents/town/boss",
            "/letters/town",
            "/machine",
            "/conversations",
            "/conversations/chats/customer:ann?prompt=1",
            "/conversations/chats/customer:ann?request=1",
            "/memory?agent=ann&question=apples",
            "/meetings",
            f"/meetings/meetings/{live.meeting}",
            "/cluster",
        ]
        size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chromium.get(live.console.link())
        page = Page(live.console, chromium)
        try:
            for number, path in enumerate(paths):
                media = {"features": [{"name": "prefers-color-scheme", "value": ("light", "dark")[number % 2]}]}
                chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
                page.open(path)
                page.sees("live", "#connection")
                assert page.faults() == [], path
                assert chromium.execute_script("return document.documentElement.scrollWidth") <= 360, path
        finally:
            chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.open("/conversations/chats/customer:bob")
        page.press("Approve")
        page.sees("5 paid", "#live_operations")
        assert live.paid == [5]
        page.open("/agents/town/guest")
        page.press("Pause")
        eventually(lambda: live.runtime.health()["guest"].paused)
        page.sees("Resume", "#live_actions")


def test_a_page_finds_a_console_that_comes_back_and_says_when_its_link_is_old(watched: Watched) -> None:
    port = int(watched.console.address.rpartition(":")[2])
    options = ConsoleOptions(port=port, period=0.05)
    watched.open("/")
    watched.sees("live", "#connection")
    watched.console.close()
    watched.sees("no connection", "#connection")
    with Console([watched.place], options=options, token=TOKEN):
        watched.sees("live", "#connection")
    watched.sees("no connection", "#connection")
    with Console([watched.place], options=options, token=AccessToken("another-token-than-before")):
        watched.sees("The token is missing or wrong. Open the link", "#problem")
