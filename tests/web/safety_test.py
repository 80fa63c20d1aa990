"""A model's output is untrusted: nothing in it runs, loads from outside, or takes over the page. PageTest checks after
each test that no script ran, no rule of the policy was touched, and no request left the origin."""

import urllib.request

import xss_corpus
from harness import SHOTS, PageTest, mock_only

# Clicks every link and moves over everything in the answers, without leaving the page.
PROD = """
for (const e of document.querySelectorAll(".messages *")) {
  for (const type of ["mouseover", "mouseenter", "focus", "toggle", "load", "error"]) e.dispatchEvent(new Event(type));
  if (e.tagName !== "A") continue;
  e.target = "";
  e.addEventListener("click", (event) => event.preventDefault(), {once: true});
  e.click();
}
"""
# What answers consist of, by element, attribute and scheme of links.
SURVEY = """
const seen = {elements: new Set(), attributes: new Set(), schemes: new Set()};
for (const root of document.querySelectorAll(".prose, .thought-text, .marked-text"))
  for (const e of root.querySelectorAll("*")) {
    if (e.closest(".code-head")) continue;
    seen.elements.add(e.localName);
    for (const a of e.attributes) seen.attributes.add(a.name);
    if (e.hasAttribute("href")) seen.schemes.add(new URL(e.getAttribute("href"), "relative:x").protocol);
  }
return Object.fromEntries(Object.entries(seen).map(([k, v]) => [k, [...v].sort()]));
"""
ELEMENTS = {
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
}
ATTRIBUTES = {"align", "aria-label", "class", "href", "rel", "role", "start", "tabindex", "target", "title"}


class SafetyTest(PageTest):
    def survey(self, also=()):
        seen = self.browser.js(SURVEY)
        self.assertLessEqual(set(seen["elements"]), ELEMENTS.union(also))
        self.assertLessEqual(set(seen["attributes"]), ATTRIBUTES.union(also))
        self.assertLessEqual(set(seen["schemes"]), {"https:", "http:", "mailto:"})
        return seen

    @mock_only
    def test_corpus_in_answers(self):
        self.state(replies={f"attack {i}": text for i, text in enumerate(xss_corpus.ALL)}, delay_ms=0, piece_chars=5)
        for i in range(len(xss_corpus.ALL)):
            if i % 30 == 0:
                self.browser.open("#/new")
            with self.subTest(xss_corpus.ALL[i][:80]):
                self.ask(f"attack {i}")
                self.browser.js(PROD)
                self.assertEqual(self.browser.seen(), {"violations": [], "errors": [], "ran": []})
                self.survey()
        self.browser.shot(SHOTS, "safety-corpus")
        # And again from the store, all at once.
        for link in [a.get_attribute("href") for a in self.browser.all(".conversation a")]:
            self.browser.driver.get("about:blank")
            self.browser.driver.get(link)
            self.browser.until(lambda: self.messages("assistant"), "the stored answers")
            self.browser.js(PROD)
            self.survey()
            self.assertEqual(self.browser.seen(), {"violations": [], "errors": [], "ran": []})

    @mock_only
    def test_corpus_cut_short(self):
        """A stream may stop anywhere, and what is there is shown."""
        self.state(delay_ms=0, piece_chars=1)
        for i, text in enumerate(xss_corpus.HTML[:12] + xss_corpus.MARKDOWN[:6] + xss_corpus.MUTATION[:6]):
            self.state(replies={f"cut {i}": text[: 2 * len(text) // 3]})
            self.ask(f"cut {i}")
            self.browser.js(PROD)
        self.survey()

    def test_corpus_in_the_sanitizer(self):
        """Past Markdown, which shows HTML as text: the sanitizer alone, and its output inserted."""
        seen = self.browser.js_async(
            """
            const { sanitized } = await import("/js/text/sanitize.js");
            const pause = () => new Promise((done) => setTimeout(done, 500));
            const all = args[0].map(sanitized);
            await pause();
            // The policy objects to what the parser reads, before the sanitizer takes it out. Nothing of it may be
            // left; and on the page HTML does not come this far.
            window.__seen.violations = [];
            const box = document.createElement("div");
            box.className = "prose";
            document.querySelector(".messages").append(box);
            for (const fragment of all) {
              const one = document.createElement("div");
              one.append(fragment);
              box.append(one);
              // Serialized and parsed again, as a copy would be.
              const again = document.createElement("div");
              again.innerHTML = one.innerHTML;
              box.append(again);
            }
            await pause();
            return box.childElementCount;""",
            xss_corpus.ALL,
        )
        self.assertEqual(seen, 2 * len(xss_corpus.ALL))
        self.browser.js(PROD)
        # Boxes of task lists become characters after the sanitizer.
        self.survey({"input", "type", "checked"})

    @mock_only
    def test_corpus_side_by_side_and_in_titles(self):
        self.state(replies={"both": "\n\n".join(xss_corpus.ALL)}, delay_ms=0, piece_chars=400)
        self.browser.open("#/compare")
        self.write("both")
        self.browser.until(lambda: self.browser.one(".verdict").text, "both answers")
        self.survey()
        self.browser.one(".check input").click()
        self.browser.js(PROD)
        self.survey()
        self.browser.open("#/new")
        for text in xss_corpus.HTML[:8]:
            self.ask(text)
            self.browser.open("#/new")
        self.assertEqual(len(self.browser.all(".conversation")), 8)

    def test_the_policy_is_sent_and_holds(self):
        with urllib.request.urlopen(self.url + "/", timeout=10) as answer:
            headers = answer.headers
            page = answer.read()
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["script-src"], "'self'")
        self.assertEqual(policy["style-src"], "'self'")
        self.assertEqual(policy["connect-src"], "'self'")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertTrue(page)
        ran = self.browser.js(
            """const s = document.createElement("script"); s.textContent = "pwned('inline')"; document.body.append(s);
            document.body.setAttribute("onclick", "pwned('handler')");
            document.body.click();
            document.body.removeAttribute("onclick");
            return window.__seen.ran"""
        )
        self.assertEqual(ran, [])
        self.browser.until(lambda: len(self.browser.seen()["violations"]) >= 2, "the policy to object")
        self.browser.js("window.__seen.violations = []; window.__seen.errors = []")

    def test_the_licences_are_there(self):
        with urllib.request.urlopen(
            urllib.request.Request(self.url + "/licenses.txt", headers={"Accept-Encoding": "gzip"}), timeout=10
        ) as answer:
            import gzip

            text = answer.read()
            text = (gzip.decompress(text) if answer.headers.get("Content-Encoding") == "gzip" else text).decode()
        for words in ("dompurify", "marked", "highlight", "hart.js", "Apache License", "Permission is hereby granted"):
            self.assertIn(words, text)
