// Files that the user opens and saves.
import {h} from "../core/dom.js";

/// Offers a text as a download.
export function saveFile(name, text, type = "application/json") {
  const url = URL.createObjectURL(new Blob([text], {type}));
  h("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/// A hidden input for JSON files, to be placed in the page; handle() gets the chosen files, one or several times.
export function fileInput(label, handle, multiple = false) {
  const input = h("input", {
    type: "file",
    accept: ".json,application/json",
    class: "visually-hidden",
    "aria-label": label,
    tabindex: "-1",
    multiple,
    onchange: () => {
      const files = [...input.files];
      input.value = "";
      if (files.length > 0) handle(files);
    }
  });
  return input;
}

/// The JSON of a file, or an Error that says what is wrong with it.
export async function jsonOf(file, mostBytes) {
  if (file.size > mostBytes)
    throw new Error(
        `${file.name}: ${Math.round(file.size / 1e6)} MB is more than the ${mostBytes / 1e6} MB that are read`);
  try {
    return JSON.parse(await file.text());
  } catch (error) {
    throw new Error(`${file.name}: not JSON: ${error.message}`);
  }
}
