// Size against quality, over all reports that are known.
import {h} from "../core/dom.js";
import {bytes, small} from "../core/numbers.js";
import {axis, figure, table} from "./figure.js";

/// Writes each point's name beside it.
const names = {
  id: "names",
  afterDatasetsDraw(chart) {
    const {ctx, chartArea} = chart;
    ctx.save();
    ctx.font = `12px ${chart.options.font.family}`;
    ctx.fillStyle = chart.options.color;
    chart.data.datasets.forEach((set, i) => chart.getDatasetMeta(i).data.forEach((point, j) => {
      const text = set.data[j].name;
      const width = ctx.measureText(text).width;
      // Beside the point, or on its other side where there is no room.
      const x = point.x + 10 + width < chartArea.right ? point.x + 10 : Math.max(chartArea.left, point.x - 10 - width);
      ctx.fillText(text, x, point.y + 4);
    }));
    ctx.restore();
  },
};

function set(points, x, opened, color) {
  const point = (p) =>
      ({x: x.of(p.report), y: p.report.held_out.kld_mean, name: p.name.replace(/\.report\.json$/, "")});
  return {
    label: opened ? "opened files" : "beside the models",
    backgroundColor: color,
    pointStyle: opened ? "rectRot" : "circle",
    pointRadius: 6,
    pointHoverRadius: 8,
    data: points.filter((p) => p.opened === opened).map(point)
  };
}

function chart(points, x) {
  const sets = (l) => [set(points, x, false, l.series[0]), set(points, x, true, l.series[1])];
  const ticks = (l) => ({color: l.soft, callback: (v) => x.tick(v), maxRotation: 0, autoSkipPadding: 12});
  const label = (item) => `${item.raw.name}: ${x.write(item.raw.x)}, KL ${small(item.raw.y)}`;
  // One point alone says nothing on a logarithm's scale.
  const alone = points.length === 1;
  return figure({
    title: x.title,
    note: "Mean KL divergence to the original. Down and to the left is better.",
    columns: ["Report", x.label, "KL divergence"],
    rows: points.map((p) => [p.name, x.write(x.of(p.report)), small(p.report.held_out.kld_mean)]),
    config: (l) => ({
      type: "scatter",
      data: {datasets: sets(l).filter((s) => s.data.length > 0)},
      plugins: [names],
      options: {
        color: l.ink,
        scales: {
          x: axis(l, x.label, {grace: "15%", beginAtZero: alone, ticks: ticks(l)}),
          y: axis(l, "KL divergence", alone ? {beginAtZero: true} : {type: "logarithmic"})
        },
        plugins: {tooltip: {callbacks: {label}}}
      }
    })
  });
}

const SIZE = {
  title: "Size against KL divergence",
  label: "size",
  of: (r) => r.bytes,
  write: bytes,
  tick: bytes
};
const BITS = {
  title: "Bits against KL divergence",
  label: "bits per weight",
  of: (r) => r.bits_per_weight,
  write: (v) => v.toFixed(3),
  tick: (v) => Number(v.toFixed(2))
};

const percent = (v) => (Number.isFinite(v) ? `${(100 * v).toFixed(2)} %` : "–");

function rowOf({name, report: r}) {
  const held = r.held_out ?? {};
  const number = (v, write) => (Number.isFinite(v) ? write(v) : "–");
  return [
    name, r.family ?? "–", bytes(r.bytes), r.bits_per_weight.toFixed(3), number(held.kld_mean, small),
    number(held.ppl, (v) => v.toFixed(3)), number(held.top1_agreement, (v) => `${(100 * v).toFixed(2)} %`)
  ];
}

const COLUMNS = ["Report", "Family", "Size", "Bits per weight", "KL divergence", "Perplexity", "Same top token"];

/// Elements for reports {name, report, opened}.
export function overview(reports) {
  if (reports.length === 0) {
    const command = h("code", {}, "nibble quantize MODEL --method gptq -o OUT");
    return h("p", {class: "empty"}, "No reports yet. ", command,
        " writes one beside its output; files from elsewhere can be opened here.");
  }
  const measured = reports.filter((p) => p.report.held_out?.kld_mean > 0);
  const charts = measured.length > 0
      ? h("div", {class: "figures"}, chart(measured, SIZE), chart(measured, BITS))
      : h("p", {class: "empty"}, "None of these reports has measured the KL divergence to the original.");
  return [
    charts,
    h("section", {"aria-label": "All reports"}, h("div", {class: "section-head"}, h("h2", {}, "All reports")),
        table(COLUMNS, reports.map(rowOf)))
  ];
}
