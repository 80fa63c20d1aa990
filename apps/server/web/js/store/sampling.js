// The settings of an answer: their names are the interface's, their bounds what a form and a file may hold. A setting
// that is absent is not sent, so the server's own default holds.

export const NUMBERS = [
  {name: "temperature", label: "Temperature", min: 0, max: 10, step: 0.05, help: "0: always the likeliest token"},
  {name: "top_p", label: "Top p", min: 0, max: 1, step: 0.01, help: "the likeliest tokens up to this probability"},
  {
    name: "top_k",
    label: "Top k",
    min: 0,
    max: 1000000,
    step: 1,
    whole: true,
    help: "this many likeliest tokens; 0: all"
  },
  {name: "min_p", label: "Min p", min: 0, max: 1, step: 0.01, help: "at least this share of the likeliest"},
  {name: "seed", label: "Seed", min: 0, max: 4294967295, step: 1, whole: true, help: "equal seeds, equal answers"},
  {
    name: "max_tokens",
    label: "Most tokens",
    min: 1,
    max: 10000000,
    step: 1,
    whole: true,
    help: "where an answer is cut"
  },
  {name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, help: "for tokens that occurred"},
  {
    name: "frequency_penalty",
    label: "Frequency penalty",
    min: -2,
    max: 2,
    step: 0.1,
    help: "for each time that they did"
  },
  {name: "repeat_penalty", label: "Repeat penalty", min: 0.1, max: 10, step: 0.05, help: "1: none; llama.cpp's"},
];
export const MOST_STOPS = 4;
export const LONGEST_SYSTEM = 100000;

/// What is wrong with a number for a field, or "".
export function numberProblem(field, value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "must be a number";
  if (field.whole && !Number.isInteger(value)) return "must be a whole number";
  if (value < field.min || value > field.max) return `must be from ${field.min} to ${field.max}`;
  return "";
}

/// What is wrong with a settings object {system?, stop?, numbers...}, or "".
export function settingsProblem(settings) {
  if (settings === null || typeof settings !== "object" || Array.isArray(settings)) return "must be an object";
  for (const [name, value] of Object.entries(settings)) {
    if (name === "system") {
      if (typeof value !== "string" || value.length > LONGEST_SYSTEM)
        return `system: must be a string of at most ${LONGEST_SYSTEM} characters`;
    } else if (name === "stop") {
      if (!Array.isArray(value) || value.length > MOST_STOPS ||
          value.some((s) => typeof s !== "string" || !s || s.length > 200))
        return `stop: must be at most ${MOST_STOPS} strings`;
    } else {
      const field = NUMBERS.find((f) => f.name === name);
      if (!field) return `${name}: not a setting`;
      const problem = numberProblem(field, value);
      if (problem) return `${name}: ${problem}`;
    }
  }
  return "";
}

/// The fields of a request. Later settings go before earlier ones.
export function requestFields(...settings) {
  const {system, ...fields} = Object.assign({}, ...settings);
  if (fields.stop?.length === 0) delete fields.stop;
  return {system: system ?? "", fields};
}
