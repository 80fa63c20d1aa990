// What a model wrote, shown while it writes: the thought folded away, the answer as Markdown, calls of tools.
import {h, replace} from "../core/dom.js";
import {codeBlock} from "./code_block.js";
import {splitThought} from "./reasoning.js";
import {StreamingMarkdown} from "./streaming_markdown.js";

function prettyArguments(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export class AnswerView {
  #thought = h("div", {class: "thought-text"});
  #summary = h("summary", {}, "Thinking");
  #thoughtBox = h("details", {class: "thought", hidden: true}, this.#summary, this.#thought);
  #prose = h("div", {class: "prose"});
  #tools = h("div", {class: "tool-calls"});
  #markdown = new StreamingMarkdown(this.#prose);
  #shown = "";
  #next = null;
  #frame = 0;
  #notBefore = 0;

  element = h("div", {class: "answer"}, this.#thoughtBox, this.#prose, this.#tools);

  /// Called after each rendering.
  onrender = () => {};

  /// Shows an answer {content, reasoning?, tools?}. Between frames only the latest counts; last is shown at once.
  update(answer, last) {
    this.#next = {answer, last};
    if (last) return this.#render();
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#tick());
  }

  /// A rendering that took long is followed by a pause four times as long, so that the page stays quick to the touch.
  #tick() {
    this.#frame = 0;
    if (!this.#next) return;
    if (performance.now() < this.#notBefore)
      this.#frame = requestAnimationFrame(() => this.#tick());
    else
      this.#render();
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const {answer, last} = this.#next;
    this.#next = null;
    const start = performance.now();
    const {thought, answer: text, thinking} = splitThought(answer.content);
    const allThought = [answer.reasoning, thought].filter(Boolean).join("\n\n");
    this.#thoughtBox.hidden = !allThought;
    this.#summary.textContent = !last && (thinking || !text) ? "Thinking …" : "Thought";
    if (this.#thought.textContent !== allThought) this.#thought.textContent = allThought;
    if (!text.startsWith(this.#shown)) {
      this.#prose.replaceChildren();
      this.#markdown = new StreamingMarkdown(this.#prose);
    }
    if (text !== this.#shown || last) this.#markdown.update(text, last);
    this.#shown = text;
    if (answer.tools?.length) this.#showTools(answer.tools.filter(Boolean), !last);
    this.#notBefore = performance.now() + 4 * (performance.now() - start);
    this.onrender();
  }

  #showTools(tools, running) {
    const call = (tool) => h("div", {}, h("p", {class: "note"}, `Calls ${tool.name}`),
        codeBlock(prettyArguments(tool.arguments), "json", running));
    replace(this.#tools, tools.map(call));
  }
}
