"""For everyone: keyboard alone, screen readers, contrast, narrow screens, both themes."""

from selenium.webdriver.common.keys import Keys

import mock_models
from harness import SHOTS, PageTest, mock_only

PAGES = {"chat": "#/", "compare": "#/compare", "quantization": "#/quantization"}

# WCAG 2.1's contrast of two colours, whatever way they are written: painted and read back.
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const style = getComputedStyle(document.documentElement);
const probe = document.body.appendChild(document.createElement("i"));
const rgb = (name) => {
  let colour = style.getPropertyValue(name);
  if (!colour) { probe.className = name; colour = getComputedStyle(probe).backgroundColor; }
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = (c) => c.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const result = arguments[0].map(([a, b]) => {
  const [x, y] = [luminance(rgb(a)), luminance(rgb(b))];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
});
probe.remove();
return result;
"""
GROUNDS = ("--paper", "--panel", "--raised", "--sunken")
TEXT = [(ink, ground) for ink in ("--ink", "--ink-soft", "--accent", "--danger") for ground in GROUNDS] + [
    ("--ink", "--accent-wash"),
    ("--ink-soft", "--accent-wash"),
    ("--accent", "--accent-wash"),
    ("--ink", "--danger-wash"),
    ("--ink", "--added"),
    ("--accent-ink", "--accent"),
    ("--danger-ink", "--danger"),
    *((f"--code-{part}", "--panel") for part in ("keyword", "string", "number", "title", "type")),
    *(("--ink", f"heat-{step}") for step in range(5)),
    *(("--accent-ink", f"heat-{step}") for step in range(5, 8)),
]
EDGES = (
    [("--edge", ground) for ground in GROUNDS]
    + [("--accent", ground) for ground in GROUNDS]
    + [(f"--series-{i}", "--raised") for i in range(1, 8)]
)

# Visible controls without a name that a screen reader could say.
NAMELESS = """
const named = (e) => e.getAttribute("aria-label")?.trim() || e.getAttribute("aria-labelledby") ||
  [...(e.labels ?? [])].some((l) => l.textContent.trim()) || e.textContent.trim();
return [...document.querySelectorAll("button, a, input, select, textarea, [role=meter], [role=region], dialog")]
  .filter((e) => e.checkVisibility() && !named(e)).map((e) => e.outerHTML.slice(0, 120));
"""
DUPLICATE_IDS = """
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
return ids.filter((id, i) => ids.indexOf(id) !== i);
"""


class AccessTest(PageTest):
    def test_contrast(self):
        for theme in ("light", "dark"):
            self.browser.js("document.documentElement.dataset.theme = arguments[0]", theme)
            for pairs, least in ((TEXT, 4.5), (EDGES, 3)):
                for pair, contrast in zip(pairs, self.browser.js(CONTRAST, pairs)):
                    with self.subTest(f"{theme} {pair}"):
                        self.assertGreaterEqual(round(contrast, 2), least)

    def test_themes(self):
        def theme():
            return self.browser.js("return document.documentElement.dataset.theme")

        self.assertEqual(theme(), "light")
        self.browser.scheme("dark")
        self.browser.until(lambda: theme() == "dark", "the system's theme")
        self.browser.labelled("Light theme").click()
        self.assertEqual(theme(), "light")
        self.browser.open()
        self.assertEqual(theme(), "light", "the choice is kept")
        self.browser.labelled("Dark theme").click()
        self.browser.scheme("light")
        self.browser.until(lambda: theme() == "light", "the system to be followed again")

    def test_landmarks_and_names(self):
        for name, fragment in PAGES.items():
            with self.subTest(name):
                self.browser.open(fragment)
                self.browser.until(lambda: self.browser.all(".page:not([hidden]) h1"), "the page")
                self.assertEqual(len([e for e in self.browser.all("main")]), 1)
                self.assertEqual(len([e for e in self.browser.all("nav") if e.is_displayed()]), 1)
                self.assertEqual(len([e for e in self.browser.all("h1") if e.is_displayed()]), 1)
                self.assertEqual(
                    self.browser.js("return [...document.querySelectorAll('nav a[aria-current=page]')].length"), 1
                )
                self.assertEqual(self.browser.js(NAMELESS), [])
                self.assertEqual(self.browser.js(DUPLICATE_IDS), [])
        self.browser.labelled("Settings for all conversations").click()
        self.assertEqual(self.browser.js(NAMELESS), [])

    @mock_only
    def test_a_screen_reader_hears_few_and_whole_sentences(self):
        self.browser.js("""window.heard = [];
            const hear = () => { const t = document.getElementById("announcer").textContent; if (t) heard.push(t) };
            new MutationObserver(hear)
            .observe(document.getElementById("announcer"), {childList: true, characterData: true, subtree: true})""")
        self.state(replies={"q": "One sentence of an answer. " * 3})
        self.ask("q")
        self.browser.until(lambda: len(self.browser.js("return heard")) >= 2, "the announcements")
        self.assertEqual(
            self.browser.js("return heard"),
            ["Sent. The answer is being written.", "Answer: " + ("One sentence of an answer. " * 3)],
        )
        self.assertEqual(
            self.browser.js(
                "return document.querySelectorAll('.messages :is([aria-live], [role=log], [role=status])').length"
            ),
            0,
        )

    @mock_only
    def test_keyboard_alone(self):
        """From a fresh page: send, stop, copy, answer again, rename, change settings, with no pointer."""

        def tab_to(label, most=60):
            for _ in range(most):
                if label in (self.focused() or ""):
                    return
                self.press(Keys.TAB)
            self.fail(f"Tab does not reach {label!r}")

        self.browser.js("document.activeElement.blur()")
        self.browser.one("body").send_keys(Keys.TAB)
        self.assertEqual(self.focused(), "Skip to the content")
        self.press(Keys.ENTER)
        tab_to("Message")
        self.press("!slow", Keys.ENTER)
        self.browser.until(
            lambda: self.messages("assistant") and self.prose(self.messages("assistant")[0]), "the first words"
        )
        self.press(Keys.ESCAPE)
        self.settled()
        self.assertEqual(self.focused(), "Message")
        self.press("Hello there", Keys.ENTER)
        self.browser.until(lambda: len(self.messages("assistant")) == 2, "the second answer")
        self.settled()
        self.assertEqual(self.focused(), "Message")
        for _ in range(40):
            self.press(Keys.SHIFT, Keys.TAB)
            if self.focused() == "Answer again":
                break
        self.assertEqual(self.focused(), "Answer again")
        self.assertNotEqual(self.browser.js("return getComputedStyle(document.activeElement).outlineStyle"), "none")
        self.press(Keys.ENTER)
        self.browser.until(lambda: "2 / 2" in self.settled().text, "the second alternative")
        self.browser.js("document.getElementById('sidebar').querySelector('a').focus()")
        tab_to("Rename: !slow")
        self.press(Keys.ENTER)
        self.assertEqual(self.focused(), "Title of the conversation")
        self.press(Keys.ESCAPE)
        self.browser.until(lambda: not self.browser.all("dialog"), "the dialog to close")
        self.assertEqual(self.focused(), "Rename: !slow")
        tab_to("Settings for all")
        self.press(Keys.ENTER)
        tab_to("Temperature")
        self.press("0.5", Keys.ENTER)
        self.browser.until(lambda: not self.browser.all("dialog"), "the dialog to close")
        self.assertEqual(
            self.browser.js("return JSON.parse(localStorage.getItem('nibble.preferences')).settings"),
            {"temperature": 0.5},
        )

    def no_overflow(self, what):
        wide = self.browser.js("""const w = innerWidth; return [...document.querySelectorAll("body *")].filter((e) => {
            const r = e.getBoundingClientRect();
            if (r.width === 0 || r.right <= w + 0.5 || !e.checkVisibility()) return false;
            for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
              if (getComputedStyle(p).overflowX !== "visible" && p.getBoundingClientRect().right <= w + 0.5)
                return false;
            return true;
          }).map((e) => `${e.tagName} ${e.className}`).slice(0, 5)""")
        self.assertEqual(wide, [], what)
        self.assertLessEqual(
            self.browser.js("return document.scrollingElement.scrollWidth"), self.browser.js("return innerWidth"), what
        )

    @mock_only
    def test_the_page_itself_does_not_scroll(self):
        self.state(delay_ms=0)
        self.browser.js_async("""
            const {conversations} = await import("/js/store/conversations.js");
            const {newConversation, addMessage} = await import("/js/store/conversation.js");
            for (let i = 0; i < 60; ++i) {
              const c = newConversation("");
              for (let j = 0; j < 30; ++j) addMessage(c, c.leaf, {role: j % 2 ? "assistant" : "user", content: `text ${i} ${j}`});
              await conversations.save(c);
            }""")
        self.browser.all(".conversation a")[5].click()
        self.browser.until(lambda: len(self.messages("user")) == 15, "the conversation")
        for fragment in ("", "#/quantization", "#/compare"):
            if fragment:
                self.browser.open(fragment)
                self.browser.one(".page:not([hidden]) h1")
            for label in ("Rename: text 2 0", "Delete: text 0 0"):
                self.browser.js("document.querySelector(`[aria-label='${arguments[0]}']`).focus()", label)
            size = self.browser.js(
                "const d = document.documentElement;"
                "return [d.scrollTop, document.body.scrollTop, d.scrollHeight - innerHeight, document.body.scrollHeight - innerHeight]"
            )
            self.assertEqual(size, [0, 0, 0, 0], fragment)

    @mock_only
    def test_360_pixels(self):
        self.browser.size(360, 740)
        for theme in ("light", "dark"):
            self.browser.js("localStorage.setItem('nibble.theme', arguments[0])", theme)
            self.browser.open("#/new")
            self.browser.until(lambda: "smollm2" in self.browser.one(".welcome h2").text, "the model")
            self.no_overflow("welcome")
            self.browser.shot(SHOTS, f"360-welcome-{theme}")
            self.ask("!md")
            self.no_overflow("answer")
            # What is clipped on the page must scroll in its own frame.
            self.assertFalse(
                self.browser.js("const t = document.querySelector('.thread'); return t.scrollWidth > t.clientWidth")
            )
            self.browser.shot(SHOTS, f"360-answer-{theme}")
            self.browser.labelled("Pages and conversations").click()
            self.browser.until(lambda: self.browser.all(".sidebar.is-open"), "the sidebar")
            self.assertTrue(
                self.browser.js(
                    "return sidebar.contains(document.activeElement) && document.getElementById('main').inert"
                )
            )
            self.browser.js("return new Promise((done) => setTimeout(done, 250))")
            self.browser.shot(SHOTS, f"360-sidebar-{theme}")
            self.press(Keys.ESCAPE)
            self.browser.until(lambda: self.focused() == "Pages and conversations", "the focus to come back")
            self.browser.labelled("Settings", ".chat-page").click()
            self.no_overflow("settings")
            self.browser.shot(SHOTS, f"360-settings-{theme}")
            self.browser.open("#/compare")
            self.write("Compare these")
            self.browser.until(lambda: self.browser.one(".verdict").text, "both answers")
            self.no_overflow("compare")
            self.browser.shot(SHOTS, f"360-compare-{theme}")
            self.browser.open("#/quantization")
            self.browser.until(lambda: self.browser.all(".heat"), "the page")
            self.no_overflow("quantization")
            self.browser.shot(SHOTS, f"360-quantization-{theme}")

    @mock_only
    def test_screenshots_of_both_themes(self):
        for theme in ("light", "dark"):
            self.browser.js("localStorage.setItem('nibble.theme', arguments[0])", theme)
            self.browser.size(1280, 860)
            self.browser.open("#/new")
            self.browser.until(lambda: "smollm2" in self.browser.one(".welcome h2").text, "the model")
            self.browser.shot(SHOTS, f"welcome-{theme}")
            answer = self.ask("!md")
            self.browser.until(lambda: answer.find_elements("css selector", ".hljs-keyword"), "colours")
            self.browser.shot(SHOTS, f"chat-{theme}")
            self.browser.open("#/compare")
            self.write("Compare these")
            self.browser.until(lambda: self.browser.one(".verdict").text, "both answers")
            self.browser.shot(SHOTS, f"compare-{theme}")
            self.browser.size(1280, 2600)
            self.browser.open("#/quantization")
            self.browser.one("select").send_keys(mock_models.MODELS[1])
            self.browser.until(lambda: len(self.browser.all(".figure[data-drawn]")) >= 4, "the charts")
            self.browser.shot(SHOTS, f"quantization-{theme}")
