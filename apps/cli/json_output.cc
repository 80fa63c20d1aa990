// The fields of the JSON results; docs/cli.md lists them.
#include "json_output.h"

#include <algorithm>
#include <cstdio>

namespace nibble::cli {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

std::string_view pack_state_name(PackState state) {
  switch (state) {
    case PackState::kCurrent:
      return "current";
    case PackState::kStale:
      return "stale";
    case PackState::kDamaged:
      break;
  }
  return "damaged";
}

Json to_json(const std::vector<PackInfo>& packs) {
  Json list = Json::array();
  for (const PackInfo& pack : packs)
    list.push_back({{"name", pack.name},
                    {"path", pack.path},
                    {"bytes", pack.bytes},
                    {"state", pack_state_name(pack.state)},
                    {"why", pack.why}});
  return {{"packs", list}};
}

void print_json(const Json& json) {
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

Json to_json(const PullReport& r) {
  return {{"path", r.path}, {"commit", r.commit}, {"files", r.files}, {"bytes", r.bytes}, {"downloaded", r.downloaded}};
}

Json to_json(const ImatrixReport& r) {
  return {{"entries", r.entries}, {"chunks", r.chunks}, {"tokens", r.tokens}, {"seconds", r.seconds}};
}

Json to_json(const StatisticsReport& r) {
  return {{"groups", r.groups}, {"tokens", r.tokens}, {"bytes", r.bytes}, {"seconds", r.seconds}};
}

Json to_json(const EngineBenchReport& r) {
  return {{"one_tps", median(r.one_tps)},
          {"streams_tps", median(r.tps)},
          {"one_tps_runs", r.one_tps},
          {"streams_tps_runs", r.tps},
          {"steps", r.steps},
          {"step_seconds", r.step_seconds},
          {"model_seconds", r.model_seconds},
          {"sampling_seconds", r.sampling_seconds}};
}

Json to_json(const BenchReport& r) {
  Json read = Json::object();
  for (const auto& [threads, rate] : r.read_by_threads) read[std::to_string(threads)] = rate;
  Json profile = Json::array();
  for (const OperationTime& t : r.profile)
    profile.push_back({{"operation", t.operation},
                       {"block", t.block},
                       {"prompt_ms", t.prompt_ms},
                       {"decode_ms_per_token", t.decode_ms}});
  return {{"name", r.name},
          {"scheme", r.scheme},
          {"threads", r.threads},
          {"model_bytes", r.model_bytes},
          {"packed_bytes", r.packed_bytes},
          {"streamed_bytes", r.streamed_bytes},
          {"prompt_tps", median(r.prompt_tps)},
          {"decode_tps", median(r.decode_tps)},
          {"prompt_tps_runs", r.prompt_tps},
          {"decode_tps_runs", r.decode_tps},
          {"prompt_gops", r.prompt_gops},
          {"decode_gb_per_s", r.decode_gb_per_s},
          {"read_gb_per_s", r.read_gb_per_s},
          {"read_gb_per_s_by_threads", read},
          {"fma_gflops", r.fma_gflops},
          {"int8_gops", r.int8_gops},
          {"int8", r.int8},
          {"load_seconds", r.load_seconds},
          {"peak_rss_bytes", r.peak_rss_bytes},
          {"profile", profile}};
}

}  // namespace nibble::cli
