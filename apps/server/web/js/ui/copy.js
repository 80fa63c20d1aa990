// Copying to the clipboard, also where the page did not come over HTTPS and browsers withhold navigator.clipboard.
import {icon, iconButton} from "../core/dom.js";
import {announce} from "./announcer.js";

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/// A button that copies what textOf() gives and says so for a moment.
export function copyButton(label, textOf) {
  const button = iconButton("copy", label, async () => {
    const done = await copyText(textOf());
    announce(done ? "Copied" : "Copying failed");
    if (!done) return;
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}
