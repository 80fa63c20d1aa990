#include "model_pages.h"

#include <filesystem>
#include <fstream>
#include <optional>

#include "answer_json.h"
#include "api_error.h"
#include "nibble/inspect.h"

namespace nibble::server {
namespace {

constexpr std::uintmax_t kMaxReportBytes = std::uintmax_t{64} << 20;

std::filesystem::path report_path(const ServedModel& model) {
  std::string path = model.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path + ".report.json";
}

/// Nothing when there is no report, or none that can be read.
std::optional<Json> report_of(const ServedModel& model) {
  std::error_code error;
  const auto path = report_path(model);
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error || bytes > kMaxReportBytes) return {};
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  Result<Json> json = parse_untrusted(text, path.string());
  if (!json.ok() || !json->is_object()) return {};
  return std::move(*json);
}

HttpReply not_found(std::string message) {
  return reply_of({404, std::move(message), "invalid_request_error", "model", "not_found"});
}

}  // namespace

std::string models_json(const std::vector<ServedModel>& models) {
  Json data = Json::array();
  for (const ServedModel& m : models)
    data.push_back({{"id", m.id},
                    {"object", "model"},
                    {"created", m.loaded_at},
                    {"owned_by", "nibble"},
                    {"max_model_len", m.model->context()},
                    {"meta",
                     {{"n_ctx", m.model->context()},
                      {"n_ctx_train", m.model->context()},
                      {"n_vocab", m.model->vocab_size()},
                      {"size", m.model->packed_bytes()},
                      {"architecture", m.model->architecture()},
                      {"chat", m.model->has_chat_template()}}}});
  return json_text({{"object", "list"}, {"data", std::move(data)}});
}

std::string props_json(const ServedModel& m) {
  return json_text({{"default_generation_settings", {{"n_ctx", m.model->context()}}},
                    {"model_alias", m.id},
                    {"model_path", m.path},
                    {"build_info", "nibble-" NIBBLE_VERSION}});
}

std::string api_models_json(const std::vector<ServedModel>& models) {
  Json list = Json::array();
  for (const ServedModel& m : models) {
    std::error_code error;
    list.push_back(
        {{"id", m.id}, {"path", m.path}, {"has_report", std::filesystem::is_regular_file(report_path(m), error)}});
  }
  return json_text({{"models", std::move(list)}});
}

std::string reports_json(const std::vector<ServedModel>& models) {
  Json list = Json::array();
  for (const ServedModel& m : models)
    if (auto report = report_of(m)) list.push_back({{"name", m.id}, {"report", std::move(*report)}});
  return json_text({{"reports", std::move(list)}});
}

HttpReply inspect_reply(const ServedModel* model) {
  if (model == nullptr) return not_found("this model is not served here");
  const Result<Inspection> inspection = nibble::inspect(model->path);
  return inspection.ok() ? json_reply(to_json(*inspection)) : reply_of(api_error_of(inspection.error()));
}

HttpReply report_reply(const ServedModel* model) {
  if (model == nullptr) return not_found("this model is not served here");
  const auto report = report_of(*model);
  return report ? json_reply(json_text(*report)) : not_found("no report lies beside this model");
}

}  // namespace nibble::server
