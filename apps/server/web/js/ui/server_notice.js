// A line that says when the server cannot be used, and what to do about it. Empty while all is well.
import {h, icon, replace} from "../core/dom.js";
import {server} from "../core/server.js";
import {settingsDialog} from "./settings_dialog.js";

export function serverNotice() {
  const box = h("div", {class: "server-notice", role: "status"});
  const button = (text, onclick) => h("button", {type: "button", class: "button", onclick}, text);
  const show = () => {
    box.hidden = server.state === "ready";
    box.dataset.state = server.state;
    if (server.state === "loading")
      replace(box, h("span", {class: "is-busy"}, server.message || "The model is loading"));
    if (server.state === "away")
      replace(box, h("span", {}, server.message), button([icon("redo"), "Try again"], () => server.refresh()));
    if (server.state === "key")
      replace(box, h("span", {}, "This server wants an API key."),
          button("Enter the key", () => settingsDialog(null, "key")));
    if (server.state === "ready") replace(box);
  };
  server.addEventListener("change", show);
  show();
  return box;
}
