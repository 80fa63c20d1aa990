// Where the next message is written. Enter sends, Shift and Enter begins a line; while an answer is written the button
// stops it.
import {h, icon, nextId, replace} from "../core/dom.js";

/// A text area as high as its text, up to what its style allows.
export function fit(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

export class Composer {
  #area;
  #button;
  #busy = false;

  /// send(text) returns false where the text is to stay; stop(); draft(text) hears of every change.
  constructor({send, stop, draft, label = "Message"}) {
    const id = nextId("message");
    const submit = () => {
      if (this.#busy || !this.#area.value.trim()) return;
      if (send(this.#area.value.trim()) !== false) this.text = "";
    };
    this.#area = h("textarea", {
      id,
      rows: "1",
      placeholder: "Write a message",
      maxlength: "1000000",
      autocomplete: "off",
      oninput: () => {
        fit(this.#area);
        this.#arm();
        draft?.(this.#area.value);
      },
      onkeydown: (event) => {
        // While an input method composes, Enter chooses a candidate.
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        submit();
      }
    });
    this.#button = h("button", {type: "button", class: "send", onclick: () => (this.#busy ? stop() : submit())});
    this.element = h("form", {class: "composer", onsubmit: (event) => event.preventDefault()},
        h("label", {"for": id, class: "visually-hidden"}, label), this.#area, this.#button);
    this.element.addEventListener(
        "mousedown", (event) => event.target === this.element && setTimeout(() => this.focus()));
    this.busy = false;
  }

  get text() { return this.#area.value; }

  set text(text) {
    this.#area.value = text;
    fit(this.#area);
    this.#arm();
  }

  set busy(busy) {
    this.#busy = busy;
    replace(this.#button, icon(busy ? "stop" : "send"));
    const label = busy ? "Stop (Escape)" : "Send (Enter)";
    this.#button.setAttribute("aria-label", label);
    this.#button.title = label;
    this.#button.classList.toggle("is-stop", busy);
    this.#arm();
  }

  focus() { this.#area.focus(); }

  #arm() { this.#button.disabled = !this.#busy && !this.#area.value.trim(); }
}
