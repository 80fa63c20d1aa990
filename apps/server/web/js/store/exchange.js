// Conversations as a JSON file, out and in. A file from outside is checked field by field; the first thing that is
// wrong is named and nothing of the file is taken.
import {newId} from "./conversation.js";
import {settingsProblem} from "./sampling.js";

export const FORMAT = "nibble-conversations";
const VERSION = 1;
export const MOST_BYTES = 100e6;
const LONGEST_TEXT = 10e6;

export function exported(list) {
  return JSON.stringify(
      {format: FORMAT, version: VERSION, exported: new Date().toISOString(), conversations: list}, null, 1);
}

function check(condition, path, text) {
  if (!condition) throw new Error(`${path}: ${text}`);
}

const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const isText = (most) => (v) => typeof v === "string" && v.length <= most;
const isId = (v) => typeof v === "string" && /^[A-Za-z0-9-]{1,64}$/.test(v);
const isTime = (v) => Number.isFinite(v) && v >= 0 && v < 1e14;
const isCount = (v) => Number.isInteger(v) && v >= 0 && v < 1e12;

const MESSAGE = {
  id: [isId, "must be an id"],
  parent: [(v) => v === null || isId(v), "must be an id or null"],
  role: [(v) => v === "user" || v === "assistant", "must be \"user\" or \"assistant\""],
  content: [isText(LONGEST_TEXT), "must be a string"],
  created: [isTime, "must be a time in milliseconds"],
};
const MESSAGE_MAY = {
  reasoning: [isText(LONGEST_TEXT), "must be a string"],
  tools: [
    (v) => Array.isArray(v) && v.length <= 1000 &&
        v.every((t) => isObject(t) && Object.keys(t).length === 2 && isText(1000)(t.name) &&
                isText(LONGEST_TEXT)(t.arguments)),
    "must be a list of {name, arguments}"
  ],
  state: [(v) => ["done", "streaming", "stopped", "failed"].includes(v), "must be done, streaming, stopped or failed"],
  model: [isText(1000), "must be a string"],
  finish: [isText(100), "must be a string"],
  error: [isText(10000), "must be a string"],
  usage: [
    (v) => isObject(v) && Object.keys(v).length === 2 && isCount(v.prompt) && isCount(v.completion),
    "must be {prompt, completion}"
  ],
  speed: [(v) => Number.isFinite(v) && v >= 0, "must be a number"],
  edited: [(v) => v === true, "must be true"],
};
const CONVERSATION = {
  id: [isId, "must be an id"],
  title: [isText(1000), "must be a string of at most 1000 characters"],
  created: [isTime, "must be a time in milliseconds"],
  updated: [isTime, "must be a time in milliseconds"],
  model: [isText(1000), "must be a string"],
  settings: [isObject, "must be an object"],
  leaf: [(v) => v === null || isId(v), "must be an id or null"],
  messages: [(v) => Array.isArray(v) && v.length <= 100000, "must be a list"],
};

function checkFields(object, path, must, may = {}) {
  check(isObject(object), path, "must be an object");
  for (const [name, [right, text]] of Object.entries(must)) {
    check(Object.hasOwn(object, name), path, `${name} is missing`);
    check(right(object[name]), `${path}.${name}`, text);
  }
  for (const name of Object.keys(object)) {
    if (Object.hasOwn(must, name)) continue;
    check(Object.hasOwn(may, name), path, `unknown field ${JSON.stringify(name.slice(0, 50))}`);
    check(may[name][0](object[name]), `${path}.${name}`, may[name][1]);
  }
}

function checkConversation(c, path) {
  checkFields(c, path, CONVERSATION);
  const problem = settingsProblem(c.settings);
  check(!problem, `${path}.settings`, problem);
  const seen = new Set();
  c.messages.forEach((m, i) => {
    const at = `${path}.messages[${i}]`;
    checkFields(m, at, MESSAGE, MESSAGE_MAY);
    check(!seen.has(m.id), `${at}.id`, "is there twice");
    check(m.parent === null || seen.has(m.parent), `${at}.parent`, "is no earlier message");
    seen.add(m.id);
  });
  check(c.leaf === null ? c.messages.length === 0 : seen.has(c.leaf), `${path}.leaf`, "is no message");
}

/// The conversations of a parsed file. Throws an Error that names the field.
export function checked(file) {
  check(isObject(file) && file.format === FORMAT, "format",
      `must be ${JSON.stringify(FORMAT)}; is this an export of Nibble's page?`);
  check(file.version === VERSION, "version", `must be ${VERSION}`);
  for (const name of Object.keys(file))
    check(["format", "version", "exported", "conversations"].includes(name), "the file",
        `unknown field ${JSON.stringify(name.slice(0, 50))}`);
  check(Array.isArray(file.conversations) && file.conversations.length <= 100000, "conversations", "must be a list");
  const ids = new Set();
  file.conversations.forEach((c, i) => {
    checkConversation(c, `conversations[${i}]`);
    check(!ids.has(c.id), `conversations[${i}].id`, "is there twice");
    ids.add(c.id);
  });
  // An answer that was being written when the file was made has ended since.
  for (const c of file.conversations)
    for (const m of c.messages)
      if (m.state === "streaming") m.state = "stopped";
  return file.conversations;
}

/// Those of a file's conversations that are to be added: one that is here in the same words is left out, one that is
/// here in other words comes under a new id.
export function toAdd(theirs, ours) {
  return theirs.flatMap((c) => {
    const mine = ours(c.id);
    if (!mine) return [c];
    return JSON.stringify(mine.messages) === JSON.stringify(c.messages) ? [] : [{...c, id: newId()}];
  });
}
