// What the server tells of its models: lists, what their files hold, and the reports of their quantization.
#pragma once

#include <string>
#include <vector>

#include "http_message.h"
#include "served_models.h"

namespace nibble::server {

/// /v1/models
std::string models_json(const std::vector<ServedModel>& models);
/// llama-server's /props
std::string props_json(const ServedModel& model);
/// {"models": [{"id", "path", "has_report"}]}
std::string api_models_json(const std::vector<ServedModel>& models);
/// {"reports": [{"name", "report"}]}: of all models that have one.
std::string reports_json(const std::vector<ServedModel>& models);
/// What `nibble inspect --json` prints. Null: no such model.
HttpReply inspect_reply(const ServedModel* model);
/// What `nibble quantize` wrote beside the model; 404 where there is nothing.
HttpReply report_reply(const ServedModel* model);

}  // namespace nibble::server
