"""Take the pictures of the console for its page of the documentation: ``python -m docs.tools.console_pictures [FOLDER]``.

Needs Chromium and its driver, and the extra `console`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from coterie import Agent, Message, Runtime, on
from coterie.concurrency import start_thread
from coterie.console import Console, ConsoleOptions
from coterie.orchestrator import RunCommand, load_scenario, run_scenario, send_command
from coterie.orchestrator.assistants.opening import load_assistant, open_assistant
from coterie.orchestrator.folder import RunFolder
from coterie.testing import wait_until_idle

ROOT = Path(__file__).parents[2]
TELCO = ROOT / "examples/telco/telco.toml"
FISHING = ROOT / "examples/commons/fishing.toml"
_HEIGHTS = {360: 1_400, 768: 1_300, 1280: 1_000}


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start a headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


def picture(driver: webdriver.Chrome, file: Path, width: int, theme: str) -> None:
    """Write a picture of the open page at a width, in a theme."""
    size = {"width": width, "height": _HEIGHTS[width], "deviceScaleFactor": 1, "mobile": width == min(_HEIGHTS)}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    time.sleep(0.8)
    driver.save_screenshot(str(file))


class Order(Message):
    """An order of a customer."""

    pieces: int


class Seller(Agent):
    """Sells, and complains about an empty order."""

    @on
    def sell(self, order: Order) -> None:
        """Take one order."""
        if not order.pieces:
            raise ValueError("an order of no pieces")


class Shop(Agent):
    """Has three sellers."""

    def on_start(self) -> None:
        """Start the sellers."""
        for name in ("Ada", "Ben", "Cleo"):
            self.context.spawn(Seller, name=name)


def shop(folder: Path, console: Console, parts: ExitStack) -> tuple[str, str]:
    """Show a few agents and a conversation, and return the paths of their pages."""
    runtime = parts.enter_context(Runtime("shop"))
    runtime.spawn(Shop, name="shop")
    wait_until_idle(runtime)
    for name, pieces in (("Ada", 3), ("Ben", 0), ("Cleo", 2), ("Ada", 1)):
        seller = runtime.find(name)
        assert seller is not None
        seller.tell(Order(pieces))
    wait_until_idle(runtime)
    console.show(runtime, "shop")
    assistant = parts.enter_context(open_assistant(load_assistant(TELCO), folder / "telco"))
    for part in assistant.parts:
        console.show(part, "telco")
    conversation = assistant.conversations.open(("chat", "alice"), user="alice")
    for text in ("Hello", "What packages are there?", "07700 900101"):
        asyncio.run(conversation.send(text).answer())
    time.sleep(2)
    return "/agents?runtime=shop", "/conversations/telco/chat:alice?prompt=2"


def main(target: Path) -> None:
    """Run the fishers half-way, and take the pictures of them, of a few agents, and of a conversation."""
    target.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as temporary,
        Console([temporary], options=ConsoleOptions(port=0)) as console,
        browser() as driver,
        ExitStack() as parts,
    ):
        scenario = load_scenario(FISHING)
        for seed in (3, 7):
            with RunFolder.create(Path(temporary), f"fishing-{seed}", FISHING.read_text()) as folder:
                run_scenario(scenario.changed({"seed": seed}), folder)
        folder = RunFolder.create(Path(temporary), "fishing", FISHING.read_text())
        name = folder.path.name
        show = lambda part: console.show(part, name)  # noqa: E731

        def run() -> None:
            with folder:
                run_scenario(scenario, folder, paused=True, on_live=show)

        thread = start_thread(run, "pictures")
        time.sleep(1)
        for _ in range(7):
            send_command(folder.path, RunCommand("step"))
            time.sleep(0.5)
        driver.get(console.link("/"))
        agents, chat = shop(Path(temporary), console, parts)
        pages = {"runs": "/", "run": f"/runs/{name}", "agents": agents, "conversation": chat}
        for page, path in pages.items():
            for width in _HEIGHTS:
                for theme in ("light", "dark"):
                    driver.execute_cdp_cmd(
                        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
                    )
                    driver.get(console.address + path)
                    picture(driver, target / f"{page}-{width}-{theme}.png", width, theme)
        send_command(folder.path, RunCommand("go on"))
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images/console")
