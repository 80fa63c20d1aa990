// Questions in the page's own look, on the browser's <dialog>: it keeps the focus inside, closes on Escape and gives
// the focus back.
import {h, iconButton, nextId} from "../core/dom.js";

/// Shows a dialog and resolves with what close(value) was called with, or null when it was dismissed.
export function showDialog(title, build, {wide = false} = {}) {
  return new Promise((resolve) => {
    const heading = nextId("dialog");
    let result = null;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const dialog = h("dialog", {class: wide ? "dialog dialog-wide" : "dialog", "aria-labelledby": heading},
        h("header", {class: "dialog-head"}, h("h2", {id: heading}, title),
            iconButton("close", "Close", () => close(null))),
        build(close));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    dialog.addEventListener("mousedown", (event) => event.target === dialog && close(null));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

export function confirmDialog(title, text, action) {
  return showDialog(title,
      (close) => h("div", {class: "dialog-body"}, h("p", {}, text),
          h("div", {class: "dialog-actions"},
              h("button", {type: "button", class: "button", onclick: () => close(false)}, "Cancel"),
              h("button", {type: "button", class: "button button-danger", autofocus: true, onclick: () => close(true)},
                  action))));
}

/// Asks for a line of text; null when dismissed.
export function promptDialog(title, label, value, action) {
  return showDialog(title, (close) => {
    const input =
        h("input", {type: "text", class: "field", id: nextId("prompt"), value, maxlength: "200", autofocus: true});
    setTimeout(() => input.select());
    return h("form", {
      class: "dialog-body",
      onsubmit: (event) => {
        event.preventDefault();
        close(input.value.trim() || null);
      }
    },
        h("label", {"for": input.id}, label), input,
        h("div", {class: "dialog-actions"},
            h("button", {type: "button", class: "button", onclick: () => close(null)}, "Cancel"),
            h("button", {type: "submit", class: "button button-main"}, action)));
  });
}
