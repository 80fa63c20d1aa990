"""A headless Chromium for the tests: starts it, watches for what must not happen, and waits for what must."""

import json
import shutil
import time
import urllib.parse

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

PATIENCE_S = 15
# Installed before any script of the page: what the page must never cause is noted.
WATCH = """
window.__seen = {violations: [], errors: [], ran: []};
document.addEventListener("securitypolicyviolation",
  (e) => window.__seen.violations.push(`${e.violatedDirective}: ${e.blockedURI}`));
addEventListener("error", (e) => window.__seen.errors.push(String(e.message ?? e.target?.src)));
addEventListener("unhandledrejection", (e) => window.__seen.errors.push(String(e.reason)));
window.pwned = (what) => window.__seen.ran.push(String(what ?? "ran"));
window.alert = window.prompt = window.confirm = (what) => window.pwned(what);
"""


class Browser:
    """One browser window at the page of a server. Attributes that it lacks are the driver's."""

    def __init__(self, url, width=1280, height=900):
        options = Options()
        options.binary_location = (
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        )
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            f"--window-size={width},{height}",
            "--force-device-scale-factor=1",
            # Nothing but the server can be reached, however the page tries.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = shutil.which("chromedriver")
        self.driver = webdriver.Chrome(service=Service(driver) if driver else Service(), options=options)
        self.driver.set_script_timeout(PATIENCE_S)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        self.url = url
        self.outside = []

    def __getattr__(self, name):
        return getattr(self.driver, name)

    def size(self, width, height):
        """The size of the page itself, also below what a window may have."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def scheme(self, name):
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]}
        )

    def open(self, fragment=""):
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/{fragment}")
        self.until(lambda: self.js("return document.body?.dataset.ready === ''"), "the page to start")

    def fresh(self, fragment=""):
        """The page as on a first visit."""
        self.driver.get(f"{self.url}/licenses.txt")
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": "all"})
        self.js("sessionStorage.clear()")
        self.open(fragment)

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def js_async(self, script, *args):
        """script may await; what it returns is handed back."""
        return self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; (async (...args) => {"
            + script
            + "})(...[...arguments].slice(0, -1)).then(done, (e) => done({failed: String(e)}))",
            *args,
        )

    def until(self, condition, what, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}")
            time.sleep(0.03)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.until(lambda: next((e for e in self.all(css) if e.is_displayed()), None), css)

    def labelled(self, label, within=""):
        """The visible control with this accessible label."""
        return self.one(f'{within} [aria-label="{label}"]')

    def button(self, text, within=""):
        """The visible button with this text."""
        return self.until(
            lambda: next(
                (
                    b
                    for b in self.all(f"{within} button, {within} a.button")
                    if b.is_displayed() and b.text.strip() == text
                ),
                None,
            ),
            text,
        )

    def shot(self, folder, name):
        folder.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(folder / f"{name}.png"))

    def requests_outside(self):
        """URLs that the browser asked for since the last call and that are not the server's."""
        origin = urllib.parse.urlparse(self.url).netloc
        outside = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] != "Network.requestWillBeSent":
                continue
            url = message["params"]["request"]["url"]
            if url.startswith(("data:", "blob:", "about:", "chrome:", "chrome-")):
                continue
            if urllib.parse.urlparse(url).netloc != origin:
                outside.append(url)
        return outside

    def seen(self):
        return self.js("return window.__seen")
