// One prompt and the answers of two models to it.
import {h, replace} from "../core/dom.js";
import {count, rate} from "../core/numbers.js";
import {patientChat, requestMessages} from "../chat/generation.js";
import {AnswerView} from "../text/answer_view.js";
import {difference, wordsOf} from "../text/diff.js";
import {splitThought} from "../text/reasoning.js";

// While answers stream they are compared this often.
const COMPARE_EVERY_MS = 250;

class Side {
  answer = {role: "assistant", content: ""};
  state = "streaming";
  facts = "";
  error = "";
  rendered = new AnswerView();
  marked = h("div", {class: "marked-text"});
  #foot = h("p", {class: "note facts"});
  #problem = h("p", {class: "problem", hidden: true});

  constructor(name, onrender) {
    this.rendered.onrender = onrender;
    this.element = h("article", {class: "side", "aria-label": `Answer of ${name}`}, h("h3", {}, name),
        this.rendered.element, this.marked, this.#problem, this.#foot);
  }

  get text() { return splitThought(this.answer.content).answer; }

  showFoot() {
    this.#foot.textContent = this.state === "streaming"
        ? this.facts || "Reading …"
        : [this.facts, this.state === "stopped" && "stopped"].filter(Boolean).join(" · ");
    this.#problem.hidden = this.state !== "failed";
    this.#problem.textContent = this.error;
  }
}

/// Runs of {text, same} as elements. The white space after a run is not marked.
function runElements(runs) {
  return runs.map((run) => {
    const text = run.text.trimEnd();
    return run.same ? run.text : [h("mark", {class: "differs"}, text), run.text.slice(text.length)];
  });
}

function share(part) {
  // Nearly all is not all.
  return `${Math.min(Math.round(100 * part), part < 1 ? 99 : 100)} %`;
}

export class Turn {
  verdict = "";
  #given;
  #sides;
  #controller = new AbortController();
  #summary = h("p", {class: "verdict"});
  #timer = 0;

  /// given: prompt, models and their names, settings {system, fields}, the turns before, marked() and onrender().
  constructor(given) {
    this.#given = given;
    this.#sides = given.names.map((name) => new Side(name, given.onrender));
    this.element = h("li", {class: "turn"},
        h("div", {class: "message message-user"},
            h("article", {}, h("h2", {class: "visually-hidden"}, "Prompt"),
                h("div", {class: "message-body"}, given.prompt))),
        h("div", {class: "sides"}, this.#sides.map((s) => s.element)), this.#summary);
  }

  get running() { return this.#sides.some((s) => s.state === "streaming"); }

  stop() { this.#controller.abort(); }

  /// What side i of the conversation has said so far.
  history(i) { return [{role: "user", content: this.#given.prompt}, this.#sides[i].answer]; }

  /// Returns when both have ended.
  async run() {
    await Promise.all(this.#sides.map((side, i) => this.#answer(side, i)));
    clearTimeout(this.#timer);
    this.show();
  }

  async #answer(side, i) {
    const {prompt, models, settings, before} = this.#given;
    const messages = requestMessages(
        settings.system, [...before.flatMap((turn) => turn.history(i)), {role: "user", content: prompt}]);
    try {
      const pieces = patientChat({model: models[i], messages, ...settings.fields}, this.#controller.signal, (text) => {
        side.facts = text;
        side.showFoot();
      });
      for await (const piece of pieces) this.#take(side, piece);
      side.state = "done";
    } catch (error) {
      side.state = error.name === "AbortError" ? "stopped" : "failed";
      side.error = error.message;
    }
    this.show();
  }

  #take(side, piece) {
    if (piece.type === "text") side.answer.content += piece.text;
    if (piece.type === "usage") {
      const speed = piece.timings?.predicted_per_second;
      const tokens = `${count(piece.usage.completion_tokens ?? 0)} tokens`;
      side.facts = speed > 0 ? `${tokens} · ${rate(speed)}` : tokens;
    }
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.show();
    }, COMPARE_EVERY_MS);
  }

  /// Shows both answers as they are now, marked or as Markdown.
  show() {
    const marked = this.#given.marked();
    for (const side of this.#sides) {
      side.marked.hidden = !marked;
      side.rendered.element.hidden = marked;
      side.showFoot();
      if (!marked) side.rendered.update(side.answer, side.state !== "streaming");
    }
    this.#compare(marked);
    this.#given.onrender();
  }

  /// While one still writes, only as many words are compared as both have; what comes after is neither alike nor
  /// different.
  #compare(marked) {
    const texts = this.#sides.map((s) => s.text);
    let rests = ["", ""];
    if (this.running) {
      const words = texts.map(wordsOf);
      const both = Math.max(0, Math.min(words[0].length, words[1].length) - 1);
      rests = words.map((w) => w.slice(both).join(""));
      texts.forEach((_, i) => (texts[i] = words[i].slice(0, both).join("")));
    }
    const d = difference(...texts);
    if (marked) [d.left, d.right].forEach((runs, i) => replace(this.#sides[i].marked, runElements(runs), rests[i]));
    this.verdict = this.#verdictOn(d);
    this.#summary.textContent = this.running ? "" : this.verdict;
  }

  #verdictOn(d) {
    if (this.#sides.some((s) => s.state === "failed")) return "An answer failed.";
    if (d.equal) return "Both answers are the same.";
    const words = `${count(d.first)} word${d.first === 1 ? "" : "s"}`;
    return `The answers agree for ${words}, then differ; ${share(d.common)} of all words are in both.`;
  }
}
