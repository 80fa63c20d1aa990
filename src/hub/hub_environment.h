// What the environment says about the hub, in the variables that huggingface_hub reads.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace nibble {

struct HubEnvironment {
  std::string endpoint = "https://huggingface.co";  ///< without a slash at the end
  std::filesystem::path cache;                      ///< the folder of models--*
  std::string token;                                ///< empty: none
  bool offline = false;
};

/// Gives a variable's value or nullptr: std::getenv, and in tests something else.
using GetVariable = std::function<const char*(const char* name)>;

/// HF_ENDPOINT; HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub or
/// ~/.cache/huggingface/hub; HF_TOKEN or the file HF_TOKEN_PATH (HF_HOME/token); HF_HUB_OFFLINE. An empty variable
/// counts as unset. Errors: kInvalidArgument for an endpoint or a token that cannot be one, or when no home folder is
/// known.
Result<HubEnvironment> read_hub_environment(const GetVariable& get);

}  // namespace nibble
