// Keeps the end of the thread in view while an answer grows, unless the user has scrolled away from it.
import {h, icon} from "../core/dom.js";

const NEAR_PX = 60;

export class Scroller {
  #box;
  #following = true;

  constructor(box) {
    this.#box = box;
    this.button = h("button", {type: "button", class: "to-end", hidden: true, onclick: () => this.toEnd()},
        icon("down"), "To the end");
    box.addEventListener("scroll", () => {
      this.#following = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
      this.button.hidden = this.#following;
    }, {passive: true});
    // The box may get smaller, too: a keyboard comes up, the composer grows.
    new ResizeObserver(() => this.follow()).observe(box);
  }

  follow() {
    if (this.#following) this.#box.scrollTop = this.#box.scrollHeight;
  }

  toEnd() {
    this.#following = true;
    this.follow();
  }
}
