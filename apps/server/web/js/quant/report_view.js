// What quantizing did to a model: the report of `nibble quantize` as a page.
import {h} from "../core/dom.js";
import {bytes, count, small} from "../core/numbers.js";
import {axis, figure} from "./figure.js";
import {heatTable} from "./heat.js";
import {card} from "./model_view.js";
import {gathered, meanOf} from "./places.js";

const withError = (value, error) => (error > 0 ? `± ${small(error)}` : "");

function heldOutCards(report) {
  const e = report.held_out;
  if (!e) return [];
  const original =
      Number.isFinite(e.baseline_ppl) ? `original ${e.baseline_ppl.toFixed(3)}` : withError(e.ppl, e.ppl_stderr);
  const cards = [card("Perplexity", e.ppl.toFixed(3), original)];
  if (Number.isFinite(e.kld_mean))
    cards.unshift(card("KL divergence", small(e.kld_mean), withError(e.kld_mean, e.kld_mean_stderr)));
  const worst = Number.isFinite(e.kld_p99) ? `KL, 99th percentile: ${small(e.kld_p99)}` : "";
  if (Number.isFinite(e.top1_agreement))
    cards.push(card("Same top token", `${(100 * e.top1_agreement).toFixed(1)} %`, worst));
  return cards;
}

/// A line over layers for each series {label, values}; layers without a value are left out of a line.
function lines({title, note, layers, series, y, logarithmic}) {
  const write = (v) => (v === null ? "–" : small(v));
  return figure({
    title,
    note,
    columns: ["Layer", ...series.map((s) => s.label)],
    rows: layers.map((layer, i) => [layer, ...series.map((s) => write(s.values[i]))]),
    config: (l) => ({
      type: "line",
      data: {
        labels: layers,
        datasets: series.map((s, i) => ({
          label: s.label,
          data: s.values,
          borderColor: l.series[i],
          backgroundColor: l.series[i],
          borderWidth: 2,
          borderDash: s.dashed ? [5, 4] : [],
          pointRadius: layers.length > 40 ? 0 : 2.5,
          pointStyle: ["circle", "rect", "triangle"][i % 3],
          tension: 0
        }))
      },
      options: {
        interaction: {mode: "index", intersect: false},
        scales: {
          x: axis(l, "layer", {grid: {display: false}}),
          y: axis(l, y, logarithmic ? {type: "logarithmic"} : {beginAtZero: true})
        }
      }
    })
  });
}

function errorPerLayer(places) {
  const over = (f) => places.layers.map((layer) => meanOf(places.kinds.flatMap((kind) => places.cell(kind, layer)), f));
  const outputs = over((t) => t.output_error);
  if (outputs.some((v) => v !== null))
    return lines({
      title: "Error per layer",
      note: "Of the layer's outputs on calibration texts, mean over its matrices.",
      layers: places.layers,
      y: "relative error of outputs",
      logarithmic: true,
      series: [
        {label: "as quantized", values: outputs},
        {label: "rounded to nearest", values: over((t) => t.rtn_output_error), dashed: true}
      ].filter((s) => s.values.some((v) => v !== null))
    });
  return lines({
    title: "Error per layer",
    note: "Of the weights, mean over the layer's matrices.",
    layers: places.layers,
    y: "relative error of weights",
    series: [{label: "relative error", values: over((t) => t.relative_error)}]
  });
}

function windows(values, mean) {
  return figure({
    title: "KL divergence by window",
    note: "Held-out texts in windows; a few bad ones say more than the mean.",
    columns: ["Window", "KL divergence"],
    rows: values.map((v, i) => [i + 1, small(v)]),
    config: (l) => ({
      type: "bar",
      data: {
        labels: values.map((_, i) => i + 1),
        datasets: [
          {label: "KL divergence", data: values, backgroundColor: l.series[2], maxBarThickness: 18, borderRadius: 2}, {
            type: "line",
            label: "mean",
            data: values.map(() => mean),
            borderColor: l.series[1],
            backgroundColor: l.series[1],
            borderWidth: 1.5,
            pointRadius: 0
          }
        ]
      },
      options:
          {scales: {x: axis(l, "window", {grid: {display: false}}), y: axis(l, "KL divergence", {beginAtZero: true})}}
    })
  });
}

function choice(c) {
  const points = c.substitutions.map((s) => ({x: s.predicted, y: s.measured}));
  return figure({
    title: "Predicted and measured",
    note: "How the choice of bits judged single substitutions beforehand, and what they cost. On the line both agree.",
    columns: ["Matrix", "Bits", "Predicted KL", "Measured KL"],
    rows: c.substitutions.map((s) => [s.what, s.bits, small(s.predicted), small(s.measured)]),
    config: (l) => {
      const ends = points.flatMap((p) => [p.x, p.y]).filter((v) => v > 0);
      const line = [Math.min(...ends), Math.max(...ends)].map((v) => ({x: v, y: v}));
      return {
        type: "scatter",
        data: {
          datasets: [
            {label: "substitutions", data: points, backgroundColor: l.series[0], pointRadius: 4}, {
              type: "line",
              label: "equal",
              data: line,
              borderColor: l.soft,
              borderDash: [4, 4],
              borderWidth: 1,
              pointRadius: 0
            }
          ]
        },
        options: {
          scales: {
            x: axis(l, "predicted KL divergence", {type: "logarithmic"}),
            y: axis(l, "measured KL divergence", {type: "logarithmic"})
          }
        }
      };
    }
  });
}

/// As short as a cell is: 120, 4.2, 0.03.
const thousandths = (v) => (v >= 10 ? v.toFixed(0) : v >= 0.1 || v === 0 ? v.toFixed(1) : v.toPrecision(1));

const errorPerMatrix = (places) => heatTable({
  title: "Error per matrix",
  note: "In thousandths. The stronger the colour, the larger; steps are of equal ratio.",
  gathered: places,
  valueOf: (tensors) => meanOf(tensors, (t) => t.output_error ?? t.relative_error),
  text: (v) => thousandths(1000 * v),
  logarithmic: true
});

const bitsPerMatrix = (places) => heatTable({
  title: "Bits per matrix",
  note: "The stronger the colour, the more bits.",
  gathered: places,
  valueOf: (tensors) => meanOf(tensors, (t) => t.bits_per_weight),
  text: (v) => v.toFixed(1)
});

function cards(report) {
  const text = (v) => (typeof v === "string" ? v : "");
  return h("dl", {class: "cards"}, text(report.method) && card("Method", report.method, text(report.scheme)),
      heldOutCards(report), card("Bits per weight", report.bits_per_weight.toFixed(3)),
      card("Size", bytes(report.bytes)),
      Number.isFinite(report.seconds) && card("Quantized in", `${report.seconds.toFixed(1)} s`));
}

function measuredOn(report) {
  const what = typeof report.held_out_text === "string" ? ` of ${report.held_out_text}` : "";
  return h("p", {class: "note"}, `Measured on ${count(report.held_out.tokens)} tokens${what}.`);
}

/// Elements for a report that checkedReport() has passed.
export function reportView(report) {
  const places = gathered(report.tensors);
  const held = report.held_out;
  const figures = places.layers.length === 0 ? [] : [
    errorPerLayer(places), held?.window_kld?.length > 0 && windows(held.window_kld, held.kld_mean ?? null),
    report.bit_choice?.substitutions.length > 0 && choice(report.bit_choice), errorPerMatrix(places),
    bitsPerMatrix(places)
  ];
  return [cards(report), held && measuredOn(report), h("div", {class: "figures"}, figures)];
}
