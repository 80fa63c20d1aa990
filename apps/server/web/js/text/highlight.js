// Colours for code, by highlight.js, which is fetched when the first code that names its language is shown.
import {loadLibrary} from "../core/library.js";
import {sanitized} from "./sanitize.js";

// Longer code stays without colours: matching it would hold up the page.
const MOST = 60000;

function html(hljs, text, language) {
  // Release 9 (Debian 12) takes the language first.
  return Number.parseInt(hljs.versionString ?? "9", 10) >= 10
      ? hljs.highlight(text, {language, ignoreIllegals: true}).value
      : hljs.highlight(language, text, true).value;
}

/// Colours the text of an element, if its language is known. The text stays the same.
export async function highlight(code, language) {
  const text = code.textContent;
  if (!language || text.length > MOST) return;
  try {
    const hljs = await loadLibrary("highlight", "hljs");
    if (!hljs.getLanguage(language) || code.textContent !== text) return;
    const coloured = sanitized(html(hljs, text, language));
    if (coloured.textContent === text) code.replaceChildren(coloured);
  } catch (error) {
    console.warn("no colours for this code:", error);
  }
}
