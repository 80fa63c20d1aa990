// All conversations of this browser: held here, written to the database behind, and in step with other tabs. Listeners
// hear "change" (the list; detail is the id or null), "problem" (detail is a message) and "kept" (a save went well
// again).
import {Database} from "./database.js";

// While an answer streams it is saved this often, so that little is lost when the page closes.
const SAVE_EVERY_MS = 1000;

class Conversations extends EventTarget {
  #database = new Database();
  #all = new Map();
  #timers = new Map();
  #full = false;
  #deleted = new WeakSet();
  #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("nibble.conversations") : null;

  async open() {
    await this.#database.open();
    for (const c of await this.#database.all()) this.#all.set(c.id, c);
    if (!this.#database.kept)
      this.#say("problem", "This browser does not let the page keep conversations; they last until it is closed.");
    this.#channel?.addEventListener("message", ({data}) => this.#follow(data.id));
    // What a timer still holds is written when the page goes into the background, which may be its end.
    addEventListener("visibilitychange", () => document.hidden && this.flush());
    addEventListener("pagehide", () => this.flush());
  }

  /// Newest first.
  list() { return [...this.#all.values()].sort((a, b) => b.updated - a.updated); }

  get(id) { return this.#all.get(id) ?? null; }

  /// Conversations with the words in their title or any message, newest first.
  search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return this.list().filter((c) => {
      const all = [c.title, ...c.messages.map((m) => m.content)].join("\n").toLowerCase();
      return words.every((w) => all.includes(w));
    });
  }

  /// Saves at once. What was deleted stays so, also when its answer ends only then.
  async save(conversation) {
    if (this.#deleted.has(conversation)) return;
    clearTimeout(this.#timers.get(conversation.id));
    this.#timers.delete(conversation.id);
    this.#all.set(conversation.id, conversation);
    this.#say("change", conversation.id);
    try {
      await this.#database.put(conversation);
      this.#channel?.postMessage({id: conversation.id});
      if (this.#full) this.#say("kept", null);
      this.#full = false;
    } catch (error) {
      if (!this.#full) this.#say("problem", problemText(error));
      this.#full = true;
    }
  }

  /// Saves soon; many calls are one save.
  saveSoon(conversation) {
    if (this.#timers.has(conversation.id) || this.#deleted.has(conversation)) return;
    this.#timers.set(conversation.id, setTimeout(() => this.save(conversation), SAVE_EVERY_MS));
  }

  flush() {
    for (const id of [...this.#timers.keys()])
      if (this.#all.has(id)) this.save(this.#all.get(id));
  }

  async delete(id) {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    if (this.#all.has(id)) this.#deleted.add(this.#all.get(id));
    this.#all.delete(id);
    this.#say("change", id);
    await this.#database.delete(id);
    this.#channel?.postMessage({id});
  }

  /// Another tab has saved or deleted one.
  async #follow(id) {
    if (this.#timers.has(id)) return;
    const theirs = await this.#database.get(id);
    if (theirs)
      this.#all.set(id, theirs);
    else
      this.#all.delete(id);
    this.#say("change", id);
  }

  #say(type, detail) { this.dispatchEvent(new CustomEvent(type, {detail})); }
}

function problemText(error) {
  if (error?.name === "QuotaExceededError")
    return "There is no room left to keep the conversation. Export your conversations, then delete some.";
  return `The conversation could not be kept: ${error?.message ?? error}`;
}

export const conversations = new Conversations();
