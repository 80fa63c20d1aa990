// A choice among the models that the server serves, kept up to date.
import {h, nextId, replace} from "../core/dom.js";
import {server} from "../core/server.js";

/// The last part of a long id: what tells models of one folder apart.
export const shortName = (id) => id.split("/").filter(Boolean).at(-1) ?? id;

export class ModelSelect {
  #select;
  #wanted = "";

  constructor(label, onchange) {
    const id = nextId("model");
    this.#select = h("select", {
      id,
      class: "field select",
      onchange: () => {
        this.#wanted = this.#select.value;
        onchange?.(this.#wanted);
      }
    });
    this.element =
        h("div", {class: "model-select"}, h("label", {"for": id, class: "visually-hidden"}, label), this.#select);
    server.addEventListener("change", () => this.#fill());
    this.#fill();
  }

  /// The chosen model's id, or "" while none is known.
  get value() { return this.#select.value; }

  set value(id) {
    this.#wanted = id;
    this.#fill();
  }

  #fill() {
    const models = server.models;
    const none = server.state === "loading" ? "Model is loading" : "No model";
    const options = models.map((m) => h("option", {value: m.id, title: m.id}, shortName(m.id)));
    replace(this.#select, models.length > 0 ? options : h("option", {value: ""}, none));
    this.#select.disabled = models.length === 0;
    this.#select.value = server.model(this.#wanted) ? this.#wanted : (models[0]?.id ?? "");
  }
}
