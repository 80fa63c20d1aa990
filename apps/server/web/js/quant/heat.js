// A table of layers and kinds of matrices whose cells are coloured by a number.
import { h } from "../core/dom.js";

const STEPS = 8;

/// Which of the steps a value is, between the least and the most.
function stepper(values, logarithmic) {
  const on = (v) => (logarithmic ? Math.log(Math.max(v, 1e-12)) : v);
  const least = on(Math.min(...values));
  const most = on(Math.max(...values));
  return (v) => (most > least ? Math.min(STEPS - 1, Math.floor((STEPS * (on(v) - least)) / (most - least))) : 2);
}

/// gathered: of places.js; valueOf(tensors): a number or null; text: how it is written in a cell; logarithmic: for errors.
export function heatTable({ title, note, gathered, valueOf, text, logarithmic = false }) {
  const { layers, cell } = gathered;
  const rows = gathered.kinds.map((kind) => ({ kind, values: layers.map((layer) => valueOf(cell(kind, layer))) }))
    .filter((row) => row.values.some((v) => v !== null));
  const all = rows.flatMap((row) => row.values).filter((v) => v !== null);
  if (all.length === 0) return null;
  const step = stepper(all, logarithmic);
  return h("figure", { class: "figure figure-wide" }, h("figcaption", {}, h("h3", {}, title), h("p", { class: "note" }, note)),
    h("div", { class: "heat-frame", tabindex: "0", role: "group", "aria-label": `${title}, table` }, h("table", { class: "heat" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "layer"), layers.map((layer) => h("th", { scope: "col" }, layer)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.kind), row.values.map((v, i) => v === null ? h("td", { class: "heat-none" }, "–")
        : h("td", { class: `heat-${step(v)}`, title: `${row.kind}, layer ${layers[i]}: ${text(v)}` }, text(v)))))))));
}
