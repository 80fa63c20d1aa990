// Size against quality, over all reports that are known.
import { h } from "../core/dom.js";
import { bytes, small } from "../core/numbers.js";
import { axis, figure, table } from "./figure.js";

/// Writes each point's name beside it.
const names = {
  id: "names",
  afterDatasetsDraw(chart) {
    const { ctx, chartArea } = chart;
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

function chart(points, x) {
  const sets = (l) => [false, true].map((opened, i) => ({ label: opened ? "opened files" : "beside the models", backgroundColor: l.series[i], pointStyle: opened ? "rectRot" : "circle",
    pointRadius: 6, pointHoverRadius: 8, data: points.filter((p) => p.opened === opened).map((p) => ({ x: x.of(p.report), y: p.report.held_out.kld_mean, name: p.name.replace(/\.report\.json$/, "") })) }))
    .filter((set) => set.data.length > 0);
  return figure({ title: x.title, note: "Down and to the left is better.", columns: ["Report", x.label, "KL divergence"],
    rows: points.map((p) => [p.name, x.write(x.of(p.report)), small(p.report.held_out.kld_mean)]),
    config: (l) => ({ type: "scatter", data: { datasets: sets(l) }, plugins: [names],
      options: { color: l.ink, scales: { x: axis(l, x.label, { grace: "15%", ticks: { color: l.soft, callback: (v) => x.tick(v), maxRotation: 0, autoSkipPadding: 12 } }), y: axis(l, "mean KL divergence to the original", { type: points.length > 1 ? "logarithmic" : "linear" }) },
        plugins: { tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${x.write(item.raw.x)}, KL ${small(item.raw.y)}` } } } } }) });
}

const SIZE = { title: "Size against KL divergence", label: "size", of: (r) => r.bytes, write: bytes, tick: bytes };
const BITS = { title: "Bits against KL divergence", label: "bits per weight", of: (r) => r.bits_per_weight, write: (v) => v.toFixed(3), tick: (v) => Number(v.toFixed(2)) };

const percent = (v) => (Number.isFinite(v) ? `${(100 * v).toFixed(2)} %` : "–");

/// Elements for reports {name, report, opened}.
export function overview(reports) {
  if (reports.length === 0)
    return [h("p", { class: "empty" }, "No reports yet. ", h("code", {}, "nibble quantize MODEL OUT --report full"), " writes one beside its output; files from elsewhere can be opened here.")];
  const measured = reports.filter((p) => p.report.held_out?.kld_mean > 0);
  return [
    measured.length > 0 ? h("div", { class: "figures" }, chart(measured, SIZE), chart(measured, BITS))
      : h("p", { class: "empty" }, "None of these reports has measured the KL divergence to the original."),
    h("section", { "aria-label": "All reports" }, h("div", { class: "section-head" }, h("h2", {}, "All reports")),
      table(["Report", "Family", "Size", "Bits per weight", "KL divergence", "Perplexity", "Same top token"], reports.map(({ name, report: r }) => [name, r.family ?? "–", bytes(r.bytes), r.bits_per_weight.toFixed(3),
        r.held_out?.kld_mean === undefined ? "–" : small(r.held_out.kld_mean), r.held_out ? r.held_out.ppl.toFixed(3) : "–", percent(r.held_out?.top1_agreement)]))),
  ];
}
