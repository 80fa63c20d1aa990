// Pages and conversations. On narrow screens it lies over the page and is opened by a button.
import {h, icon, iconButton, replace} from "../core/dom.js";
import {generations} from "../chat/generation.js";
import {conversations} from "../store/conversations.js";
import {checked, exported, MOST_BYTES, toAdd} from "../store/exchange.js";
import {confirmDialog, promptDialog} from "./dialog.js";
import {fileInput, jsonOf, saveFile} from "./files.js";
import {settingsDialog} from "./settings_dialog.js";
import {isDark, toggleTheme} from "./theme.js";
import {toast} from "./toast.js";

const PAGES = ["chat", "compare", "quantization"];
const DAY_MS = 86400000;
const narrow = matchMedia("(max-width: 820px)");

function setOpen(open) {
  const sidebar = document.getElementById("sidebar");
  const main = document.getElementById("main");
  const over = narrow.matches && open;
  sidebar.classList.toggle("is-open", over);
  sidebar.inert = narrow.matches && !open;
  main.inert = over;
  for (const button of document.querySelectorAll(".menu-button")) button.setAttribute("aria-expanded", String(over));
  if (over) sidebar.querySelector("a, button").focus();
}

/// The button that opens the sidebar where the screen is narrow.
export function menuButton() {
  return iconButton("menu", "Pages and conversations", () => setOpen(true),
      {class: "icon-button menu-button", "aria-expanded": "false", "aria-controls": "sidebar"});
}

function groupOf(time) {
  const today = new Date().setHours(0, 0, 0, 0);
  if (time >= today) return "Today";
  return time >= today - 6 * DAY_MS ? "Last seven days" : "Earlier";
}

function markCurrent(link, current) {
  if (current)
    link.setAttribute("aria-current", "page");
  else
    link.removeAttribute("aria-current");
}

function saveAll() {
  const day = new Date().toISOString().slice(0, 10);
  saveFile(`nibble-conversations-${day}.json`, exported(conversations.list()));
}

export class Sidebar {
  #element;
  #open = "";
  #looks = "";
  #search = h("input", {
    type: "search",
    class: "field",
    placeholder: "Search",
    "aria-label": "Search in conversations",
    oninput: () => this.#fill()
  });
  #lists = h("div", {class: "conversation-lists"});
  #links;
  #theme = iconButton("moon", "", toggleTheme);
  #importInput = fileInput("Import conversations", (files) => this.#load(files[0]));

  constructor(element) {
    this.#element = element;
    const page = (hash, name, text) => h("a", {href: hash, class: "page-link"}, icon(name), text);
    this.#links = [
      page("#/", "chat", "Chat"), page("#/compare", "columns", "Side by side"),
      page("#/quantization", "bars", "Quantization")
    ];
    replace(element,
        h("div", {class: "brand"}, h("img", {src: "/icon.svg", alt: "", width: "28", height: "28"}),
            h("span", {}, "nibble"),
            iconButton("close", "Close", () => this.close(), {class: "icon-button sidebar-close"})),
        h("nav", {"aria-label": "Pages"}, this.#links),
        h("section", {class: "conversations", "aria-label": "Conversations"},
            h("a", {href: "#/new", class: "button new-button"}, icon("plus"), "New conversation"), this.#search,
            this.#lists),
        h("div", {class: "sidebar-foot"}, this.#importInput,
            iconButton("import", "Import conversations", () => this.#importInput.click()),
            iconButton("export", "Export all conversations", saveAll), this.#theme,
            iconButton("settings", "Settings for all conversations", () => settingsDialog(null)),
            h("a", {href: "/licenses.txt", target: "_blank", rel: "noopener", class: "note"}, "Licences")));
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !element.classList.contains("is-open")) return;
      event.preventDefault();
      this.close();
    });
    document.getElementById("main").parentElement.addEventListener(
        "click", (event) => event.target.matches(".shell") && this.close());
    conversations.addEventListener("change", () => this.#fill());
    document.addEventListener("themechange", () => this.#showTheme());
    narrow.addEventListener("change", () => setOpen(false));
    setOpen(false);
    this.#showTheme();
    this.#fill();
  }

  close() {
    if (!this.#element.classList.contains("is-open")) return;
    setOpen(false);
    document.querySelector(".page:not([hidden]) .menu-button")?.focus();
  }

  /// The page has changed: marks where the user is.
  here(page, id) {
    this.#links.forEach((link, i) => markCurrent(link, PAGES[i] === page));
    this.#open = page === "chat" ? id : "";
    this.#mark();
    setOpen(false);
  }

  #mark() {
    for (const link of this.#lists.querySelectorAll("a")) markCurrent(link, link.dataset.id === this.#open);
  }

  #showTheme() {
    replace(this.#theme, icon(isDark() ? "sun" : "moon"));
    const label = isDark() ? "Light theme" : "Dark theme";
    this.#theme.setAttribute("aria-label", label);
    this.#theme.title = label;
  }

  #fill() {
    const text = this.#search.value.trim();
    const found = text ? conversations.search(text) : conversations.list();
    // An answer that streams is saved again and again; what looks the same is left alone, or clicks would get lost.
    const looks = JSON.stringify([text, found.map((c) => [c.id, c.title, groupOf(c.updated)])]);
    if (looks === this.#looks) return;
    this.#looks = looks;
    const focused = this.#lists.contains(document.activeElement) ? document.activeElement : null;
    const groups = new Map();
    for (const c of found) groups.set(groupOf(c.updated), [...(groups.get(groupOf(c.updated)) ?? []), c]);
    const group = (name, list) => [h("h2", {class: "group"}, name), h("ul", {}, list.map((c) => this.#item(c)))];
    const none = h("p", {class: "note"}, text ? "Nothing found." : "Conversations stay in this browser.");
    replace(this.#lists, found.length > 0 ? [...groups].map((g) => group(...g)) : none);
    this.#mark();
    if (focused?.dataset.key) this.#lists.querySelector(`[data-key="${focused.dataset.key}"]`)?.focus();
  }

  #item(c) {
    return h("li", {class: "conversation"},
        h("a", {href: `#/chat/${c.id}`, data: {id: c.id, key: `open-${c.id}`}, title: c.title}, c.title),
        iconButton("edit", `Rename: ${c.title}`, () => this.#rename(c), {data: {key: `rename-${c.id}`}}),
        iconButton("trash", `Delete: ${c.title}`, () => this.#remove(c), {data: {key: `delete-${c.id}`}}));
  }

  async #rename(c) {
    const title = await promptDialog("Rename", "Title of the conversation", c.title, "Rename");
    if (!title) return;
    c.title = title;
    await conversations.save(c);
  }

  async #remove(c) {
    if (!(await confirmDialog("Delete", `“${c.title}” will be gone from this browser.`, "Delete"))) return;
    generations.stop(c);
    await conversations.delete(c.id);
    this.#search.focus();
  }

  async #load(file) {
    try {
      const theirs = checked(await jsonOf(file, MOST_BYTES));
      const added = toAdd(theirs, (id) => conversations.get(id));
      for (const c of added) await conversations.save(c);
      const rest = theirs.length - added.length;
      toast(`${added.length} conversation${added.length === 1 ? "" : "s"} imported${
          rest > 0 ? `, ${rest} already here` : ""}.`);
    } catch (error) {
      toast(`Nothing was imported. ${error.message}`, "problem");
    }
  }
}
