// A message that is being edited, in its place in the thread.
import {h, nextId} from "../core/dom.js";
import {fit} from "./composer.js";

/// Resolves with the new text, or null when the user gives up. The editor takes the place of the element meanwhile.
export function editInPlace(element, text, action) {
  return new Promise((resolve) => {
    const area = h("textarea", {class: "field", id: nextId("edit"), rows: "3", oninput: () => fit(area)});
    area.value = text;
    const finish = (value) => {
      form.replaceWith(element);
      resolve(value);
    };
    const form = h("form", {
      class: "editor",
      onsubmit: (event) => {
        event.preventDefault();
        if (area.value.trim()) finish(area.value);
      },
      onkeydown: (event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          finish(null);
        }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      }
    },
        h("label", {"for": area.id, class: "visually-hidden"}, "Edit the message"), area,
        h("div", {class: "editor-actions"}, h("span", {class: "note"}, "What was there stays as an alternative."),
            h("button", {type: "button", class: "button", onclick: () => finish(null)}, "Cancel"),
            h("button", {type: "submit", class: "button button-main"}, action)));
    element.replaceWith(form);
    fit(area);
    area.focus();
    area.setSelectionRange(text.length, text.length);
  });
}
