"""The quantization page, with a report of the shape that `nibble quantize` writes."""

import json

import mock_models
import xss_corpus
from harness import SHOTS, PageTest, mock_only

TENSORS = 2 + mock_models.LAYERS * (len(mock_models.KINDS) + 2)


class QuantizationTest(PageTest):
    fragment = "#/quantization"

    def figure(self, title, within=""):
        return self.browser.until(
            lambda: next(
                (
                    f
                    for f in self.browser.all(f"{within} .figure")
                    if f.find_element("css selector", "h3").text == title
                ),
                None,
            ),
            title,
        )

    def rows_of(self, figure):
        return self.browser.js(
            """const rows = [...arguments[0].querySelectorAll("details tbody tr")];
            return rows.map((row) => [...row.children].map((cell) => cell.textContent))""",
            figure,
        )

    @mock_only
    def test_a_model_and_its_report(self):
        self.figure("Bits per layer")
        cards = {dt.text: dd.text for dt, dd in zip(self.browser.all(".card dt"), self.browser.all(".card dd"))}
        self.assertEqual(cards["Architecture"], "LlamaForCausalLM")
        self.assertEqual(cards["KL divergence"], "0.0310\n± 0.00103")
        self.assertEqual(cards["Perplexity"], "18.420\noriginal 17.900")
        self.assertEqual(self.rows_of(self.figure("Bits per layer"))[3], ["3", "4.500"])
        errors = self.rows_of(self.figure("Error per layer"))
        self.assertEqual(len(errors), mock_models.LAYERS)
        self.assertLess(float(errors[0][1]), float(errors[0][2]), "as quantized against rounded to nearest")
        self.assertEqual(len(self.rows_of(self.figure("KL divergence by window"))), 24)
        self.assertEqual(
            len(self.figure("Error per matrix").find_elements("css selector", "tbody tr")), len(mock_models.KINDS)
        )
        self.browser.size(1280, 3600)
        self.browser.until(lambda: len(self.browser.all(".figure[data-drawn]")) == 4, "the charts")
        painted = self.browser.js("""return [...document.querySelectorAll(".figure canvas")].map((c) =>
            c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0))""")
        self.assertEqual(painted, [True] * 4)

    @mock_only
    def test_tensors_are_filtered_and_sorted(self):
        status = self.browser.one(".tensors [role=status]")
        self.assertTrue(status.text.startswith(f"{TENSORS} of {TENSORS} tensors"))
        field = self.browser.one(".filter input")
        field.send_keys("layers.3. DOWN")
        self.browser.until(lambda: status.text.startswith("1 of "), "what was found")
        self.assertEqual(
            [e.text for e in self.browser.all(".tensor-table tbody tr")[0].find_elements("css selector", "th, td")],
            ["model.layers.3.mlp.down_proj", "576 × 1,536", "int4-g32-sym", "4.50", "498 kB"],
        )
        field.clear()
        field.send_keys("q_proj")
        name = next(b for b in self.browser.all(".sort") if b.text == "Name")
        name.click()
        first = lambda: self.browser.all(".tensor-table tbody th")[0].text  # noqa: E731
        self.assertEqual(first(), "model.layers.0.self_attn.q_proj")
        name.click()
        self.assertEqual(first(), "model.layers.29.self_attn.q_proj")
        self.assertEqual(self.browser.all(".tensor-table thead th")[0].get_attribute("aria-sort"), "descending")

    @mock_only
    def test_all_reports_and_files_from_disk(self):
        self.figure("Bits per layer")
        self.choose_file("Open report files", "elsewhere.json", mock_models.recorded("smollm2-int4.report.json"))
        self.browser.until(lambda: "Report" in [e.text for e in self.browser.all(".quant-content h2")], "the report")
        self.assertIn("0.0923", self.browser.one(".cards").text)
        self.browser.button("All reports").click()
        rows = self.rows_of(self.figure("Size against KL divergence"))
        self.assertEqual(
            [r[0] for r in rows], ["smollm2-135m-int4.report.json", "smollm2-135m-mixed.report.json", "elsewhere.json"]
        )
        self.assertEqual([r[2] for r in rows], ["0.0310", "0.0470", "0.0923"])
        self.browser.until(lambda: len(self.browser.all(".figure[data-drawn]")) == 2, "the charts")
        self.browser.shot(SHOTS, "quantization-all")
        self.browser.labelled("Dark theme").click()
        self.browser.shot(SHOTS, "quantization-all-dark")

    @mock_only
    def test_what_the_program_wrote(self):
        """A report and inspections recorded from nibble itself."""
        self.figure("Bits per layer")
        self.choose_file("Open report files", "smollm2.report.json", mock_models.recorded("smollm2-int4.report.json"))
        self.browser.until(lambda: "gptq\nint4-g32-sym" in self.browser.one(".cards").text, "the report")
        self.assertIn("20.812\noriginal 19.014", self.browser.one(".cards").text)
        errors = self.rows_of(self.figure("Error per layer"))
        self.assertEqual(len(errors), 30)
        for row in errors:
            self.assertLess(float(row[1]), float(row[2]))
        self.assertEqual(len(self.figure("Error per matrix").find_elements("css selector", "tbody tr")), 7)
        self.browser.size(1280, 1700)
        self.browser.until(lambda: len(self.browser.all(".figure[data-drawn]")) == 2, "the charts")
        self.browser.shot(SHOTS, "quantization-recorded")
        for name, bits, tensors in (("smollm2-int4", "4.500", 272), ("smollm2-gguf", "5.000", 272)):
            rows = self.browser.js_async(
                """
                const { modelView } = await import("/js/quant/model_view.js");
                const box = document.querySelector(".quant-content");
                box.replaceChildren(...modelView(JSON.parse(args[0])).filter(Boolean));
                return [...box.querySelectorAll(".figure details tbody tr")].map((r) => r.lastChild.textContent);""",
                mock_models.recorded(f"{name}.inspect.json"),
            )
            self.assertEqual(rows, [bits] * 30)
            kinds = [e.text for e in self.browser.all(".heat tbody th")]
            letters = [kind.replace("attn_", "").replace("ffn_", "")[0] for kind in kinds]
            self.assertEqual("".join(letters), "qkvogud")
            self.assertTrue(
                self.browser.one(".tensors [role=status]").text.startswith(f"{tensors} of {tensors} tensors"),
                self.browser.one(".tensors [role=status]").text,
            )

    @mock_only
    def test_broken_files_are_named(self):
        self.figure("Bits per layer")
        good = mock_models.report(mock_models.MODELS[0])
        bad = {
            "[": "not JSON",
            "{}": "tensors: must be a list",
            json.dumps({**good, "bytes": "many"}): "bytes: must be a number",
            json.dumps({**good, "tensors": [{"name": 1}]}): "tensors[0].name: must be a string",
            json.dumps({**good, "held_out": {"tokens": 1}}): "held_out.ppl: must be a number",
            json.dumps(
                {**good, "bit_choice": {"substitutions": [{"what": "x", "bits": None}]}}
            ): "bit_choice.substitutions[0].bits",
        }
        for text, problem in bad.items():
            with self.subTest(problem):
                for old in self.browser.all(".toast .icon-button"):
                    old.click()
                self.choose_file("Open report files", "broken.json", text)
                said = self.browser.one(".toast p").text
                self.assertTrue(said.startswith("broken.json was not opened."), said)
                self.assertIn(problem, said)

    @mock_only
    def test_a_hostile_report_is_text(self):
        self.figure("Bits per layer")
        report = mock_models.report(mock_models.MODELS[0])
        for tensor, text in zip(report["tensors"], xss_corpus.ALL):
            tensor["name"] += text
            tensor["scheme"] = text
        report["held_out_text"] = xss_corpus.HTML[0]
        report["bit_choice"]["substitutions"][0]["what"] = xss_corpus.HTML[2]
        self.choose_file(
            "Open report files",
            "<img src=x onerror=pwned()>.json".replace("<", "(").replace(">", ")"),
            json.dumps(report),
        )
        self.browser.until(lambda: "Report" in [e.text for e in self.browser.all(".quant-content h2")], "the report")
        self.browser.button("All reports").click()
        self.figure("Size against KL divergence")

    @mock_only
    def test_a_failing_server_is_told(self):
        self.state(key="secret")
        self.browser.open("#/quantization")
        self.browser.until(lambda: "API key" in self.browser.one(".quant-page .server-notice").text, "the notice")
