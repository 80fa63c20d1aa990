// Starts the page and shows the part of it that the address names: #/, #/new, #/chat/ID, #/compare, #/quantization.
import {ChatPage} from "./chat/page.js";
import {server} from "./core/server.js";
import {conversations} from "./store/conversations.js";
import {Sidebar} from "./ui/sidebar.js";
import {toast} from "./ui/toast.js";

const main = document.getElementById("main");
const pages = new Map();

async function make(name) {
  if (name === "chat") return new ChatPage();
  if (name === "compare") return new (await import("./compare/page.js")).ComparePage();
  return new (await import("./quant/page.js")).QuantizationPage();
}

async function pageNamed(name, sidebar) {
  if (!pages.has(name)) {
    const page = await make(name);
    page.onopen = () => sidebar.here(name, page.openId ?? "");
    pages.set(name, page);
    main.append(page.element);
  }
  return pages.get(name);
}

async function route(sidebar, byUser) {
  const [, name = "", id = ""] = location.hash.split("/");
  if (name === "new") history.replaceState(null, "", "#/");
  const shown = name === "compare" || name === "quantization" ? name : "chat";
  const page = await pageNamed(shown, sidebar);
  for (const [other, p] of pages) p.element.hidden = other !== shown;
  page.open(id, name === "new");
  sidebar.here(shown, page.openId ?? "");
  if (byUser) page.focus();
}

async function start() {
  document.getElementById("skip").addEventListener("click", () => main.focus());
  conversations.addEventListener("problem", ({detail}) => toast(detail, "problem"));
  await conversations.open();
  const sidebar = new Sidebar(document.getElementById("sidebar"));
  addEventListener("hashchange", () => route(sidebar, true));
  server.refresh();
  await route(sidebar, false);
  document.body.dataset.ready = "";
}

start();
