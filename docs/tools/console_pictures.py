"""Take the pictures of the console for its page of the documentation: ``python -m docs.tools.console_pictures [FOLDER]``.

Needs Chromium and its driver, and the extra `console`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from coterie.concurrency import start_thread
from coterie.console import Console, ConsoleOptions
from coterie.orchestrator import RunCommand, load_scenario, run_scenario, send_command
from coterie.orchestrator.folder import RunFolder

ROOT = Path(__file__).parents[2]
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


def main(target: Path) -> None:
    """Run the fishers half-way, and take the pictures."""
    target.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as temporary,
        Console([temporary], options=ConsoleOptions(port=0)) as console,
        browser() as driver,
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
        for page, path in (("runs", "/"), ("run", f"/runs/{name}")):
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
