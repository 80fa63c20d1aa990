// One message in the thread: what was said, what can be done with it, how it came about.
import {h, icon, iconButton, replace} from "../core/dom.js";
import {count, rate} from "../core/numbers.js";
import {alternatives} from "../store/conversation.js";
import {AnswerView} from "../text/answer_view.js";
import {splitThought} from "../text/reasoning.js";
import {copyButton} from "../ui/copy.js";

// What is said of an answer that did not end by itself, by its state or the reason that the server gave.
const ENDINGS = {
  streaming: "not finished",
  stopped: "stopped",
  length: "cut at the most tokens",
  tool_calls: "waits for a tool",
  content_filter: "filtered"
};

export class MessageView {
  #actions;
  #body = h("div", {class: "message-body"});
  #status = h("p", {class: "message-status"});
  #problem = h("div", {class: "problem", hidden: true});
  #foot = h("footer", {class: "message-foot"});
  #answer = null;
  #ended = false;

  /// actions: {edit(message), again(message), show(message)}: the last chooses an alternative.
  constructor(conversation, message, actions) {
    this.conversation = conversation;
    this.message = message;
    this.#actions = actions;
    const mine = message.role === "user";
    if (!mine) this.#answer = new AnswerView();
    this.element = h("li", {class: `message message-${message.role}`, data: {id: message.id}},
        h("article", {}, h("h2", {class: "visually-hidden"}, mine ? "You" : "Answer"), this.#body, this.#status,
            this.#problem, this.#foot));
    if (mine)
      replace(this.#body, message.content);
    else
      this.#body.append(this.#answer.element);
  }

  set onrender(f) {
    if (this.#answer) this.#answer.onrender = f;
  }

  /// run: what generation says of an answer in the making, or null.
  update(run) {
    const m = this.message;
    const streaming = run?.message === m;
    this.element.classList.toggle("is-streaming", streaming);
    if (this.#answer && !this.#ended) this.#answer.update(m, !streaming);
    this.#ended = !streaming;
    const silent = streaming && !m.content && !m.reasoning && !m.tools;
    this.#status.textContent = silent ? run.waiting || "Reading" : "";
    this.#status.classList.toggle("is-busy", silent);
    this.#showProblem();
    if (streaming)
      replace(this.#foot, h("span", {class: "facts"}, run.speed > 0 ? rate(run.speed) : ""));
    else
      this.#showFoot();
  }

  #showProblem() {
    const m = this.message;
    this.#problem.hidden = m.state !== "failed";
    if (m.state === "failed" && !this.#problem.hasChildNodes())
      replace(this.#problem, h("p", {}, m.error),
          h("button", {type: "button", class: "button", onclick: () => this.#actions.again(m)}, icon("redo"),
              "Try again"));
  }

  #showFoot() {
    const m = this.message;
    const mine = m.role === "user";
    replace(this.#foot, this.#branches(),
        h("div", {class: "actions"},
            copyButton("Copy this message", () => (mine ? m.content : splitThought(m.content).answer)),
            iconButton("edit", mine ? "Edit and ask again" : "Edit this answer", () => this.#actions.edit(m)),
            mine ? null : iconButton("redo", "Answer again", () => this.#actions.again(m))),
        h("span", {class: "facts"}, mine ? "" : this.#facts()));
  }

  #facts() {
    const m = this.message;
    const tokens = m.usage && `${count(m.usage.completion)} tokens`;
    const ending = ENDINGS[m.state] ?? ENDINGS[m.finish];
    return [m.model, tokens, m.speed > 0 && rate(m.speed), m.edited && "edited", ending].filter(Boolean).join(" · ");
  }

  /// ‹ 2 / 3 ›: the alternatives at this place.
  #branches() {
    const all = alternatives(this.conversation, this.message);
    if (all.length < 2) return null;
    const at = all.indexOf(this.message);
    const step = (name, label, to) => iconButton(name, label, () => this.#actions.show(all[to]), {disabled: !all[to]});
    return h("div", {class: "branches", role: "group", "aria-label": "Alternatives"},
        step("left", "Previous alternative", at - 1),
        h("span", {}, h("span", {class: "visually-hidden"}, "Alternative "), `${at + 1} / ${all.length}`),
        step("right", "Next alternative", at + 1));
  }
}
