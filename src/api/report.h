// What quantize says about its output besides the errors of matrices: the model beside its original on text that was
// not calibrated on, and the files of the report.
#pragma once

#include <string>

#include "api/calibration.h"

namespace nibble {

/// What a report is about.
struct ReportSubject {
  const std::string& path;  ///< of the model
  const ModelFiles& files;
  const std::string& out;  ///< whole and in place
  const QuantizeOptions& options;
  ActivationStore::Options store;
};

/// Tokens of a window that a report measures on.
std::int64_t report_window(const ModelFiles& files);

/// Measures the output and writes OUT.report.json and OUT.report.html. The output stays whatever happens here.
Status add_report(const ReportSubject& subject, ReportLevel level, ConversionReport& report, ThreadPool& pool);

}  // namespace nibble
