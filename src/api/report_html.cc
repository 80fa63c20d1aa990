#include "api/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace nibble {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1d2530; --soft: #66707d; --line: #d5dae0; --page: #fcfcfb; --a: #b4552d; --b: #2a6f97; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #98a2af; --line: #38404b; --page: #15191f; --a: #e2946b; --b: #74b3d8; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 2.2rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
.axis { stroke: var(--line); } .a { fill: var(--a); color: var(--a); } .b { fill: var(--b); color: var(--b); } p.note { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
)";

constexpr double kWidth = 860;
constexpr double kHeight = 260;
constexpr double kLeft = 62;
constexpr double kRight = 16;
constexpr double kTop = 14;
constexpr double kBottom = 34;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Numbers along one side of a chart.
struct Scale {
  double low = 0;
  double high = 1;
  bool log = false;

  double part(double value) const {
    if (log) return std::log(value / low) / std::log(high / low);
    return (value - low) / (high - low);
  }
  std::vector<double> ticks() const {
    std::vector<double> out;
    if (log) {
      for (double t = std::pow(10.0, std::ceil(std::log10(low) - 1e-9)); t <= high * 1.0001; t *= 10) out.push_back(t);
      if (out.size() < 2) out = {low, high};
      return out;
    }
    const double raw = (high - low) / 5;
    const double power = std::pow(10.0, std::floor(std::log10(raw)));
    const double step = power * (raw / power > 5 ? 10 : raw / power > 2 ? 5 : raw / power > 1 ? 2 : 1);
    for (double t = std::ceil(low / step) * step; t <= high + step * 1e-6; t += step) out.push_back(t);
    return out;
  }
};

/// A logarithmic scale around positive values.
Scale log_scale(const std::vector<double>& values) {
  Scale scale{1e-6, 1, true};
  bool any = false;
  for (const double v : values) {
    if (!(v > 0)) continue;
    scale.low = any ? std::min(scale.low, v) : v;
    scale.high = any ? std::max(scale.high, v) : v;
    any = true;
  }
  scale.low /= 1.3;
  scale.high *= 1.3;
  return scale;
}

class Chart {
 public:
  Chart(const std::string& label, const Scale& x_scale, const Scale& y_scale, bool x_ticks) : x_(x_scale), y_(y_scale) {
    svg_ = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", kWidth, kHeight, escaped(label));
    for (const double t : y_.ticks()) {
      svg_ += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
                          kWidth - kRight, y(t), y(t));
      svg_ += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>", kLeft - 8, y(t) + 4, t);
    }
    if (!x_ticks) return;
    for (const double t : x_.ticks())
      svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.4g}</text>", x(t),
                          kHeight - kBottom + 18, t);
  }
  void point(double at_x, double at_y, double radius, const char* style, const std::string& title) {
    svg_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}</title></circle>", style,
                        x(at_x), y(at_y), radius, escaped(title));
  }
  void bar(double at_x, double width, double value, const char* style, const std::string& title) {
    svg_ += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}</title></rect>",
        style, x(at_x), y(value), width, std::max(y(y_.low) - y(value), 0.5), escaped(title));
  }
  void text(double at_x, double at_y, const std::string& words) {
    svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x(at_x) + 8, y(at_y) + 4, escaped(words));
  }
  std::string close() && { return std::move(svg_) + "</svg>"; }

 private:
  double x(double value) const { return kLeft + x_.part(value) * (kWidth - kLeft - kRight); }
  double y(double value) const { return kHeight - kBottom - y_.part(value) * (kHeight - kTop - kBottom); }

  Scale x_;
  Scale y_;
  std::string svg_;
};

std::string summary(const ConversionReport& r) {
  std::string rows;
  const auto row = [&](const char* name, const std::string& value) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>", name, escaped(value));
  };
  row("family", r.family);
  row("size", fmt::format("{:.1f} MB, {:.3f} bits per weight", static_cast<double>(r.bytes) / 1e6, r.bits_per_weight));
  row("time", fmt::format("{:.1f} s", r.seconds));
  if (r.held_out && r.held_out->comparison) {
    const Evaluation& e = *r.held_out;
    const Evaluation::Comparison& c = *e.comparison;
    row("measured on", fmt::format("{} tokens of {}", e.tokens, r.held_out_text));
    row("perplexity", fmt::format("{:.4f} ± {:.4f}, original {:.4f} ± {:.4f}", e.perplexity, e.perplexity_stderr,
                                  c.baseline_perplexity, c.baseline_perplexity_stderr));
    row("KL divergence",
        fmt::format("{:.5f} ± {:.5f} nats, 99th percentile {:.4f}", c.kld_mean, c.kld_mean_stderr, c.kld_p99));
    row("same most likely token",
        fmt::format("{:.2f} % ± {:.2f} %", 100 * c.top1_agreement, 100 * c.top1_agreement_stderr));
  }
  return "<table>" + rows + "</table>";
}

std::string error_chart(const std::vector<const TensorReport*>& tensors) {
  std::vector<double> all;
  for (const TensorReport* t : tensors) {
    all.push_back(t->output_error.value_or(0));
    all.push_back(t->rtn_output_error.value_or(0));
  }
  Chart chart("output error of every matrix", {0, std::max(1.0, static_cast<double>(tensors.size())), false},
              log_scale(all), false);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorReport& t = *tensors[i];
    const double x = static_cast<double>(i) + 0.5;
    std::string title = fmt::format("{}: {:.3g}", t.name, *t.output_error);
    if (t.rtn_output_error) title += fmt::format(" (to nearest {:.3g})", *t.rtn_output_error);
    if (t.rtn_output_error.value_or(0) > 0) chart.point(x, *t.rtn_output_error, 2.6, "a", title);
    if (*t.output_error > 0) chart.point(x, *t.output_error, 2.6, "b", title);
  }
  return std::move(chart).close();
}

std::string bits_chart(const std::vector<TensorReport>& tensors) {
  double most = 1;
  for (const TensorReport& t : tensors) most = std::max(most, t.bits_per_weight);
  const double count = std::max(1.0, static_cast<double>(tensors.size()));
  Chart chart("bits per weight of every matrix", {0, count, false}, {0, most * 1.05, false}, false);
  const double width = std::max(0.8, 0.8 * (kWidth - kLeft - kRight) / count);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    chart.bar(static_cast<double>(i), width, tensors[i].bits_per_weight, "b",
              fmt::format("{}: {:.3f} bits, {}", tensors[i].name, tensors[i].bits_per_weight, tensors[i].scheme));
  return std::move(chart).close();
}

std::string size_chart(const std::vector<ReportedOutput>& outputs) {
  double largest = 1;
  std::vector<double> divergences;
  for (const ReportedOutput& o : outputs) {
    largest = std::max(largest, static_cast<double>(o.bytes) / 1e6);
    divergences.push_back(o.kld_mean);
  }
  Chart chart("megabytes against KL divergence", {0, largest * 1.25, false}, log_scale(divergences), true);
  for (const ReportedOutput& o : outputs) {
    if (!(o.kld_mean > 0)) continue;
    const double megabytes = static_cast<double>(o.bytes) / 1e6;
    chart.point(megabytes, o.kld_mean, 4.5, o.is_this ? "b" : "a",
                fmt::format("{}: {:.1f} MB, KL {:.5f}", o.name, megabytes, o.kld_mean));
    chart.text(megabytes, o.kld_mean, o.name);
  }
  return std::move(chart).close();
}

std::string substitution_table(const BitChoiceReport& choice) {
  std::string out = fmt::format(
      "<p class=\"note\">Every matrix has the scheme of least expected divergence within the budget; expected of the "
      "whole "
      "is {:.4f}. Some matrices were rounded to nearest, one row after another, to see how far predictions hold.</p>"
      "<table><tr><th>rounded</th><th>bits</th><th>predicted KL divergence</th><th>measured</th></tr>",
      choice.predicted_kld);
  for (const BitChoiceReport::Substitution& s : choice.substitutions)
    out += fmt::format("<tr><td>{}</td><td>{:.3f}</td><td>{:.5f}</td><td>{:.5f}</td></tr>", escaped(s.what), s.bits,
                       s.predicted, s.measured);
  return out + "</table>";
}

std::string tensor_table(const std::vector<TensorReport>& tensors) {
  std::string out =
      "<div class=\"wide\"><table><tr><th>matrix</th><th>scheme</th><th>bits</th><th>output error, to nearest</th>"
      "<th>output error</th><th>weight error</th><th>seconds</th></tr>";
  const auto number = [](const std::optional<double>& value) { return value ? fmt::format("{:.3g}", *value) : ""; };
  for (const TensorReport& t : tensors)
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{:.3f}</td><td>{}</td><td>{}</td><td>{:.4f}</td><td>{:.2f}</td></tr>",
        escaped(t.name), escaped(t.scheme), t.bits_per_weight, number(t.rtn_output_error), number(t.output_error),
        t.relative_error, t.seconds);
  return out + "</table></div>";
}

}  // namespace

std::string report_html(const std::string& title, const ConversionReport& report,
                        const std::vector<ReportedOutput>& outputs) {
  std::vector<const TensorReport*> calibrated;
  for (const TensorReport& t : report.tensors)
    if (t.output_error) calibrated.push_back(&t);
  std::string page = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title><style>{}</style>"
      "<h1>{}</h1>{}",
      escaped(title), kStyle, escaped(title), summary(report));
  if (!calibrated.empty())
    page +=
        "<h2>Output error of every matrix</h2><p class=\"note\">Relative squared error of the outputs on the "
        "calibration text: <b class=\"b\">●</b> quantized, <b class=\"a\">●</b> had it been rounded to nearest.</p>" +
        error_chart(calibrated);
  page += "<h2>Bits per weight of every matrix</h2>" + bits_chart(report.tensors);
  if (report.bit_choice) page += "<h2>How bits were chosen</h2>" + substitution_table(*report.bit_choice);
  if (!outputs.empty())
    page +=
        "<h2>Size against divergence</h2><p class=\"note\">Megabytes and mean KL divergence from the original, of "
        "this output and of others of the same model whose reports lie beside it.</p>" +
        size_chart(outputs);
  return page + "<h2>Matrices</h2>" + tensor_table(report.tensors) + "</html>\n";
}

}  // namespace nibble
