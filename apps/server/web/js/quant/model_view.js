// What a checkpoint is: `nibble inspect` as a page.
import {h} from "../core/dom.js";
import {bytes, count, short} from "../core/numbers.js";
import {axis, figure} from "./figure.js";
import {heatTable} from "./heat.js";
import {elementsOf, gathered} from "./places.js";
import {tensorTable} from "./tensor_table.js";

export function card(label, value, note = "") {
  return h(
      "div", {class: "card"}, h("dt", {}, label), h("dd", {}, value, note ? h("span", {class: "note"}, note) : null));
}

const isTensor = (t) => typeof t?.name === "string" && typeof t.scheme === "string" && Number.isFinite(t.bytes) &&
    Array.isArray(t.shape) && t.shape.every(Number.isFinite);

function bitsOf(tensors) {
  const elements = tensors.reduce((sum, t) => sum + elementsOf(t.shape), 0);
  return elements > 0 ? (8 * tensors.reduce((sum, t) => sum + t.bytes, 0)) / elements : null;
}

function bitsPerLayer(places) {
  const bits = places.layers.map((layer) => bitsOf(places.kinds.flatMap((kind) => places.cell(kind, layer))));
  return figure({
    title: "Bits per layer",
    note: "All bits of a layer's matrices, scales included, per weight.",
    columns: ["Layer", "Bits per weight"],
    rows: places.layers.map((layer, i) => [layer, bits[i].toFixed(3)]),
    config: (l) => ({
      type: "bar",
      data: {
        labels: places.layers,
        datasets:
            [{label: "bits per weight", data: bits, backgroundColor: l.series[0], maxBarThickness: 22, borderRadius: 2}]
      },
      options:
          {scales: {x: axis(l, "layer", {grid: {display: false}}), y: axis(l, "bits per weight", {beginAtZero: true})}}
    })
  });
}

const bitsPerMatrix = (places) => heatTable({
  title: "Bits per matrix",
  note: "The stronger the colour, the more bits.",
  gathered: places,
  valueOf: bitsOf,
  text: (v) => v.toFixed(1)
});

function cards(i) {
  return h("dl", {class: "cards"}, card("Family", i.family, i.container),
      card("Architecture", i.architecture, i.runnable ? "" : `not runnable: ${i.why_not ?? ""}`),
      card("Parameters", short(i.parameters)), card("Bits per weight", i.bits_per_weight.toFixed(3)),
      card("File", bytes(i.file_bytes)), i.runnable && card("Memory to run", bytes(i.memory_to_run), "estimated"),
      i.runnable && card("Context", count(i.context), "tokens"));
}

/// The page of an inspection, as /api/inspect gives it.
export function modelView(i) {
  const tensors = (Array.isArray(i.tensors) ? i.tensors : []).filter(isTensor);
  const places = gathered(tensors.filter((t) => t.shape.length >= 2));
  const notes = Object.entries(i.notes ?? {});
  const note = ([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, String(value)));
  return [
    cards(i), notes.length > 0 && h("dl", {class: "notes"}, notes.map(note)),
    places.layers.length > 0 && h("div", {class: "figures"}, bitsPerLayer(places), bitsPerMatrix(places)),
    tensorTable(tensors)
  ];
}
