"""Use a page of an existing front end in headless Chromium: messages, a streamed answer, a long tool, an approval, a reload."""

from __future__ import annotations

import functools
import http.server
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.common.by import By

from coterie.concurrency import start_thread
from coterie.testing import eventually
from tests.interop.served import SECRET, Held, served

_PATIENCE = 30.0


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the files of the page, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the library
        pass


class FrontEnd:
    """The page in the browser."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        return list(self.browser.execute_script(script, selector))

    def sees(self, selector: str, text: str) -> None:
        """Wait until an element has a text."""
        self.until(lambda: any(text in each for each in self.texts(selector)), f"{text!r} in {selector}")

    def until(self, what: Callable[[], bool], named: str) -> None:
        """Wait until something is so."""
        try:
            eventually(what, timeout=_PATIENCE, what=named)
        except AssertionError:
            body = self.browser.execute_script("return document.title + ': ' + document.body.innerText")
            sys.stderr.write(f"the page has: {body}\n{self.browser.get_log('browser')}\n")
            raise

    def say(self, text: str) -> None:
        """Type a message, and send it."""
        self.browser.find_element(By.ID, "input").send_keys(text)
        self.until(lambda: bool(self.browser.find_element(By.ID, "send").is_enabled()), "the button")
        self.browser.find_element(By.ID, "send").click()


def use(page: FrontEnd, held: Held) -> None:
    """Do what a user does."""
    page.sees("#page", "Send")
    page.say("slowly")
    # The first word is there while the model still waits.
    page.until(lambda: page.texts(".assistant .text")[-1:] == ["you "], "the first word of the answer")
    held.word.set()
    page.sees(".assistant .text", "you said slowly")

    page.say("work garden")
    page.sees(".assistant .call", "work: ")
    page.sees("#operations", "halfway")
    # The talk goes on meanwhile.
    page.say("hello")
    page.sees(".assistant .text", "you said hello")
    held.go.set()
    page.sees("#operations", "work succeeded")
    page.sees("#operations", "merged")  # the model's words for the result

    page.say("pay 5")
    page.sees(".approval", "Really pay?")
    page.browser.find_element(By.CLASS_NAME, "approve").click()
    page.sees("#page", "5 is paid")
    page.until(lambda: not page.texts(".approval"), "no further question")
    assert held.done == ["garden", "paid 5"]

    before = page.texts(".user .text")
    assert before == ["slowly", "work garden", "hello", "pay 5"], before
    page.browser.refresh()
    page.until(lambda: page.texts(".user .text") == before, "the transcript after a reload")
    for text in ("you said slowly", "you said hello", "merged"):
        page.sees(".assistant .text", text)
    page.say("again")
    page.sees(".assistant .text", "you said again")
    assert page.browser.title == "assistant", page.browser.title


def main(site: Path) -> None:
    """Serve the page and an assistant, and use them."""
    handler = functools.partial(Quiet, directory=str(site))
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for each in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    held = Held()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages, tempfile.TemporaryDirectory() as folder:
        start_thread(pages.serve_forever, "pages")
        origin = f"http://127.0.0.1:{pages.server_port}"
        try:
            with served(Path(folder), held, origins=(origin,)) as server:
                service = webdriver.ChromeService("/usr/bin/chromedriver")
                with webdriver.Chrome(options=options, service=service) as browser:
                    browser.get(f"{origin}/index.html?{urlencode({'address': server.address, 'token': SECRET})}")
                    use(FrontEnd(browser), held)
        finally:
            pages.shutdown()
    sys.stdout.write("assistant-ui: the page streams, works, asks and comes back after a reload\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
