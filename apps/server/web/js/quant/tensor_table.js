// The tensors of a model: filtered by words, sorted by any column.
import {h, nextId, replace} from "../core/dom.js";
import {bytes, count} from "../core/numbers.js";
import {elementsOf} from "./places.js";

// Rows beyond this are shown when asked for: models with many experts have tens of thousands.
const FIRST_ROWS = 400;

const COLUMNS = [
  {label: "Name", key: (t) => t.name, cell: (t) => t.name},
  {label: "Shape", key: (t) => elementsOf(t.shape), cell: (t) => t.shape.map(count).join(" × "), number: true},
  {label: "Scheme", key: (t) => t.scheme, cell: (t) => t.scheme},
  {label: "Bits", key: (t) => t.bits, cell: (t) => (Number.isFinite(t.bits) ? t.bits.toFixed(2) : "–"), number: true},
  {label: "Size", key: (t) => t.bytes, cell: (t) => bytes(t.bytes), number: true},
];

function compare(a, b) { return typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a - b; }

function rowOf(tensor) {
  const cell = (c, i) =>
      i === 0 ? h("th", {scope: "row"}, c.cell(tensor)) : h("td", {class: c.number && "number"}, c.cell(tensor));
  return h("tr", {}, COLUMNS.map(cell));
}

/// An element for tensors {name, shape, scheme, bytes}, in the order of the file until another is chosen.
export function tensorTable(tensors) {
  const all = tensors.map((t) => ({...t, bits: (8 * t.bytes) / elementsOf(t.shape)}));
  let order = null;
  let down = false;
  let most = FIRST_ROWS;
  const id = nextId("filter");
  const filter = h("input", {type: "search", class: "field", id, placeholder: "layers.3 int4", oninput: () => show()});
  const found = h("p", {class: "note", role: "status"});
  const body = h("tbody");
  const sortBy = (column) => {
    down = order === column && !down;
    order = column;
    show();
  };
  const showAll = () => {
    most = Infinity;
    show();
  };
  const head = (column) => h("th", {scope: "col", class: column.number && "number"},
      h("button", {type: "button", class: "sort", onclick: () => sortBy(column)}, column.label));
  const heads = COLUMNS.map(head);
  const more = h("button", {type: "button", class: "button", onclick: showAll});
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (t) => words.every((w) => t.name.toLowerCase().includes(w) || t.scheme.toLowerCase().includes(w));
    const rows = all.filter(has);
    if (order) rows.sort((a, b) => (down ? -1 : 1) * compare(order.key(a), order.key(b)));
    const direction = down ? "descending" : "ascending";
    heads.forEach((th, i) => th.setAttribute("aria-sort", COLUMNS[i] === order ? direction : "none"));
    replace(body, rows.slice(0, most).map(rowOf));
    const size = bytes(rows.reduce((sum, t) => sum + t.bytes, 0));
    found.textContent = `${count(rows.length)} of ${count(all.length)} tensors, ${size}`;
    more.hidden = rows.length <= most;
    more.textContent = `Show all ${count(rows.length)}`;
  };
  show();
  return h("section", {class: "tensors", "aria-label": "Tensors"},
      h("div", {class: "section-head"}, h("h2", {}, "Tensors"),
          h("div", {class: "filter"}, h("label", {"for": id}, "Filter"), filter), found),
      h("div", {class: "table-frame", tabindex: "0", role: "group", "aria-label": "Table of tensors"},
          h("table", {class: "data-table tensor-table"}, h("thead", {}, h("tr", {}, heads)), body)),
      more);
}
