// What holds for every conversation: default settings and the model chosen last. In localStorage.
import {settingsProblem} from "./sampling.js";

const KEY = "nibble.preferences";
let memory = {settings: {}, model: ""};

function load() {
  try {
    const value = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (value && typeof value.model === "string" && settingsProblem(value.settings) === "") memory = value;
  } catch {
    // Unreadable or withheld: what this page holds.
  }
  return memory;
}

function save(change) {
  memory = {...load(), ...change};
  try {
    localStorage.setItem(KEY, JSON.stringify(memory));
  } catch {
    // Kept while the page is open.
  }
}

export const preferences = {
  get settings() { return load().settings;},
  set settings(settings) { save({settings});},
  get model() { return load().model;},
  set model(model) { save({model});},
};
