// The flags that say how tokens are chosen.
#pragma once

#include <CLI/CLI.hpp>

#include "nibble/model.h"

namespace nibble::cli {

inline void add_sampling_flags(CLI::App& command, Sampling& sampling) {
  command.add_option("--temp", sampling.temperature, "temperature; 0 takes the likeliest token")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--top-k", sampling.top_k, "keep the K likeliest tokens; 0 keeps all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--top-p", sampling.top_p, "keep the likeliest tokens up to this probability")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--min-p", sampling.min_p, "keep tokens at least this likely beside the likeliest")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--repeat-penalty", sampling.repetition_penalty, "penalty on recent tokens; 1 is none")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_option("--repeat-last-n", sampling.repeat_last_n, "how many tokens are recent")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--presence-penalty", sampling.presence_penalty, "penalty on tokens that the answer holds already")
      ->capture_default_str()
      ->check(CLI::Range(-2.0, 2.0));
  command
      .add_option("--frequency-penalty", sampling.frequency_penalty, "penalty on them for each time that it holds them")
      ->capture_default_str()
      ->check(CLI::Range(-2.0, 2.0));
}

}  // namespace nibble::cli
