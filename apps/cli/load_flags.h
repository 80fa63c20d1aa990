// The flags that every command that runs a model shares.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "nibble/model.h"
#include "nibble/result.h"

namespace nibble::cli {

struct LoadFlags {
  int threads = 0;
  std::string compute = "int8";
  std::string kv_cache = "float";
  std::string scheme;
  std::string range = "full";
  std::string head = "int8";
  std::string pack_cache;
  std::uint64_t memory = 0;

  void add_to(CLI::App& command) {
    command.add_option("-t,--threads", threads, "threads (default: all processors)")->check(CLI::Range(0, 4096));
    command
        .add_option("--compute", compute, "arithmetic: int8 activations where weights are integers, or f32 throughout")
        ->check(CLI::IsMember({"int8", "f32"}))
        ->capture_default_str();
    command
        .add_option("--kv-cache", kv_cache,
                    "keys and values: float (16 bits; 32 with --compute f32), or int8 or int4 but for the latest")
        ->check(CLI::IsMember({"float", "int8", "int4"}))
        ->capture_default_str();
    command.add_option("--scheme", scheme, "quantize a float model to this scheme while loading, e.g. int4-g32-sym");
    command.add_option("--range", range, "range of that quantization: full, absmax, gptq, percentile:P, mse")
        ->capture_default_str();
    command
        .add_option(
            "--head", head,
            "output head: int8 where it is stored in floats and the layers are quantized (not with --compute f32), "
            "as stored, or as --scheme says")
        ->check(CLI::IsMember({"int8", "stored", "scheme"}))
        ->capture_default_str();
    command.add_flag(
        "--pack-cache{beside}", pack_cache,
        "keep the packed weights in a file beside the model, or in DIR (--pack-cache=DIR), and load from it");
    command
        .add_option(
            "--memory", memory,
            "memory that the process may hold, e.g. 16G; weights beyond it are read from the pack as they are used")
        ->transform(CLI::AsSizeValue(true));
  }

  LoadOptions options(Progress progress) const {
    LoadOptions load;
    load.threads = threads;
    load.arithmetic = compute == "f32" ? Arithmetic::kF32 : Arithmetic::kInt8;
    load.kv_bits = kv_cache == "int8" ? 8 : kv_cache == "int4" ? 4 : 0;
    load.scheme = scheme;
    load.range = range;
    load.head = head == "int8" ? HeadWeights::kInt8 : head == "stored" ? HeadWeights::kStored : HeadWeights::kScheme;
    load.pack_cache = !pack_cache.empty();
    load.pack_folder = pack_cache == "beside" ? "" : pack_cache;
    load.memory = memory;
    load.progress = std::move(progress);
    return load;
  }
};

}  // namespace nibble::cli
