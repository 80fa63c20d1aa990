"""Two models side by side."""

from selenium.webdriver.common.keys import Keys

from harness import SHOTS, PageTest, mock_only


class CompareTest(PageTest):
    fragment = "#/compare"

    def sides(self):
        return self.browser.all(".side")

    def verdict(self):
        return self.browser.until(lambda: self.browser.all(".verdict")[-1].text, "both answers")

    @mock_only
    def test_same_prompt_and_seed_to_both_at_once(self):
        self.state(delay_ms=30)
        self.write("A question")
        self.browser.until(
            lambda: len(self.sides()) == 2
            and all(len(s.find_element("css selector", ".marked-text").text) > 20 for s in self.sides()),
            "both to write",
        )
        self.assertEqual(
            self.browser.one(".verdict").text if self.browser.all(".verdict")[-1].is_displayed() else "", ""
        )
        self.browser.shot(SHOTS, "compare-streaming")
        self.assertRegex(
            self.verdict(), r"^The answers agree for \d+ words, then differ; \d+ % of all words are in both\.$"
        )
        left, right = self.chats()
        self.assertEqual({left.pop("model"), right.pop("model")}, {"smollm2-135m-int4", "smollm2-135m-mixed"})
        self.assertEqual(left, right)
        self.assertEqual(left["seed"], 1)
        marks = [[m.text for m in s.find_elements("css selector", "mark")] for s in self.sides()]
        self.assertTrue(marks[0] and marks[1])
        self.assertRegex(self.sides()[0].text, r"40 tokens · [\d.]+ tokens/s")

    @mock_only
    def test_differences(self):
        self.browser.one(".compare-models select").send_keys("smollm2-135m-mixed")
        self.browser.all(".compare-models select")[1].send_keys("smollm2-135m-int4")
        texts = self.browser.js_async("""
            const { difference } = await import("/js/text/diff.js");
            return difference("The sky is blue today.", "The sky was blue, really, today.");""")
        self.assertEqual(
            texts["left"],
            [{"text": "The sky ", "same": True}, {"text": "is blue ", "same": False}, {"text": "today.", "same": True}],
        )
        self.assertEqual(texts["first"], 2)
        self.state(replies={"same": "Both say this."})
        self.write("same")
        self.assertEqual(self.verdict(), "Both answers are the same.")
        self.assertEqual(self.browser.all(".side mark"), [])

    @mock_only
    def test_each_model_remembers_its_own_answers(self):
        self.write("First")
        self.verdict()
        self.write("Second")
        self.browser.until(
            lambda: len(self.browser.all(".verdict")) == 2 and self.browser.all(".verdict")[1].text, "both answers"
        )
        last = self.chats()[-2:]
        self.assertEqual([len(c["messages"]) for c in last], [3, 3])
        self.assertNotEqual(last[0]["messages"][1], last[1]["messages"][1])

    @mock_only
    def test_stop_and_faults(self):
        self.write("!slow")
        self.browser.until(
            lambda: len(self.sides()) == 2 and self.sides()[0].find_element("css selector", ".marked-text").text,
            "some words",
        )
        self.press(Keys.ESCAPE)
        self.browser.until(lambda: all("stopped" in s.text for s in self.sides()), "both to stop")
        self.browser.labelled("Start over").click()
        self.write("!400")
        self.assertEqual(self.verdict(), "An answer failed.")
        self.assertIn("max_tokens: must be at least 1", self.sides()[0].text)

    @mock_only
    def test_markdown_in_place_of_marks(self):
        self.browser.one(".check input").click()
        self.write("!md")
        self.verdict()
        self.assertEqual(len([h for h in self.browser.all(".side .prose h1") if h.is_displayed()]), 2)

    @mock_only
    def test_one_model_says_how_to_serve_two(self):
        self.state(models=1)
        self.browser.open("#/compare")
        self.browser.until(
            lambda: "nibble serve MODEL-A MODEL-B" in self.browser.one(".compare-welcome").text, "the way out"
        )
