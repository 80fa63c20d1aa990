// Builds elements. Text is always set as text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function assign(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on"))
    element.addEventListener(name.slice(2), value);
  else if (name === "class")
    element.className = value;
  else if (name === "value" || name === "checked" || name === "hidden")
    element[name] = value;
  else if (name === "data")
    for (const [key, text] of Object.entries(value)) element.dataset[key] = text;
  else
    element.setAttribute(name, value === true ? "" : value);
}

/// h("p", {class: "note"}, "text", otherElement, [more], null): attributes that are null, undefined or false are left
/// out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) assign(element, name, value);
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

const ICONS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  copy: "M9 9h10v10H9zM5 15V5h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  redo: "M19 12a7 7 0 1 1-2.1-5M19 4v4h-4",
  edit: "M5 19h3.5L19 8.5 15.5 5 5 15.500zM13.500 7l3.500 3.500",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12M10.500 11v5M13.500 11v5",
  settings: "M4 8h9M19 8h1M4 16h2M12 16h8M13 8a3 3 0 1 0 6 0 3 3 0 1 0-6 0M6 16a3 3 0 1 0 6 0 3 3 0 1 0-6 0",
  sun:
      "M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4",
  moon: "M19.500 14.500A8 8 0 0 1 9.500 4.500 8 8 0 1 0 19.500 14.500z",
  chat: "M5 5h14v11H11l-4 3.500V16H5z",
  columns: "M5 5h14v14H5zM12 5v14",
  bars: "M5 19V11M10 19V5M15 19v-6M20 19V8M3.500 19h18",
  close: "M6 6l12 12M18 6 6 18",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  export: "M12 4v11M7.500 8.500 12 4l4.500 4.500M5 15v4.500h14V15",
  import: "M12 15V4M7.500 10.500 12 15l4.500-4.500M5 15v4.500h14V15",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/// A button that shows only an icon; its label is what a screen reader says and what a tooltip shows.
export function iconButton(name, label, onclick, attributes = {}) {
  return h("button", {type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes},
      icon(name));
}

/// An id for label and control, unique in the page.
let ids = 0;
export const nextId = (prefix) => `${prefix}-${++ids}`;
