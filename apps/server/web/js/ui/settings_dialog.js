// Settings: of one conversation, of all, and the API key. An empty field takes the value of the next wider circle.
import {apiKey} from "../core/api.js";
import {h, nextId} from "../core/dom.js";
import {server} from "../core/server.js";
import {conversations} from "../store/conversations.js";
import {preferences} from "../store/preferences.js";
import {LONGEST_SYSTEM, MOST_STOPS, NUMBERS, numberProblem} from "../store/sampling.js";
import {showDialog} from "./dialog.js";

function row(label, help, control) {
  control.id = nextId("setting");
  const note = h("span", {class: "note", id: nextId("help")}, help);
  control.setAttribute("aria-describedby", note.id);
  return h("div", {class: "setting"}, h("label", {"for": control.id}, label), control, note);
}

/// The form of a settings object. read() gives {settings} or {problem, field}: the control that is wrong.
function settingsForm(settings, wider) {
  const system =
      h("textarea", {class: "field", rows: "4", maxlength: LONGEST_SYSTEM, placeholder: wider.system || "None"});
  system.value = settings.system ?? "";
  const inputs = NUMBERS.map((field) => ({
    field,
    input: h("input", {
      class: "field",
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      value: settings[field.name] ?? "",
      placeholder: wider[field.name] ?? "server's default",
      name: field.name
    })
  }));
  const stop = h("textarea", {class: "field", rows: "2", placeholder: wider.stop?.join("\n") ?? ""});
  stop.value = settings.stop?.join("\n") ?? "";
  const element =
      h("div", {class: "settings-form"}, row("System prompt", "said to the model before the conversation", system),
          h("div", {class: "settings-grid"}, inputs.map(({field, input}) => row(field.label, field.help, input))),
          row("Stop at", `one text per line, at most ${MOST_STOPS}; \\n stands for a new line`, stop));
  const read = () => {
    const out = {};
    if (system.value.trim()) out.system = system.value;
    for (const {field, input} of inputs) {
      input.removeAttribute("aria-invalid");
      if (!input.value.trim()) continue;
      const value = Number(input.value.trim().replace(",", "."));
      const problem = numberProblem(field, value);
      if (problem) {
        input.setAttribute("aria-invalid", "true");
        return {problem: `${field.label} ${problem}.`, field: input};
      }
      out[field.name] = value;
    }
    const stops = stop.value.split("\n").filter(Boolean).map((s) => s.replaceAll("\\n", "\n"));
    if (stops.length > MOST_STOPS) return {problem: `There can be at most ${MOST_STOPS} stop texts.`, field: stop};
    if (stops.length > 0) out.stop = stops;
    return {settings: out};
  };
  return {element, read};
}

function keyForm() {
  const input = h("input", {class: "field", type: "password", autocomplete: "off", value: apiKey.get()});
  return {
    element: h("div", {class: "settings-form"},
        row("API key", "kept until this tab is closed; sent to this server only", input)),
    read: () => ({key: input.value.trim()})
  };
}

/// Opens the dialog. conversation may be null: then only what holds for all is offered. first: "conversation", "all" or
/// "key".
export function settingsDialog(conversation, first = conversation ? "conversation" : "all") {
  return showDialog("Settings", (close) => {
    const parts = [
      conversation && {
        name: "conversation",
        label: "This conversation",
        ...settingsForm(conversation.settings, preferences.settings)
      },
      {name: "all", label: "All conversations", ...settingsForm(preferences.settings, {})},
      {name: "key", label: "Server", ...keyForm()},
    ].filter(Boolean);
    const problem = h("p", {class: "form-problem", role: "alert"});
    const save = () => {
      const read = parts.map((part) => part.read());
      const wrong = read.findIndex((r) => r.problem);
      if (wrong >= 0) {
        choose(parts[wrong].name);
        problem.textContent = read[wrong].problem;
        read[wrong].field.focus();
        return;
      }
      parts.forEach((part, i) => store(part.name, read[i], conversation));
      close(true);
    };
    const tabs =
        parts.map((part) => h("button", {type: "button", class: "tab", onclick: () => choose(part.name)}, part.label));
    const choose = (name) => parts.forEach((part, i) => {
      part.element.hidden = part.name !== name;
      tabs[i].setAttribute("aria-pressed", String(part.name === name));
    });
    choose(first);
    return h("form", {
      class: "dialog-body",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        save();
      }
    },
        h("div", {class: "tabs", role: "group", "aria-label": "What the settings hold for"}, tabs),
        parts.map((part) => part.element), problem,
        h("div", {class: "dialog-actions"},
            h("button", {type: "button", class: "button", onclick: () => close(false)}, "Cancel"),
            h("button", {type: "submit", class: "button button-main"}, "Save")));
  }, {wide: true});
}

function store(name, read, conversation) {
  if (name === "conversation") {
    conversation.settings = read.settings;
    if (conversation.messages.length > 0) conversations.save(conversation);
  }
  if (name === "all") preferences.settings = read.settings;
  if (name === "key" && read.key !== apiKey.get()) {
    apiKey.set(read.key);
    server.refresh();
  }
}
