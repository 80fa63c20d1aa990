// Markdown to elements. What a model writes is untrusted. Three walls stand between it and the page: HTML in the
// Markdown is not parsed but shown as text; DOMPurify keeps a short list of elements and attributes; the
// Content-Security-Policy runs no inline script and loads nothing from outside.
import {codeBlock} from "./code_block.js";
import {sanitized} from "./sanitize.js";

const {marked} = globalThis;

function escaped(text) { return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`); }

marked.use({
  gfm: true,
  tokenizer: {
    // No token: the characters are read as text.
    html: () => undefined,
    // Models write <br> in the cells of tables, where there is no other way to break a line.
    tag(source) {
      const line = /^<br\s*\/?>/i.exec(source);
      return line ? {type: "br", raw: line[0]} : undefined;
    },
  },
  // An image would be fetched from outside; it becomes a link to itself.
  walkTokens(token) {
    if (token.type !== "image") return;
    const text = `Image: ${token.text || token.href}`;
    Object.assign(token, {type: "link", tokens: [{type: "text", raw: text, text: escaped(text), escaped: true}]});
  },
});
// Names differ between releases of marked; unknown ones do nothing.
const OPTIONS = {
  headerIds: false,
  mangle: false
};

function finish(fragment) {
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const box of fragment.querySelectorAll("input")) {
    const mark = document.createElement("span");
    mark.className = "task";
    mark.textContent = box.checked ? "☑ " : "☐ ";
    box.replaceWith(mark);
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", "Table");
    table.replaceWith(frame);
    frame.append(table);
  }
  // The renderer ends code with a line break of its own.
  for (const code of fragment.querySelectorAll("pre > code"))
    code.parentElement.replaceWith(
        codeBlock(code.textContent.replace(/\n$/, ""), /(?:^|\s)language-(\S+)/.exec(code.className)?.[1] ?? ""));
  // Classes of the model's choosing could borrow the look of the page's own parts.
  for (const element of fragment.querySelectorAll("[class^='language-']")) element.removeAttribute("class");
  return fragment;
}

/// The blocks of a Markdown text, as marked tells them apart.
export function blocksOf(text) { return marked.lexer(text, {...marked.defaults, ...OPTIONS}); }

/// The elements of some blocks.
export function blockElements(blocks) {
  marked.walkTokens(blocks, marked.defaults.walkTokens);
  return finish(sanitized(marked.parser(blocks, {...marked.defaults, ...OPTIONS})));
}
