// A table of layers and kinds of matrices whose cells are coloured by a number.
import {h} from "../core/dom.js";

const STEPS = 8;

/// Which of the steps a value is, between the most and nearly the least: a few tiny ones would leave one colour for the
/// others.
function stepper(values, logarithmic) {
  const on = (v) => (logarithmic ? Math.log(Math.max(v, 1e-12)) : v);
  const sorted = values.map(on).sort((a, b) => a - b);
  const least = sorted[Math.floor(sorted.length / 20)];
  const most = sorted.at(-1);
  const step = (v) => Math.floor((STEPS * (on(v) - least)) / (most - least));
  return (v) => (most > least ? Math.max(0, Math.min(STEPS - 1, step(v))) : 2);
}

function row(kind, values, layers, step, text) {
  const cell = (v, i) => v === null
      ? h("td", {class: "heat-none"}, "–")
      : h("td", {class: `heat-${step(v)}`, title: `${kind}, layer ${layers[i]}: ${text(v)}`}, text(v));
  return h("tr", {}, h("th", {scope: "row"}, kind), values.map(cell));
}

/// gathered: of places.js; valueOf(tensors): a number or null; text(value): as written in a cell; logarithmic: steps of
/// equal ratio, for errors. Null where no tensor has a value.
export function heatTable({title, note, gathered, valueOf, text, logarithmic = false}) {
  const {layers, kinds, cell} = gathered;
  const valuesOf = (kind) => layers.map((layer) => valueOf(cell(kind, layer)));
  const rows = kinds.map((kind) => [kind, valuesOf(kind)]).filter(([, values]) => values.some((v) => v !== null));
  const all = rows.flatMap(([, values]) => values).filter((v) => v !== null);
  if (all.length === 0) return null;
  const step = stepper(all, logarithmic);
  const head = h("tr", {}, h("th", {scope: "col"}, "layer"), layers.map((layer) => h("th", {scope: "col"}, layer)));
  const body = rows.map(([kind, values]) => row(kind, values, layers, step, text));
  return h("figure", {class: "figure figure-wide"},
      h("figcaption", {}, h("h3", {}, title), h("p", {class: "note"}, note)),
      h("div", {class: "heat-frame", tabindex: "0", role: "group", "aria-label": `${title}, table`},
          h("table", {class: "heat"}, h("thead", {}, head), h("tbody", {}, body))));
}
