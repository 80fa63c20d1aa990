// The statistics file that a run is given.
#pragma once

#include <string>

#include "model/model_weights.h"
#include "quant/statistics/saved_statistics.h"

namespace nibble {

struct StatisticsInput {
  SavedStatistics::Ptr file;  ///< null: none was given
  std::string sha256;         ///< of all of it
};

/// Opens `path`, which belongs to these weights, and reads it once; an empty path gives nothing.
Result<StatisticsInput> open_statistics(const std::string& path, const ModelWeights& weights);

}  // namespace nibble
