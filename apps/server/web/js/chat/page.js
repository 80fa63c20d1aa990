// The chat: one conversation's thread, the line to write in, the model and the meter.
import {h, icon, iconButton, replace} from "../core/dom.js";
import {short, bytes, count} from "../core/numbers.js";
import {server} from "../core/server.js";
import {addMessage, newConversation, pathTo, showBranch} from "../store/conversation.js";
import {conversations} from "../store/conversations.js";
import {exported} from "../store/exchange.js";
import {preferences} from "../store/preferences.js";
import {splitThought} from "../text/reasoning.js";
import {announce} from "../ui/announcer.js";
import {onEscape} from "../ui/escape.js";
import {saveFile} from "../ui/files.js";
import {ModelSelect, shortName} from "../ui/model_select.js";
import {serverNotice} from "../ui/server_notice.js";
import {settingsDialog} from "../ui/settings_dialog.js";
import {menuButton} from "../ui/sidebar.js";
import {Composer} from "./composer.js";
import {editInPlace} from "./editor.js";
import {generations} from "./generation.js";
import {MessageView} from "./message.js";
import {ContextMeter} from "./meter.js";
import {Scroller} from "./scroller.js";

const STARTERS = [
  "Explain quantization of language models to a curious child.",
  "Write a Python function that finds the primes below n, with a test.",
  "Plan a quiet weekend by the sea, hour by hour, as a table."
];
// Of a finished answer a screen reader gets this much at once; the rest is in the thread.
const ANNOUNCED_CHARS = 300;

function factsOf(meta) {
  const facts = [meta.architecture];
  if (meta.n_params > 0) facts.push(`${short(meta.n_params)} parameters`);
  if (meta.size > 0) facts.push(bytes(meta.size));
  if (meta.n_ctx > 0) facts.push(`${count(meta.n_ctx)} tokens of context`);
  return facts.filter(Boolean).join(" · ");
}

export class ChatPage {
  #conversation = null;
  #views = new Map();
  #title = h("h1", {class: "topbar-title"});
  #list = h("ol", {class: "messages", "aria-label": "Messages"});
  #welcome = h("div", {class: "welcome"});
  #model = new ModelSelect("Model", (id) => this.#chooseModel(id));
  #meter = new ContextMeter();
  #exportButton = iconButton("export", "Export this conversation", () => this.#save());
  #composer = new Composer({
    send: (text) => this.#send(text),
    stop: () => generations.stop(this.#conversation),
    draft: (text) => this.#meter.draft(text, this.#model.value)
  });
  #scroller;

  /// Called when a conversation that had no name in the address has got one.
  onopen = () => {};

  constructor() {
    const thread = h("div", {class: "thread", tabindex: "0", role: "region", "aria-label": "Conversation"},
        this.#welcome, this.#list);
    this.#scroller = new Scroller(thread);
    this.element = h("section", {class: "page chat-page", "aria-label": "Chat"},
        h("header", {class: "topbar"}, menuButton(), this.#title, this.#model.element, this.#meter.element,
            this.#exportButton, iconButton("settings", "Settings", () => settingsDialog(this.#conversation))),
        thread,
        h("div", {class: "composer-area"}, this.#scroller.button, serverNotice(), this.#composer.element,
            h("p", {class: "composer-hint"}, "Models make mistakes. ",
                h("span", {class: "keys"}, "Enter sends, Shift + Enter begins a line."))));
    onEscape(this.element, () => generations.of(this.#conversation) && this.#stop());
    generations.addEventListener("progress", ({detail}) => this.#progress(detail));
    generations.addEventListener("end", ({detail}) => this.#end(detail));
    conversations.addEventListener("change", ({detail}) => this.#changed(detail));
    server.addEventListener("change", () => this.#show());
  }

  /// Shows a conversation; without an id the one that was shown last, or an empty one.
  open(id, fresh = false) {
    const found = conversations.get(id);
    const conversation = found ?? (fresh ? null : this.#conversation) ?? newConversation(preferences.model);
    if (conversation.messages.length > 0)
      this.#name(conversation);
    else if (id)
      history.replaceState(null, "", "#/");
    if (conversation === this.#conversation) return;
    this.#conversation = conversation;
    this.#model.value = conversation.model;
    this.#views.clear();
    this.#list.replaceChildren();
    this.#show();
    this.#scroller.toEnd();
  }

  /// The id of what is shown, "" for a conversation without a message.
  get openId() { return this.#conversation?.messages.length > 0 ? this.#conversation.id : ""; }

  #name(conversation) {
    if (location.hash !== `#/chat/${conversation.id}`) history.replaceState(null, "", `#/chat/${conversation.id}`);
  }

  focus() { this.#composer.focus(); }

  #show() {
    const c = this.#conversation;
    if (!c) return;
    this.#title.textContent = c.messages.length > 0 ? c.title : "New conversation";
    document.title = c.messages.length > 0 ? `${c.title} · Nibble` : "Nibble";
    const run = generations.of(c);
    const path = pathTo(c);
    const views = path.map((m) => this.#view(m));
    // Only what differs is moved: a message that stays keeps its focus and its selection.
    views.forEach((view, i) => {
      if (this.#list.children[i] !== view.element)
        this.#list.insertBefore(view.element, this.#list.children[i] ?? null);
    });
    while (this.#list.children.length > views.length) this.#list.lastChild.remove();
    for (const view of views) view.update(run);
    this.#welcome.hidden = path.length > 0;
    this.#exportButton.hidden = path.length === 0;
    if (path.length === 0) this.#showWelcome();
    this.#composer.busy = run !== null;
    this.#showMeter();
  }

  #view(message) {
    let view = this.#views.get(message.id);
    if (view?.message !== message) {
      view = new MessageView(this.#conversation, message,
          {edit: (m) => this.#edit(m), again: (m) => this.#again(m), show: (m) => this.#branch(m)});
      view.onrender = () => this.#scroller.follow();
      this.#views.set(message.id, view);
    }
    return view;
  }

  #showWelcome() {
    const model = server.model(this.#model.value) ?? server.models[0];
    const start = (text) => {
      this.#composer.text = text;
      this.#composer.focus();
    };
    const starter = (text) => h("button", {type: "button", class: "starter", onclick: () => start(text)}, text);
    replace(this.#welcome, h("h2", {}, model ? ["Ask ", h("em", {}, shortName(model.id))] : "One moment"),
        h("p", {class: "welcome-facts"}, factsOf(model?.meta ?? {})),
        h("div", {class: "starters"}, STARTERS.map(starter)));
  }

  #showMeter() {
    const last = pathTo(this.#conversation).findLast((m) => m.usage);
    this.#meter.show(last ? last.usage.prompt + last.usage.completion : 0, server.context(this.#model.value));
  }

  #send(text) {
    const c = this.#conversation;
    if (generations.of(c)) return false;
    const message = addMessage(c, c.leaf, {role: "user", content: text});
    this.#ask(message);
    this.#name(c);
    this.onopen();
    return true;
  }

  #ask(message) {
    this.#conversation.model = this.#model.value || this.#conversation.model;
    generations.answer(this.#conversation, message.id);
    this.#meter.draft("");
    this.#scroller.toEnd();
    announce("Sent. The answer is being written.");
  }

  #stop() {
    generations.stop(this.#conversation);
    this.#composer.focus();
  }

  #again(message) {
    if (generations.of(this.#conversation)) return;
    this.#ask({id: message.parent});
    this.#composer.focus();
  }

  async #edit(message) {
    const conversation = this.#conversation;
    const view = this.#view(message);
    const mine = message.role === "user";
    const text = await editInPlace(view.element, message.content, mine ? "Ask again" : "Save");
    if (conversation !== this.#conversation) return;
    const unchanged = text === null || text === message.content && !mine;
    if (!unchanged && !generations.of(conversation)) {
      if (mine)
        this.#ask(addMessage(conversation, message.parent, {role: "user", content: text.trim()}));
      else {
        const {model} = message;
        addMessage(
            conversation, message.parent, {role: "assistant", content: text, state: "done", model, edited: true});
        conversations.save(conversation);
      }
    }
    this.#show();
    this.#composer.focus();
  }

  #branch(message) {
    if (generations.of(this.#conversation)) return;
    showBranch(this.#conversation, message.id);
    conversations.save(this.#conversation);
    this.#views.get(message.id)?.element.querySelector(".branches button:enabled")?.focus();
  }

  #chooseModel(id) {
    preferences.model = id;
    this.#conversation.model = id;
    if (this.#conversation.messages.length > 0) conversations.save(this.#conversation);
    this.#show();
  }

  #save() {
    const name = this.#conversation.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 50);
    saveFile(`nibble-${name}.json`, exported([this.#conversation]));
  }

  #progress({conversation, message}) {
    if (conversation !== this.#conversation) return;
    const view = this.#views.get(message.id);
    if (view?.element.isConnected)
      view.update(generations.of(conversation));
    else
      this.#show();
    this.#scroller.follow();
  }

  #end({conversation, message}) {
    if (conversation !== this.#conversation) return;
    this.#show();
    this.#scroller.follow();
    const text = splitThought(message.content).answer;
    if (message.state === "failed")
      announce(`The answer failed: ${message.error}`);
    else if (message.state === "stopped")
      announce("Stopped.");
    else
      announce(text.length > ANNOUNCED_CHARS
              ? `Answer: ${text.slice(0, ANNOUNCED_CHARS)} … The rest is in the conversation.`
              : `Answer: ${text}`);
  }

  /// A conversation was saved, here or in another tab, or deleted.
  #changed(id) {
    if (!this.#conversation || id !== this.#conversation.id) return;
    const now = conversations.get(id);
    if (now && generations.of(this.#conversation)) return;
    if (now === this.#conversation) return this.#show();
    this.#conversation = null;
    if (!now) history.replaceState(null, "", "#/");
    this.open(now ? id : "");
    this.onopen();
  }
}
