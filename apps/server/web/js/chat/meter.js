// How much of the model's context the conversation takes, with what is being written.
import {postJson} from "../core/api.js";
import {h} from "../core/dom.js";
import {count} from "../core/numbers.js";

const ASK_AFTER_MS = 400;

export class ContextMeter {
  #fill = h("span", {class: "meter-fill"});
  #text = h("span", {class: "meter-text"});
  #used = 0;
  #draft = 0;
  #context = null;
  #timer = 0;
  #asking = null;

  element = h("div", {class: "meter", role: "meter", "aria-label": "Context used", "aria-valuemin": "0"},
      h("span", {class: "meter-bar", "aria-hidden": "true"}, this.#fill), this.#text);

  /// used: tokens of the conversation so far; context: the most that there may be, or null where that is not known.
  show(used, context) {
    this.#used = used;
    this.#context = context;
    this.#paint();
  }

  /// Counts a draft's tokens once the user pauses. A server that does not count leaves it out.
  draft(text, model) {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    if (!text.trim()) {
      this.#draft = 0;
      this.#paint();
      return;
    }
    this.#timer = setTimeout(async () => {
      this.#asking = new AbortController();
      try {
        const answer = await (await postJson("/tokenize", {content: text, model}, this.#asking.signal)).json();
        this.#draft = Array.isArray(answer.tokens) ? answer.tokens.length : 0;
        this.#paint();
      } catch {
        // Without the draft, then.
      }
    }, ASK_AFTER_MS);
  }

  #paint() {
    const total = this.#used + this.#draft;
    const share = this.#context ? Math.min(1, total / this.#context) : 0;
    const [short, long] = this.#context
        ? [`${count(total)} / ${count(this.#context)}`, `${count(total)} of ${count(this.#context)} tokens`]
        : [`${count(total)} tokens`, `${count(total)} tokens`];
    this.#fill.style.width = `${100 * share}%`;
    this.#text.textContent = short;
    this.element.hidden = !this.#context && total === 0;
    this.element.classList.toggle("is-nearly-full", share > 0.85);
    this.element.setAttribute("aria-valuemax", this.#context ?? total);
    this.element.setAttribute("aria-valuenow", total);
    this.element.setAttribute("aria-valuetext", long);
    this.element.title = `Context: ${long}`;
  }
}
