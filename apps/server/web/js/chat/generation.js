// Answers that are being written. They go on when the user looks at another conversation. Listeners hear "progress" and
// "end" with detail {conversation, message}.
import {pause} from "../core/api.js";
import {streamChat} from "../core/completion.js";
import {server} from "../core/server.js";
import {addMessage, pathTo} from "../store/conversation.js";
import {conversations} from "../store/conversations.js";
import {preferences} from "../store/preferences.js";
import {requestFields} from "../store/sampling.js";
import {splitThought} from "../text/reasoning.js";

// How long a server that is loading or busy is asked again before the user is told.
const PATIENCE_MS = 120000;

/// The messages of a request: thoughts are left out, and so are answers that came to nothing.
export function requestMessages(system, path) {
  const messages = system.trim() ? [{role: "system", content: system}] : [];
  for (const m of path) {
    const content = m.role === "assistant" ? splitThought(m.content).answer : m.content;
    if (m.role === "assistant" && !content) continue;
    const before = messages.at(-1);
    // Templates want roles to alternate.
    if (before?.role === "user" && m.role === "user")
      before.content += `\n\n${content}`;
    else
      messages.push({role: m.role, content});
  }
  return messages;
}

const countIn = (n) => (Number.isInteger(n) && n >= 0 ? n : 0);

/// What is kept of an answer is what store/exchange.js takes back in.
function take(message, piece, clock) {
  if (piece.type === "text" || piece.type === "reasoning") {
    clock.first ??= performance.now();
    ++clock.pieces;
    if (piece.type === "text")
      message.content += piece.text;
    else
      message.reasoning = (message.reasoning ?? "") + piece.text;
  } else if (piece.type === "tool") {
    message.tools ??= [];
    const tool = (message.tools[piece.index] ??= {name: "", arguments: ""});
    tool.name += piece.name;
    tool.arguments += piece.arguments;
  } else if (piece.type === "finish") {
    message.finish = String(piece.reason).slice(0, 100);
  } else if (piece.type === "usage") {
    message.usage = {prompt: countIn(piece.usage.prompt_tokens), completion: countIn(piece.usage.completion_tokens)};
    const seconds = (performance.now() - (clock.first ?? performance.now())) / 1000;
    const measured = seconds > 0 ? message.usage.completion / seconds : 0;
    const said = piece.timings?.predicted_per_second;
    message.speed = Number.isFinite(said) && said >= 0 ? said : measured;
  }
}

/// Streams an answer, and asks again while the server says that it is loading or busy. waiting(text) is told of each
/// wait.
export async function* patientChat(body, signal, waiting) {
  const start = performance.now();
  for (;;) {
    try {
      yield* streamChat(body, signal);
      return;
    } catch (error) {
      if (error.kind !== "unavailable" || performance.now() - start > PATIENCE_MS) throw error;
      waiting(error.message);
      await pause(error.retryAfter ?? 2, signal);
      waiting("");
    }
  }
}

class Generations extends EventTarget {
  #running = new Map();

  /// {message, waiting, speed} of the answer that a conversation is getting, or null.
  of(conversation) { return this.#running.get(conversation?.id) ?? null; }

  stop(conversation) { this.of(conversation)?.controller.abort(); }

  /// Answers the message with the id parent. Returns when the answer has ended, however it did.
  async answer(conversation, parent) {
    if (this.of(conversation)) return;
    const {system, fields} = requestFields(preferences.settings, conversation.settings);
    const messages = requestMessages(system, pathTo(conversation, parent));
    const model = server.model(conversation.model)?.id ?? server.models[0]?.id ?? conversation.model;
    const message = addMessage(conversation, parent, {role: "assistant", content: "", state: "streaming", model});
    const run = {message, waiting: "", speed: 0, controller: new AbortController(), clock: {first: null, pieces: 0}};
    this.#running.set(conversation.id, run);
    conversations.save(conversation);
    this.#tell("progress", conversation, message);
    try {
      const pieces = patientChat({model, messages, ...fields}, run.controller.signal, (text) => {
        run.waiting = text;
        this.#tell("progress", conversation, message);
      });
      for await (const piece of pieces) this.#add(conversation, run, piece);
      message.state = "done";
    } catch (error) {
      message.state = error.name === "AbortError" ? "stopped" : "failed";
      if (message.state === "failed") message.error = error.message.slice(0, 2000);
      if (error.kind === "network" || error.kind === "key") server.refresh();
    }
    if (message.tools) message.tools = message.tools.filter(Boolean);
    this.#running.delete(conversation.id);
    conversation.updated = Date.now();
    // Told before it is kept: saving says so at once, and what is shown twice, a click between, loses the click.
    const kept = conversations.save(conversation);
    this.#tell("end", conversation, message);
    await kept;
  }

  #add(conversation, run, piece) {
    take(run.message, piece, run.clock);
    // Pieces are about tokens; the server's own figure follows at the end.
    const seconds = (performance.now() - (run.clock.first ?? 0)) / 1000;
    if (run.clock.pieces > 4 && seconds > 0.2) run.speed = (run.clock.pieces - 1) / seconds;
    conversations.saveSoon(conversation);
    this.#tell("progress", conversation, run.message);
  }

  #tell(type, conversation, message) { this.dispatchEvent(new CustomEvent(type, {detail: {conversation, message}})); }
}

export const generations = new Generations();
