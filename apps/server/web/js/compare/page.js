// Two models side by side: the same prompt and seed to both at once, and what differs in their answers. Nothing of this
// page is kept when it closes.
import {h, iconButton, replace} from "../core/dom.js";
import {server} from "../core/server.js";
import {Composer} from "../chat/composer.js";
import {Scroller} from "../chat/scroller.js";
import {preferences} from "../store/preferences.js";
import {NUMBERS, numberProblem, requestFields} from "../store/sampling.js";
import {announce} from "../ui/announcer.js";
import {onEscape} from "../ui/escape.js";
import {ModelSelect, shortName} from "../ui/model_select.js";
import {serverNotice} from "../ui/server_notice.js";
import {menuButton} from "../ui/sidebar.js";
import {toast} from "../ui/toast.js";
import {Turn} from "./turn.js";

function numberInput(name, value) {
  const field = NUMBERS.find((f) => f.name === name);
  const input = h("input", {type: "text", inputmode: "decimal", class: "field", value, name, autocomplete: "off"});
  return {field, input, element: h("label", {class: "compare-number"}, field.label, input)};
}

export class ComparePage {
  #turns = [];
  #models = [new ModelSelect("Left model", () => this.#forget()), new ModelSelect("Right model", () => this.#forget())];
  #numbers = [numberInput("seed", 1), numberInput("temperature", 0.7), numberInput("max_tokens", 256)];
  #marked = h("input", {type: "checkbox", checked: true, onchange: () => this.#showAll()});
  #list = h("ol", {class: "turns", "aria-label": "Prompts and answers"});
  #welcome = h("div", {class: "compare-welcome"});
  #composer =
      new Composer({send: (text) => this.#send(text), stop: () => this.#stop(), label: "Prompt for both models"});
  #scroller;
  #wasSet = false;

  constructor() {
    const thread = h("div", {class: "thread", tabindex: "0", role: "region", "aria-label": "Answers side by side"},
        this.#welcome, this.#list);
    this.#scroller = new Scroller(thread);
    this.element = h("section", {class: "page compare-page", "aria-label": "Side by side"},
        h("header", {class: "topbar"}, menuButton(), h("h1", {class: "topbar-title"}, "Side by side"),
            iconButton("trash", "Start over", () => this.#forget())),
        h("div", {class: "compare-controls"}, h("div", {class: "compare-models"}, this.#models.map((m) => m.element)),
            h("div", {class: "compare-settings"}, this.#numbers.map((n) => n.element),
                h("label", {class: "check"}, this.#marked, "Mark differences"))),
        thread,
        h("div", {class: "composer-area"}, this.#scroller.button, serverNotice(), this.#composer.element,
            h("p", {class: "composer-hint"}, "Both models get the same prompt, settings and seed.")));
    onEscape(this.element, () => this.#stop());
    server.addEventListener("change", () => this.#serverChanged());
    this.#serverChanged();
  }

  open() { document.title = "Side by side · Nibble"; }

  focus() { this.#composer.focus(); }

  /// Two different models to begin with, where there are two.
  #serverChanged() {
    if (server.models.length === 0) return;
    if (!this.#wasSet) {
      this.#models[0].value = server.models[0].id;
      this.#models[1].value = server.models[Math.min(1, server.models.length - 1)].id;
      this.#wasSet = true;
    }
    this.#showWelcome();
  }

  #showWelcome() {
    this.#welcome.hidden = this.#turns.length > 0;
    replace(this.#welcome, h("h2", {}, "One prompt, two answers"),
        h("p", {},
            "See word for word what quantizing changed: serve the original beside its quantized form, or two schemes."),
        server.models.length < 2
            ? h("p", {class: "note"}, "One model is served. For two: ", h("code", {}, "nibble serve MODEL-A MODEL-B"))
            : null);
  }

  #settings() {
    const own = {};
    for (const {field, input} of this.#numbers) {
      input.removeAttribute("aria-invalid");
      if (!input.value.trim()) continue;
      own[field.name] = Number(input.value.replace(",", "."));
      const problem = numberProblem(field, own[field.name]);
      if (!problem) continue;
      input.setAttribute("aria-invalid", "true");
      input.focus();
      toast(`${field.label} ${problem}.`, "problem");
      return null;
    }
    return requestFields(preferences.settings, own);
  }

  #send(text) {
    const settings = this.#settings();
    const models = this.#models.map((m) => m.value);
    if (!settings) return false;
    if (models.some((m) => !m)) {
      toast("No model is ready yet.");
      return false;
    }
    const turn = new Turn({
      prompt: text,
      models,
      names: models.map(shortName),
      settings,
      before: [...this.#turns],
      marked: () => this.#marked.checked,
      onrender: () => this.#scroller.follow()
    });
    this.#turns.push(turn);
    this.#list.append(turn.element);
    this.#welcome.hidden = true;
    this.#composer.busy = true;
    this.#scroller.toEnd();
    announce("Sent to both models.");
    turn.run().then(() => {
      this.#composer.busy = this.#turns.some((t) => t.running);
      announce(turn.verdict);
    });
    return true;
  }

  #stop() {
    for (const turn of this.#turns) turn.stop();
  }

  #forget() {
    this.#stop();
    this.#turns = [];
    this.#list.replaceChildren();
    this.#composer.busy = false;
    this.#showWelcome();
  }

  #showAll() {
    for (const turn of this.#turns) turn.show();
  }
}
