/* Nibble's C interface, in C99: load a model, write text with it, measure it, quantize and convert it. What bindings of
 * other languages build on; the Python package does. docs/c-interface.md shows its use.
 *
 * Calls that can fail return a status; nibble_last_error() is the message. No C++ exception leaves a call. Strings are
 * UTF-8 and end in a zero byte unless a length stands beside them. What a call hands out through a pointer to a pointer
 * belongs to the caller: memory goes back by nibble_free(), a handle by its own function, which takes NULL, too. On an
 * error nothing is handed out.
 *
 * Structs carry their size as the compiler of the caller saw it, and grow at their end only; so programs run with
 * libraries that are newer, and with older ones as long as they use no field that is unknown there. A *_init() function
 * sets the size and every default; NULL in place of options means all defaults. Flags are 0 or 1. In options, an empty
 * string means the same as NULL.
 *
 * A model and its streams may be used from several threads at once, one stream by one thread at a time. */
#ifndef NIBBLE_NIBBLE_H
#define NIBBLE_NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NIBBLE_API __attribute__((visibility("default")))
#else
#define NIBBLE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What went wrong ---------------------------------------------------------------------------------------------*/

typedef int32_t nibble_status;
enum {
  NIBBLE_OK = 0,
  NIBBLE_INVALID_ARGUMENT = 1, /* the caller asked for something impossible */
  NIBBLE_NOT_FOUND = 2,        /* a file, tensor or name does not exist */
  NIBBLE_CORRUPT = 3,          /* bytes from outside break the rules of their format */
  NIBBLE_UNSUPPORTED = 4,      /* well-formed, but not implemented */
  NIBBLE_IO = 5,               /* the operating system refused */
  NIBBLE_OUT_OF_MEMORY = 6,    /* more memory would be needed than allowed, or than there is */
  NIBBLE_CANCELLED = 7,        /* a callback asked to stop */
  NIBBLE_BUSY = 8,             /* as much as allowed is under way; the same may be asked later */
  NIBBLE_INTERNAL = 9,         /* a defect in Nibble; please report it */
  NIBBLE_TIMEOUT = 10          /* nibble_stream_next(): nothing happened yet; not an error, no message */
};

/* The message of this thread's last call that failed; valid until its next one that does. Never NULL. */
NIBBLE_API const char* nibble_last_error(void);
/* "invalid_argument", ...; "unknown" for other numbers. */
NIBBLE_API const char* nibble_status_name(nibble_status status);
/* Of the library, like "0.1.0". */
NIBBLE_API const char* nibble_version(void);
/* Gives back what a call handed out. NULL is allowed. */
NIBBLE_API void nibble_free(void* memory);

/* `done` of `total` units of the task `what`; called often, on the thread that made the call. Not 0: the work stops and
 * the call fails with NIBBLE_CANCELLED. */
typedef int (*nibble_progress)(void* user, const char* what, uint64_t done, uint64_t total, const char* unit);

/* ---- Models ------------------------------------------------------------------------------------------------------*/

typedef struct nibble_model nibble_model;

typedef struct nibble_load_options {
  size_t size;
  int32_t threads;         /* 0: all processors */
  int32_t kv_bits;         /* 8 or 4: keys and values but the latest in integers of so many bits; 0: in floats */
  int64_t context;         /* positions; 0: what the model was made for */
  const char* compute;     /* "int8" (default): activations in int8 where weights are integers; "f32" */
  const char* scheme;      /* a float model is quantized to it while loading, e.g. "int4-g32-sym"; NULL: as stored */
  const char* range;       /* of that quantization: "full" (default), "absmax", "gptq", "percentile:P", "mse" */
  const char* head;        /* output head: "int8" (default), "stored", "scheme" */
  const char* pack_folder; /* with pack_cache: where the pack lies; NULL: beside the model */
  int32_t pack_cache;      /* 1: keep the packed weights in a file and load from it */
  int32_t max_running;     /* texts that are computed at once; more wait. Default 32 */
  uint64_t memory;         /* bytes that the process may hold; weights beyond are read as they are used. 0: no bound */
  uint64_t kv_memory;      /* bytes of keys and values; 0: what is right for the machine */
  nibble_progress progress;
  void* user; /* of progress */
} nibble_load_options;
NIBBLE_API void nibble_load_options_init(nibble_load_options* options, size_t size);

/* Loads a GGUF file, a Hugging Face folder, or "hf:org/name" that is in the cache. */
NIBBLE_API nibble_status nibble_model_load(const char* path, const nibble_load_options* options, nibble_model** model);
/* Streams of the model keep what they need of it until they are freed themselves. */
NIBBLE_API void nibble_model_free(nibble_model* model);

/* Facts about a model; the string is valid as long as the model. */
NIBBLE_API const char* nibble_model_architecture(const nibble_model* model);
NIBBLE_API int64_t nibble_model_context(const nibble_model* model);
NIBBLE_API int64_t nibble_model_vocab_size(const nibble_model* model);
NIBBLE_API int64_t nibble_model_packed_bytes(const nibble_model* model);
NIBBLE_API int32_t nibble_model_has_chat_template(const nibble_model* model);

/* What a model's texts are at, and totals since it was loaded. */
typedef struct nibble_model_stats {
  size_t size;     /* set by the caller */
  int64_t running; /* texts under way */
  int64_t waiting; /* accepted, not yet running */
  int64_t accepted;
  int64_t finished;
  int64_t cancelled;
  int64_t failed;
  int64_t prompt_tokens;
  int64_t cached_tokens; /* of these, not computed again */
  int64_t generated_tokens;
} nibble_model_stats;
NIBBLE_API nibble_status nibble_model_get_stats(nibble_model* model, nibble_model_stats* stats);

/* ---- Tokens ------------------------------------------------------------------------------------------------------*/

/* Token ids of `length` bytes of text. `add_special`: with what the tokenizer puts around a text (BOS);
 * `parse_special`: special tokens written in the text count as such. */
NIBBLE_API nibble_status nibble_tokenize(const nibble_model* model, const char* text, size_t length,
                                         int32_t add_special, int32_t parse_special, int32_t** ids, size_t* count);
/* The text of token ids, special tokens left out, ended by a zero byte that `length` does not count. */
NIBBLE_API nibble_status nibble_detokenize(const nibble_model* model, const int32_t* ids, size_t count, char** text,
                                           size_t* length);
/* The prompt that the model's chat template makes of a conversation: a JSON list of objects with "role" and "content",
 * both strings. */
NIBBLE_API nibble_status nibble_chat_prompt(const nibble_model* model, const char* messages_json, int32_t** ids,
                                            size_t* count);

/* ---- Text --------------------------------------------------------------------------------------------------------*/

/* How text is chosen; names, defaults and order are llama.cpp's where it has them (nibble/model.h says more). */
typedef struct nibble_generate_options {
  size_t size;
  int64_t max_tokens;       /* 0 (default): until the model ends or the context is full */
  int64_t min_tokens;       /* before so many the text does not end by itself */
  uint64_t seed;            /* equal seeds give equal text */
  float temperature;        /* default 0.8; 0: the likeliest token */
  float top_p;              /* default 0.95 */
  float min_p;              /* default 0.05 */
  float repetition_penalty; /* default 1: none */
  float frequency_penalty;
  float presence_penalty;
  int32_t top_k;           /* default 40 */
  int32_t repeat_last_n;   /* default 64 */
  int32_t ignore_eos;      /* 1: a token that ends the text does not */
  int32_t skip_special;    /* 1 (default): special tokens are no part of the text */
  int32_t logprobs;        /* log probabilities of each token, and of so many of the likeliest, 0 to 20; -1 (default) */
  const char* const* stop; /* the text ends before the first of these strings */
  size_t stop_count;
  const int32_t* bias_ids;  /* token ids whose logits get ... */
  const float* bias_values; /* ... these added */
  size_t bias_count;
} nibble_generate_options;
NIBBLE_API void nibble_generate_options_init(nibble_generate_options* options, size_t size);

typedef int32_t nibble_stop_reason;
enum {
  NIBBLE_STOP_END = 0,          /* the model ended the text */
  NIBBLE_STOP_STRING = 1,       /* one of the stop strings */
  NIBBLE_STOP_MAX_TOKENS = 2,   /* max_tokens */
  NIBBLE_STOP_CONTEXT_FULL = 3, /* no position left */
  NIBBLE_STOP_CANCELLED = 4     /* by the caller */
};

typedef struct nibble_report {
  size_t size; /* set by the caller */
  nibble_stop_reason reason;
  int32_t reserved;
  int64_t prompt_tokens;
  int64_t cached_tokens; /* of these, known from earlier texts */
  int64_t generated_tokens;
  double queue_seconds;
  double prompt_seconds;
  double decode_seconds;
} nibble_report;

/* Receives text, always whole characters, on the thread that called; also with length 0, 20 times a second and more
 * often, so that it can look whether to go on. Not 0: generation ends with NIBBLE_STOP_CANCELLED. */
typedef int (*nibble_text_callback)(void* user, const char* text, size_t length);

/* Continues a prompt of token ids. `report` may be NULL. */
NIBBLE_API nibble_status nibble_generate(nibble_model* model, const int32_t* prompt, size_t count,
                                         const nibble_generate_options* options, nibble_text_callback callback,
                                         void* user, nibble_report* report);

/* The same to be read piece by piece. Many streams of one model run together, each with the text it has alone. */
typedef struct nibble_stream nibble_stream;

/* A token and the logarithm of its probability by the model; `bytes` are what it stands for, not always whole
 * characters. This struct does not grow. */
typedef struct nibble_logprob {
  int32_t id;
  float logprob;
  const char* bytes;
  size_t length;
} nibble_logprob;

/* A token of the answer. `chosen` and `top` (in descending order) are there if logprobs were asked for. This struct
 * does not grow. */
typedef struct nibble_token {
  int32_t id;
  int32_t has_logprob;
  nibble_logprob chosen;
  const nibble_logprob* top;
  size_t top_count;
} nibble_token;

/* What came of a stream since its last event. Pointers are valid until the stream's next call. */
typedef struct nibble_event {
  size_t size;      /* set by the caller */
  const char* text; /* whole characters, ended by a zero byte that length does not count; may be empty */
  size_t length;
  const nibble_token* tokens; /* may come before their text */
  size_t token_count;
  int32_t done; /* 1: this is the last event */
  int32_t reserved;
} nibble_event;

NIBBLE_API nibble_status nibble_stream_start(nibble_model* model, const int32_t* prompt, size_t count,
                                             const nibble_generate_options* options, nibble_stream** stream);
/* Waits at most so long (negative: forever) for the next event. NIBBLE_TIMEOUT: nothing came. Another error: the text
 * failed, and every further call says so again. After the last event, it is given again without text. */
NIBBLE_API nibble_status nibble_stream_next(nibble_stream* stream, int32_t timeout_ms, nibble_event* event);
/* How the text ended. NIBBLE_BUSY before its last event was read. */
NIBBLE_API nibble_status nibble_stream_get_report(const nibble_stream* stream, nibble_report* report);
/* Ends the text within a step; the last event follows. */
NIBBLE_API void nibble_stream_cancel(nibble_stream* stream);
/* Cancels what has not ended, without waiting for it. */
NIBBLE_API void nibble_stream_free(nibble_stream* stream);

/* The mean of the last hidden states of each of `count` texts, scaled to length 1 if `normalize`. The texts' token ids
 * stand one after the other in `ids`, `lengths` says how many each has. `values` is [count, width], row by row. */
NIBBLE_API nibble_status nibble_embed(nibble_model* model, const int32_t* ids, const size_t* lengths, size_t count,
                                      int32_t normalize, nibble_progress progress, void* user, float** values,
                                      size_t* width);

/* ---- Measuring ---------------------------------------------------------------------------------------------------*/

typedef struct nibble_evaluate_options {
  size_t size;
  const char* text_file; /* UTF-8 text to measure on; or ... */
  const char* text;      /* ... the text itself */
  size_t text_length;
  int64_t context;         /* tokens of a window; default 512 */
  int64_t chunks;          /* windows; 0 (default): all whole ones */
  const char* save_logits; /* nibble_evaluate_files(): a file that gets the model's logits, to be a baseline */
  nibble_progress progress;
  void* user;
} nibble_evaluate_options;
NIBBLE_API void nibble_evaluate_options_init(nibble_evaluate_options* options, size_t size);

/* Perplexity of a loaded model, as JSON with the fields of `nibble eval --json`. */
NIBBLE_API nibble_status nibble_evaluate(nibble_model* model, const nibble_evaluate_options* options, char** json);
/* The same of a model on disk; beside a baseline (NULL: none; a model or a file of logits) also KL divergence and top-1
 * agreement. */
NIBBLE_API nibble_status nibble_evaluate_files(const char* model, const char* baseline,
                                               const nibble_evaluate_options* options, const nibble_load_options* load,
                                               char** json);

/* ---- Files -------------------------------------------------------------------------------------------------------*/

/* Fields mean what the flags of `nibble quantize` do (nibble/quantize.h says more). */
typedef struct nibble_quantize_options {
  size_t size;
  const char* method;            /* "rtn" (default), "hqq", "gptq", "best", "awq", "awq+gptq", "autoround", "wnam" */
  const char* scheme;            /* "int4-g32-sym", ...; or a budget: */
  double target_bpw;             /* bits per weight */
  uint64_t target_size;          /* bytes of the tensor files */
  const char* const* candidates; /* schemes that a budget chooses from */
  size_t candidate_count;
  const char* const* overrides; /* "PATTERN=SCHEME" */
  size_t override_count;
  const char* to; /* family; NULL: by output and scheme */
  const char* range;
  const char* imatrix;
  const char* statistics;
  const char* const* calibration; /* files */
  size_t calibration_count;
  int64_t samples;             /* default 128 */
  int64_t calibration_context; /* tokens of a window; 0 (default): 1024, or what the model was made for */
  uint64_t seed;
  int32_t chat_template;
  int32_t per_document;
  double damping;         /* default 0.01 */
  const char* act_order;  /* "groups" (default), "full", "static" */
  const char* importance; /* "activations" (default), "gradients" */
  int32_t iterations;     /* default 200 */
  int32_t bias_correction;
  int32_t quantize_head;
  int32_t resume;
  uint64_t max_memory;
  const char* report; /* "off", "quick", "full"; NULL: quick for calibrated methods, else off */
  const char* report_text;
  uint64_t shard_bytes;
  int32_t threads;
  int32_t reserved;
  nibble_progress progress;
  void* user;
} nibble_quantize_options;
NIBBLE_API void nibble_quantize_options_init(nibble_quantize_options* options, size_t size);

/* Quantizes the model at a path into another path, which appears whole or not at all. `json` (may be NULL): the report
 * that `nibble quantize --json` prints. */
NIBBLE_API nibble_status nibble_quantize(const char* model, const char* out, const nibble_quantize_options* options,
                                         char** json);

typedef struct nibble_convert_options {
  size_t size;
  const char* to; /* "gguf[:TYPE]", "hf:bf16", "compressed-tensors", ... */
  int32_t lossy;  /* 1: requantize what the target cannot hold exactly */
  int32_t threads;
  uint64_t shard_bytes;
  nibble_progress progress;
  void* user;
} nibble_convert_options;
NIBBLE_API void nibble_convert_options_init(nibble_convert_options* options, size_t size);

NIBBLE_API nibble_status nibble_convert(const char* model, const char* out, const nibble_convert_options* options,
                                        char** json);

/* Copies a model, a folder or a file, to another path, where it appears whole or not at all. */
NIBBLE_API nibble_status nibble_copy_model(const char* model, const char* out, nibble_progress progress, void* user);

/* Downloads "hf:org/name[@revision]" into the Hugging Face cache. `patterns` of file names; none: what the model needs.
 * `path`: the folder that has it. */
NIBBLE_API nibble_status nibble_pull(const char* model, const char* const* patterns, size_t pattern_count,
                                     nibble_progress progress, void* user, char** path);

/* What a checkpoint is, without running it: the JSON of `nibble inspect --json`. */
NIBBLE_API nibble_status nibble_inspect(const char* model, char** json);
/* What this machine can run: the JSON of `nibble info --json`. */
NIBBLE_API nibble_status nibble_machine_info(char** json);

#ifdef __cplusplus
}
#endif

#endif /* NIBBLE_NIBBLE_H */
