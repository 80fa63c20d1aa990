// A conversation is a tree of messages: editing or asking again branches off beside what was there, and nothing is
// lost.
//
//   {id, title, created, updated, model, settings, leaf, messages: [{id, parent, role, content, created, ...}]}
//
// messages are in the order in which they were made, so parents come first; parent is null at the beginning. leaf is
// the end of the branch that is shown. Messages of the assistant have state ("done", "streaming", "stopped", "failed"),
// model, and where known finish, error, usage {prompt, completion} and speed (tokens/s).

const FIRST_TITLE = "New conversation";

export const newId = () => crypto.randomUUID?.() ??
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

export function newConversation(model) {
  const now = Date.now();
  return {id: newId(), title: FIRST_TITLE, created: now, updated: now, model, settings: {}, leaf: null, messages: []};
}

export const find = (conversation, id) => conversation.messages.find((m) => m.id === id) ?? null;

/// The messages from the beginning to one of them, by default to the end of the branch that is shown.
export function pathTo(conversation, id = conversation.leaf) {
  const byId = new Map(conversation.messages.map((m) => [m.id, m]));
  const path = [];
  for (let m = byId.get(id); m; m = byId.get(m.parent)) path.push(m);
  return path.reverse();
}

/// Adds a message after another (null: at the beginning) and shows its branch.
export function addMessage(conversation, parent, fields) {
  const message = {id: newId(), parent, created: Date.now(), ...fields};
  conversation.messages.push(message);
  conversation.leaf = message.id;
  conversation.updated = message.created;
  if (conversation.title === FIRST_TITLE && message.role === "user") conversation.title = titleOf(message.content);
  return message;
}

/// The alternatives to a message, itself among them, oldest first.
export const alternatives = (conversation, message) => conversation.messages.filter((m) => m.parent === message.parent);

/// Shows the branch of a message, down to its newest end.
export function showBranch(conversation, id) {
  conversation.leaf = id;
  // Children come after their parents, and the newest child last.
  for (let child = id; child; child = conversation.messages.findLast((m) => m.parent === conversation.leaf)?.id)
    conversation.leaf = child;
}

export function titleOf(text) {
  const line = text.trim().split("\n")[0].replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 58).trimEnd()} …` : line || FIRST_TITLE;
}
