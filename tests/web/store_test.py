"""Conversations in the browser: kept, found, renamed, deleted, exported, imported."""

import json

from selenium.webdriver.common.keys import Keys

from harness import SHOTS, PageTest, mock_only

ALL = """
const { conversations } = await import("/js/store/conversations.js");
return conversations.list();
"""


class StoreTest(PageTest):
    def titles(self):
        return [a.text for a in self.browser.all(".conversation a")]

    def stored(self):
        return self.browser.js_async(ALL)

    def exported(self):
        return self.browser.js_async(
            'const { exported } = await import("/js/store/exchange.js");'
            + ALL.replace("return conversations.list()", "return exported(conversations.list())")
        )

    def bring_in(self, text):
        """Imports a file and returns what the page says."""
        for old in self.browser.all(".toast .icon-button"):
            old.click()
        self.choose_file("Import conversations", "import.json", text)
        return self.browser.one(".toast p").text

    def test_a_conversation_outlives_a_reload(self):
        text = self.prose(self.ask("Remember this."))
        self.browser.until(lambda: "/chat/" in self.browser.current_url, "the conversation's address")
        self.browser.driver.refresh()
        self.browser.until(lambda: self.messages("assistant"), "the conversation")
        self.assertEqual(self.prose(self.messages("assistant")[0]), text)
        self.browser.open()
        self.assertEqual(self.titles(), ["Remember this."])
        self.browser.all(".conversation a")[0].click()
        self.browser.until(lambda: self.messages("user"), "the conversation")

    @mock_only
    def test_an_answer_in_the_making_outlives_a_reload(self):
        self.write("!slow")
        self.browser.until(
            lambda: self.messages("assistant") and "word30" in self.prose(self.messages("assistant")[0]), "some words"
        )
        self.browser.driver.refresh()
        answer = self.browser.until(lambda: self.messages("assistant"), "the conversation")[0]
        self.assertIn("word5", self.prose(answer))
        self.assertIn("not finished", answer.text)

    @mock_only
    def test_an_answer_goes_on_while_another_conversation_is_shown(self):
        self.state(replies={"long one": "word " * 200 + "end."}, delay_ms=10)
        self.write("long one")
        self.browser.until(lambda: self.messages("assistant"), "the answer to begin")
        self.browser.button("New conversation").click()
        self.ask("short one")
        self.browser.until(lambda: "long one" in self.titles(), "the list")
        next(a for a in self.browser.all(".conversation a") if a.text == "long one").click()
        self.browser.until(
            lambda: self.messages("user")[0].find_element("css selector", ".message-body").text == "long one",
            "the first conversation",
        )
        self.assertTrue(self.prose(self.settled()).endswith("end."))

    def test_search_rename_delete(self):
        for text in ("About apples", "About pears", "Something else"):
            self.ask(text)
            self.browser.button("New conversation").click()
        self.assertEqual(self.titles(), ["Something else", "About pears", "About apples"])
        self.browser.labelled("Search in conversations").send_keys("about")
        self.browser.until(lambda: len(self.titles()) == 2, "what was found")
        self.browser.labelled("Search in conversations").send_keys(Keys.CONTROL, "a", Keys.DELETE)
        rename = self.browser.all('[aria-label="Rename: About pears"]')[0]
        self.browser.js("arguments[0].focus()", rename)
        rename.send_keys(Keys.ENTER)
        self.browser.one(".dialog input").send_keys(Keys.CONTROL, "a")
        self.press("Quinces", Keys.ENTER)
        self.browser.until(lambda: "Quinces" in self.titles(), "the new title")
        delete = self.browser.all('[aria-label="Delete: About apples"]')[0]
        self.browser.js("arguments[0].focus()", delete)
        delete.send_keys(Keys.ENTER)
        self.browser.button("Delete", ".dialog").click()
        self.browser.until(lambda: "About apples" not in self.titles(), "the deletion")
        self.browser.open()
        self.assertEqual(sorted(self.titles()), ["Quinces", "Something else"])

    @mock_only
    def test_deleted_while_its_answer_is_written(self):
        self.write("!slow")
        self.browser.until(
            lambda: self.messages("assistant") and self.prose(self.messages("assistant")[0]), "some words"
        )
        self.browser.labelled("Delete: !slow").click()
        self.browser.button("Delete", ".dialog").click()
        self.browser.until(lambda: self.requests()["aborted"] == 1, "the server to notice")
        self.browser.one(".welcome")
        self.browser.open()
        self.assertEqual(self.stored(), [])

    @mock_only
    def test_export_and_import_give_the_same(self):
        self.ask("!md")
        self.browser.labelled("Answer again").click()
        self.settled()
        self.ask("Second")
        self.browser.button("New conversation").click()
        self.ask("!tool")
        before = self.stored()
        file = self.exported()
        self.assertEqual(json.loads(file)["format"], "nibble-conversations")
        self.browser.fresh()
        self.assertEqual(self.bring_in(file), "2 conversations imported.")
        self.assertEqual(self.stored(), before)
        self.assertEqual(self.bring_in(file), "0 conversations imported, 2 already here.")
        self.browser.open()
        self.assertEqual(self.stored(), before)

    def test_files_from_elsewhere_are_checked(self):
        message = {"id": "m1", "parent": None, "role": "user", "content": "hi", "created": 1}
        good = {
            "id": "c1",
            "title": "t",
            "created": 1,
            "updated": 2,
            "model": "",
            "settings": {},
            "leaf": "m1",
            "messages": [message],
        }

        def file(**changes):
            return json.dumps({"format": "nibble-conversations", "version": 1, "conversations": [{**good, **changes}]})

        def with_message(**changes):
            return file(messages=[{**message, **changes}])

        bad = {
            "{": "not JSON",
            "[]": "format",
            json.dumps({"format": "other", "version": 1, "conversations": []}): "format: must be",
            json.dumps({"format": "nibble-conversations", "version": 2, "conversations": []}): "version: must be 1",
            json.dumps(
                {"format": "nibble-conversations", "version": 1, "conversations": [], "x": 1}
            ): 'unknown field "x"',
            json.dumps(
                {"format": "nibble-conversations", "version": 1, "conversations": [1]}
            ): "conversations[0]: must be an object",
            file(extra=1): 'conversations[0]: unknown field "extra"',
            file(id="../x"): "conversations[0].id: must be an id",
            file(title=5): "conversations[0].title",
            file(created="now"): "conversations[0].created",
            file(settings={"temperature": "hot"}): "conversations[0].settings: temperature: must be a number",
            file(settings={"constructor": 1}): "constructor: not a setting",
            file(leaf="m2"): "conversations[0].leaf: is no message",
            file(messages={}): "conversations[0].messages: must be a list",
            with_message(role="system"): 'messages[0].role: must be "user" or "assistant"',
            with_message(parent="m1"): "messages[0].parent: is no earlier message",
            with_message(content=["x"]): "messages[0].content: must be a string",
            with_message(html="<script>"): 'messages[0]: unknown field "html"',
            with_message(tools=[{"name": "x"}]): "messages[0].tools",
            file(messages=[message, message]): "messages[1].id: is there twice",
            '{"format":"nibble-conversations","version":1,"conversations":[{"__proto__":{},"id":"c"}]}': (
                "conversations[0]: title is missing"
            ),
        }
        for text, problem in bad.items():
            with self.subTest(problem):
                said = self.bring_in(text)
                self.assertTrue(said.startswith("Nothing was imported."), said)
                self.assertIn(problem, said)
        self.browser.shot(SHOTS, "import-refused")
        self.assertEqual(self.stored(), [])
        self.assertEqual(self.bring_in(file()), "1 conversation imported.")

    def test_a_full_store_is_told(self):
        self.browser.js("""IDBObjectStore.prototype.put = function () {
            this.transaction.abort(); throw new DOMException("full", "QuotaExceededError") }""")
        self.ask("Hello")
        self.assertIn("no room left", self.browser.one(".toast p").text)
        self.assertEqual(len(self.browser.all(".toast")), 1)
        self.assertTrue(self.prose(self.messages("assistant")[0]))

    def test_without_a_store_the_page_works(self):
        script = self.browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": "IDBFactory.prototype.open = () => { throw new DOMException('off', 'SecurityError') }"},
        )
        try:
            self.browser.open()
            self.ask("Hello")
            self.assertEqual(self.titles(), ["Hello"])
            self.assertIn("does not let the page keep", self.browser.one(".toast p").text)
        finally:
            self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)

    def test_tabs_stay_in_step(self):
        self.ask("From the first tab")
        first = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        try:
            self.browser.open()
            self.ask("From the second tab")
            self.browser.switch_to.window(first)
            self.browser.until(
                lambda: self.titles() == ["From the second tab", "From the first tab"], "the other tab's conversation"
            )
        finally:
            self.browser.switch_to.window(next(w for w in self.browser.window_handles if w != first))
            self.browser.close()
            self.browser.switch_to.window(first)
