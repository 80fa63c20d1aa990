"""What the tests of the page share: one server and one browser for all of them, and the ways of a user."""

import json
import os
import pathlib
import subprocess
import sys
import unittest
import urllib.request

from selenium.webdriver.common.keys import Keys

from browser import Browser

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHOTS = pathlib.Path(os.environ.get("NIBBLE_WEB_SHOTS", ROOT / "build/web-screenshots"))
# A real `nibble serve` to test against; without it the mock server is started.
REAL = os.environ.get("NIBBLE_WEB_URL", "").rstrip("/")

_shared = {}


def _start():
    if not REAL:
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/web/mock_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _shared["server"] = server
    _shared["url"] = REAL or _shared["server"].stdout.readline().strip()
    _shared["browser"] = Browser(_shared["url"])


def stop():
    if "browser" in _shared:
        _shared["browser"].quit()
    if "server" in _shared:
        _shared["server"].stdin.close()
        _shared["server"].wait(10)
    _shared.clear()


def mock_only(test):
    """The test needs answers or faults that only the mock server gives."""
    return unittest.skipIf(REAL, "needs the mock server")(test)


class PageTest(unittest.TestCase):
    """Begins on a fresh visit at 1280 x 860; fails when anything ran, broke the policy, failed, or left the origin."""

    fragment = ""
    maxDiff = None

    def setUp(self):
        if "browser" not in _shared:
            _start()
        self.browser = _shared["browser"]
        self.url = _shared["url"]
        if not REAL:
            self.post("/mock/reset", {})
        self.browser.size(1280, 860)
        self.browser.scheme("light")
        self.browser.requests_outside()
        self.browser.fresh(self.fragment)
        if REAL:
            # Models like to talk.
            self.browser.js("""localStorage.setItem("nibble.preferences",
                JSON.stringify({model: "", settings: {max_tokens: 64}}))""")

    def _callTestMethod(self, method):
        try:
            method()
        except BaseException:
            self.browser.shot(SHOTS, f"failed-{self._testMethodName}")
            raise

    def tearDown(self):
        seen = self.browser.seen()
        self.assertEqual(seen, {"violations": [], "errors": [], "ran": []})
        self.assertEqual(self.browser.requests_outside(), [])

    # The server

    def post(self, path, value):
        request = urllib.request.Request(
            self.url + path, json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def state(self, **fields):
        self.post("/mock/state", fields)

    def requests(self):
        with urllib.request.urlopen(self.url + "/mock/requests", timeout=10) as answer:
            return json.load(answer)

    def chats(self):
        return self.requests()["chats"]

    # The user

    @property
    def area(self):
        return self.browser.one(".page:not([hidden]) .composer textarea")

    def write(self, text):
        """Types into the composer and sends. Texts with lines are pasted: each line break would send."""
        self.area.click()
        self.browser.execute_cdp_cmd("Input.insertText", {"text": text})
        self.area.send_keys(Keys.ENTER)

    def ask(self, text):
        """Sends a message and waits for the end of its answer. Returns the answer's element."""
        before = len(self.messages("assistant"))
        self.write(text)
        self.browser.until(lambda: len(self.messages("assistant")) > before, "an answer to begin")
        return self.settled()

    def settled(self):
        """Waits until no answer is being written; the last answer."""
        self.browser.until(
            lambda: self.messages("assistant") and not self.browser.all(".is-streaming"), "the answer to end", 60
        )
        return self.messages("assistant")[-1]

    def messages(self, role):
        return self.browser.all(f".messages > .message-{role}")

    def prose(self, message):
        return message.find_element("css selector", ".prose").text

    def press(self, *keys):
        """Keys to whatever has the focus."""
        self.browser.switch_to.active_element.send_keys(*keys)

    def focused(self):
        """What a screen reader calls the control that has the focus."""
        return self.browser.js("""const e = document.activeElement;
            return e.getAttribute("aria-label") || e.labels?.[0]?.textContent ||
              (e.matches("a, button, summary") ? e.textContent : "")""")

    def choose_file(self, label, name, text):
        """Hands a file of this content to a file input."""
        folder = SHOTS.parent / "web-files"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        field = self.browser.all(f'input[type=file][aria-label="{label}"]')[0]
        field.send_keys(str(path))
