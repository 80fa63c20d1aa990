// The quantization page: one model or report in detail, or all reports against each other.
import {getJson} from "../core/api.js";
import {h, icon, nextId, replace} from "../core/dom.js";
import {server} from "../core/server.js";
import {announce} from "../ui/announcer.js";
import {fileInput, jsonOf} from "../ui/files.js";
import {serverNotice} from "../ui/server_notice.js";
import {menuButton} from "../ui/sidebar.js";
import {toast} from "../ui/toast.js";
import {modelView} from "./model_view.js";
import {overview} from "./overview.js";
import {checkedReport, MOST_BYTES} from "./report_check.js";
import {reportView} from "./report_view.js";

export class QuantizationPage {
  #models = [];
  #reports = [];  // {name, report, opened}
  #view = "one";
  #asking = null;
  #wasReady = false;
  #content = h("div", {class: "quant-content"});
  #select;
  #picker;
  #tabs;
  #files = fileInput("Open report files", (files) => this.#openFiles(files), true);

  constructor() {
    const id = nextId("pick");
    this.#select = h("select", {id, class: "field select", onchange: () => this.#show()});
    this.#picker = h("div", {class: "picker"}, h("label", {"for": id}, "Model or report"), this.#select);
    const choose = (name) => {
      this.#view = name;
      this.#show();
    };
    const tab = (name, text) =>
        h("button", {type: "button", class: "tab", data: {view: name}, onclick: () => choose(name)}, text);
    this.#tabs = [tab("one", "One model"), tab("all", "All reports")];
    const open = h("button", {type: "button", class: "button", onclick: () => this.#files.click()}, icon("import"),
        "Open report files");
    const tabs = h("div", {class: "tabs", role: "group", "aria-label": "What to show"}, this.#tabs);
    const head = h("div", {class: "quant-head"}, tabs, this.#picker, this.#files, open);
    this.element = h("section", {class: "page quant-page", "aria-label": "Quantization"},
        h("header", {class: "topbar"}, menuButton(), h("h1", {class: "topbar-title"}, "Quantization")),
        h("div", {class: "quant-scroll"}, h("div", {class: "quant-inner"}, serverNotice(), head, this.#content)));
    server.addEventListener("change", () => this.#serverChanged());
    this.#serverChanged();
  }

  open() { document.title = "Quantization · Nibble"; }

  focus() { this.#tabs.find((t) => t.dataset.view === this.#view).focus(); }

  #serverChanged() {
    if (server.state === "ready" && !this.#wasReady) this.#load();
    this.#wasReady = server.state === "ready";
  }

  async #load() {
    try {
      const [models, found] = await Promise.all([getJson("/api/models"), getJson("/api/reports")]);
      this.#models = (models.models ?? []).filter((m) => typeof m?.id === "string");
      const opened = this.#reports.filter((r) => r.opened);
      this.#reports = [...this.#checked(found.reports ?? []), ...opened];
      this.#fill();
      await this.#show();
    } catch (error) {
      this.#problem(error);
    }
  }

  /// One broken file beside the models does not hide the others.
  #checked(found) {
    return found.flatMap(({name, report}) => {
      try {
        return [{name: String(name), report: checkedReport(report), opened: false}];
      } catch (error) {
        toast(`${name}: ${error.message}`, "problem");
        return [];
      }
    });
  }

  #fill() {
    const chosen = this.#select.value;
    const group = (label, options) => (options.length > 0 ? h("optgroup", {label}, options) : null);
    const report = (r, i) => h("option", {value: `report ${i}`}, r.name);
    const indexed = this.#reports.map((r, i) => [r, i]);
    replace(this.#select, group("Served models", this.#models.map((m) => h("option", {value: `model ${m.id}`}, m.id))),
        group("Reports beside them", indexed.filter(([r]) => !r.opened).map(([r, i]) => report(r, i))),
        group("Opened files", indexed.filter(([r]) => r.opened).map(([r, i]) => report(r, i))));
    if ([...this.#select.options].some((o) => o.value === chosen)) this.#select.value = chosen;
  }

  async #show() {
    for (const tab of this.#tabs) tab.setAttribute("aria-pressed", String(tab.dataset.view === this.#view));
    this.#picker.hidden = this.#view !== "one";
    this.#asking?.abort();
    if (this.#view === "all") return replace(this.#content, overview(this.#reports));
    const [kind, ...rest] = this.#select.value.split(" ");
    if (kind === "report")
      return replace(this.#content, h("h2", {}, "Report"), reportView(this.#reports[Number(rest[0])].report));
    if (kind === "model")
      await this.#showModel(rest.join(" "));
    else
      replace(this.#content, h("p", {class: "empty"}, "Nothing to show yet."));
  }

  async #showModel(id) {
    const {signal} = (this.#asking = new AbortController());
    replace(this.#content, h("p", {class: "empty is-busy"}, "Reading the model"));
    const query = `?model=${encodeURIComponent(id)}`;
    const hasReport = this.#models.find((m) => m.id === id)?.has_report;
    try {
      const [inspection, report] = await Promise.all([
        getJson(`/api/inspect${query}`, signal),
        hasReport ? getJson(`/api/report${query}`, signal).then(checkedReport) : null
      ]);
      replace(this.#content, h("h2", {}, id), modelView(inspection));
      if (report)
        this.#content.querySelector(".tensors")
            .before(h("section", {class: "report", "aria-label": "Report"}, h("h2", {}, "What quantizing did"),
                reportView(report)));
    } catch (error) {
      if (error.name !== "AbortError") this.#problem(error);
    }
  }

  #problem(error) {
    replace(this.#content,
        h("div", {class: "problem"}, h("p", {}, error.message),
            h("button", {type: "button", class: "button", onclick: () => this.#load()}, icon("redo"), "Try again")));
  }

  async #openFiles(files) {
    let last = -1;
    for (const file of files) {
      try {
        const report = checkedReport(await jsonOf(file, MOST_BYTES));
        last = this.#reports.push({name: file.name, report, opened: true}) - 1;
      } catch (error) {
        toast(`${file.name} was not opened. ${error.message}`, "problem");
      }
    }
    if (last < 0) return;
    this.#fill();
    this.#select.value = `report ${last}`;
    announce(`${this.#reports[last].name} opened.`);
    await this.#show();
  }
}
