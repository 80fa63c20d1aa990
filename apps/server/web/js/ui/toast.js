// A short notice at the edge of the page, for what has no other place: a full store, an import's outcome.
import {h, iconButton} from "../core/dom.js";

/// kind: "info" goes away by itself, "problem" stays until it is closed.
export function toast(text, kind = "info") {
  const box = h("div", {class: `toast toast-${kind}`}, h("p", {}, text),
      iconButton("close", "Close this notice", () => box.remove()));
  document.getElementById("toasts").append(box);
  if (kind === "info") setTimeout(() => box.remove(), 6000);
  return box;
}
