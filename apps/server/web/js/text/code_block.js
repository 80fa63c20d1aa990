// A block of code with its language, a button that copies it, and colours.
import {h} from "../core/dom.js";
import {copyButton} from "../ui/copy.js";
import {highlight} from "./highlight.js";

/// running: more code is coming; the block is coloured by settle(), once.
export function codeBlock(text, language, running = false) {
  const code = h("code", {}, text);
  const pre = h("pre", {tabindex: "0"}, code);
  const block = h("div", {class: "code-block", role: "group", "aria-label": language ? `Code, ${language}` : "Code"},
      h("div", {class: "code-head"}, h("span", {class: "code-language"}, language || "text"),
          copyButton("Copy the code", () => code.textContent)),
      pre);
  block.language = language;
  if (!running) highlight(code, language);
  return block;
}

/// Adds what has come since. Only the new characters are touched, so that long programs do not slow down.
export function growCodeBlock(block, text) {
  const node =
      block.querySelector("code").firstChild ?? block.querySelector("code").appendChild(document.createTextNode(""));
  if (text.startsWith(node.data))
    node.appendData(text.slice(node.data.length));
  else
    node.data = text;
}

export function settleCodeBlock(block) { highlight(block.querySelector("code"), block.language); }
