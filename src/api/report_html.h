// A report as one HTML page that needs nothing else: tables, and charts drawn as SVG.
#pragma once

#include <string>
#include <vector>

#include "nibble/quantize.h"

namespace nibble {

/// One output of a model: a point of the chart of size against divergence.
struct ReportedOutput {
  std::string name;
  std::uint64_t bytes = 0;
  double kld_mean = 0;
  bool is_this = false;
};

/// `outputs`: this one and others of the same model.
std::string report_html(const std::string& title, const ConversionReport& report,
                        const std::vector<ReportedOutput>& outputs);

}  // namespace nibble
