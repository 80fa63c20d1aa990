// A chart with its title and, for whoever does not see it, its numbers as a table. Charts are Chart.js's, drawn when
// they first come into view and again when the theme changes.
import {h, replace} from "../core/dom.js";
import {loadLibrary} from "../core/library.js";

const shown = new Set();
document.addEventListener("themechange", () => {
  for (const figure of [...shown]) figure.isConnected ? figure.draw() : shown.delete(figure);
});

/// Colours and type of the page, for Chart.js.
export function look() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return {
    ink: get("--ink"),
    soft: get("--ink-soft"),
    line: get("--line"),
    paper: get("--raised"),
    sans: get("--sans"),
    series: [1, 2, 3, 4, 5, 6, 7].map((i) => get(`--series-${i}`))
  };
}

/// An axis with a title, in the page's look.
export function axis(l, title, more = {}) {
  return {
    title: {display: true, text: title, color: l.soft},
    grid: {color: l.line, drawBorder: false},
    ticks: {color: l.soft, maxRotation: 0, autoSkipPadding: 12},
    ...more
  };
}

export function table(columns, rows) {
  const head = h("tr", {}, columns.map((c) => h("th", {scope: "col"}, c)));
  const cell = (text, i) => (i === 0 ? h("th", {scope: "row"}, String(text)) : h("td", {}, String(text)));
  const body = rows.map((row) => h("tr", {}, row.map(cell)));
  return h("div", {class: "table-frame", tabindex: "0", role: "group", "aria-label": "Table"},
      h("table", {class: "data-table"}, h("thead", {}, head), h("tbody", {}, body)));
}

function options(l, config) {
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: false,
    font: {family: l.sans},
    ...config.options,
    plugins: {
      legend: {
        display: config.data.datasets.length > 1,
        position: "bottom",
        labels: {color: l.ink, usePointStyle: true, boxHeight: 7}
      },
      ...config.options?.plugins
    }
  };
}

/// title; note: a sentence; config(look): Chart.js's configuration; columns and rows: the same numbers.
export function figure({title, note, config, columns, rows}) {
  const canvas =
      h("canvas", {role: "img", "aria-label": `${title}. ${note ?? ""} The numbers are in the table below.`});
  const box = h("div", {class: "chart-box"}, canvas);
  const element = h("figure", {class: "figure"},
      h("figcaption", {}, h("h3", {}, title), note ? h("p", {class: "note"}, note) : null), box,
      h("details", {}, h("summary", {}, "As a table"), table(columns, rows)));
  let chart = null;
  element.draw = async () => {
    try {
      const Chart = await loadLibrary("chart", "Chart");
      chart?.destroy();
      const l = look();
      const c = config(l);
      Chart.defaults.font.family = l.sans;
      Chart.defaults.color = l.soft;
      chart = new Chart(canvas, {...c, options: options(l, c)});
      element.dataset.drawn = "";
    } catch (error) {
      replace(box,
          h("p", {class: "note"}, `The chart could not be drawn: ${error.message}. Its numbers are in the table.`));
    }
  };
  const sight = new IntersectionObserver((entries) => {
    if (!entries.some((e) => e.isIntersecting)) return;
    sight.disconnect();
    shown.add(element);
    element.draw();
  });
  sight.observe(element);
  return element;
}
