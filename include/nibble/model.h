// A language model, loaded and ready to run: tokens in, text out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/progress.h"
#include "nibble/result.h"

namespace nibble {

enum class Arithmetic {
  kInt8,  ///< activations in int8 where weights are integers, KV cache in float16
  kF32,   ///< weights, activations and KV cache in float32
};

/// What the output head, and the embedding where it is the same matrix, runs as.
enum class HeadWeights {
  kInt8,    ///< int8-g32-sym where it is stored in floats, the layers are quantized and activations are int8
  kStored,  ///< as stored
  kScheme,  ///< LoadOptions::scheme, as the layers
};

struct LoadOptions {
  int threads = 0;  ///< 0: all processors
  Arithmetic arithmetic = Arithmetic::kInt8;
  int kv_bits = 0;             ///< 8 or 4: keys and values but the latest in integers of so many bits; 0: in floats
  std::int64_t context = 0;    ///< positions; 0: what the model was made for
  std::string scheme;          ///< not empty: a float model is quantized while loading ("int4-g32-sym")
  std::string range = "full";  ///< range rule of that quantization
  HeadWeights head = HeadWeights::kInt8;
  /// Keep the packed weights in a file beside the model, and load from it (nibble/pack_cache.h).
  bool pack_cache = false;
  std::string pack_folder;  ///< not empty: that file lies here
  std::uint64_t memory =
      0;  ///< bytes that the process may hold; weights beyond it are read from the pack as they are used
  Progress progress;
};

/// How the next token is chosen. Names and defaults are llama.cpp's where it has them. In this order:
struct Sampling {
  /// Added to the logits of these token ids; ids outside the vocabulary do nothing. OpenAI allows -100 to 100.
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  float repetition_penalty = 1.0f;  ///< 1: off. A token in the window: positive logit divided by it, else multiplied
  int repeat_last_n = 64;           ///< window in tokens of prompt and answer; 0: off, negative: all of them
  /// Of a token that the answer holds c > 0 times: logit - c * frequency_penalty - presence_penalty (OpenAI's
  /// definition; as in vLLM, and unlike llama.cpp, the prompt does not count).
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  int top_k = 40;            ///< keep the k largest; <= 0: off
  float top_p = 0.95f;       ///< keep the fewest largest whose probabilities reach p; >= 1: off
  float min_p = 0.05f;       ///< keep those of at least p times the largest probability; <= 0: off
  float temperature = 0.8f;  ///< divides the logits; <= 0: greedy
  std::uint64_t seed = 0;    ///< equal seeds give equal tokens, whatever else runs
};

struct GenerateOptions {
  std::int64_t max_tokens = 0;  ///< 0: until the model ends or the context is full
  /// Before so many, no token that ends generation, by itself or as one of stop_tokens, is chosen while there is
  /// another.
  std::int64_t min_tokens = 0;
  Sampling sampling;
  std::vector<std::string> stop;  ///< generation ends before the first of these strings
  /// Generation ends behind the first of these tokens; its text belongs to the answer, unless special tokens have none.
  std::vector<std::int32_t> stop_tokens;
  bool ignore_eos = false;   ///< a token that ends generation does not
  bool skip_special = true;  ///< special tokens are no part of the text
};

enum class StopReason { kEnd, kStopString, kMaxTokens, kContextFull, kCancelled };

struct GenerateReport {
  StopReason reason = StopReason::kEnd;
  std::int64_t prompt_tokens = 0;  ///< fed in this call
  std::int64_t generated_tokens = 0;
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"
  std::string content;
};

/// Receives text as it is generated, always whole UTF-8 characters; between slices of a long prompt, empty text.
/// Returning false ends the generation.
using TextSink = std::function<bool(std::string_view text)>;

/// One conversation or text with its cache. Belongs to the Model that made it.
class Session {
 public:
  virtual ~Session() = default;
  /// Feeds token ids and generates. What the cache holds already (a common prefix) is not computed again.
  virtual Result<GenerateReport> generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options,
                                          const TextSink& sink) = 0;
};

class Model {
 public:
  /// Loads a GGUF file or a Hugging Face folder. Errors name the file, the tensor and the way out.
  static Result<std::shared_ptr<Model>> load(const std::string& path, const LoadOptions& options);
  virtual ~Model() = default;

  virtual std::unique_ptr<Session> new_session() = 0;
  virtual Result<std::vector<std::int32_t>> tokenize(std::string_view text, bool add_special,
                                                     bool parse_special) const = 0;
  /// The text of a list of token ids, special tokens left out. Valid UTF-8; ids outside the vocabulary are nothing.
  virtual std::string detokenize(const std::vector<std::int32_t>& ids) const = 0;
  /// The prompt that the model's chat template makes of a conversation, as token ids ready for Session::generate.
  virtual Result<std::vector<std::int32_t>> chat_prompt(const std::vector<ChatMessage>& messages) const = 0;
  virtual bool has_chat_template() const = 0;

  virtual std::string architecture() const = 0;
  virtual std::int64_t context() const = 0;
  /// Token ids are below it.
  virtual std::int64_t vocab_size() const = 0;
  virtual std::int64_t packed_bytes() const = 0;
  virtual double load_seconds() const = 0;
};

}  // namespace nibble
