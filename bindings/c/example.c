/* Nibble from C: quantizes a model, loads the result, measures it, and lets it continue a prompt.
 *
 *     cc example.c $(pkg-config --cflags --libs nibble) -o example
 *     ./example MODEL SCHEME OUT PROMPT TOKENS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nibble/nibble.h"

/* Says what failed. Every call of the interface can be wrapped like this. */
static int failed(const char* doing, nibble_status status) {
  if (status == NIBBLE_OK) return 0;
  fprintf(stderr, "%s: %s (%s)\n", doing, nibble_last_error(), nibble_status_name(status));
  return 1;
}

/* Called while the library works; another value than 0 would stop it. */
static int show_progress(void* user, const char* what, uint64_t done, uint64_t total, const char* unit) {
  (void)user;
  fprintf(stderr, "\r%s: %llu of %llu %s", what, (unsigned long long)done, (unsigned long long)total, unit);
  if (done == total) fprintf(stderr, "\n");
  return 0;
}

/* Called with every piece of text; another value than 0 would end it. */
static int print_text(void* user, const char* text, size_t length) {
  (void)user;
  fwrite(text, 1, length, stdout);
  fflush(stdout);
  return ferror(stdout);
}

static int quantize(const char* model, const char* scheme, const char* out) {
  nibble_quantize_options options;
  nibble_quantize_options_init(&options, sizeof(options));
  options.scheme = scheme;
  options.progress = show_progress;
  return failed("quantizing", nibble_quantize(model, out, &options, NULL));
}

/* Perplexity on a text, as JSON. */
static int measure(nibble_model* model, const char* text) {
  nibble_evaluate_options options;
  char* json = NULL;
  nibble_evaluate_options_init(&options, sizeof(options));
  options.text = text;
  options.text_length = strlen(text);
  options.context = 8;
  if (failed("measuring", nibble_evaluate(model, &options, &json))) return 1;
  fprintf(stderr, "%s\n", json);
  nibble_free(json);
  return 0;
}

static int continue_prompt(nibble_model* model, const char* prompt, int64_t tokens) {
  int32_t* ids = NULL;
  size_t count = 0;
  nibble_status status;
  nibble_generate_options options;
  nibble_report report;
  if (failed("tokenizing", nibble_tokenize(model, prompt, strlen(prompt), 1, 0, &ids, &count))) return 1;
  nibble_generate_options_init(&options, sizeof(options));
  options.temperature = 0;
  options.max_tokens = tokens;
  report.size = sizeof(report);
  status = nibble_generate(model, ids, count, &options, print_text, NULL, &report);
  nibble_free(ids);
  if (failed("generating", status)) return 1;
  fprintf(stderr, "\n%lld tokens, then %lld in %.3f s\n", (long long)report.prompt_tokens,
          (long long)report.generated_tokens, report.decode_seconds);
  return 0;
}

int main(int argc, char** argv) {
  nibble_load_options load;
  nibble_model* model = NULL;
  int bad = 0;
  if (argc != 6) {
    fprintf(stderr, "usage: %s MODEL SCHEME OUT PROMPT TOKENS    (Nibble %s)\n", argv[0], nibble_version());
    return 2;
  }
  if (quantize(argv[1], argv[2], argv[3])) return 1;
  nibble_load_options_init(&load, sizeof(load));
  load.context = 512;
  load.progress = show_progress;
  if (failed("loading", nibble_model_load(argv[3], &load, &model))) return 1;
  fprintf(stderr, "%s, %lld positions, %lld tokens, %lld bytes\n", nibble_model_architecture(model),
          (long long)nibble_model_context(model), (long long)nibble_model_vocab_size(model),
          (long long)nibble_model_packed_bytes(model));
  bad = measure(model, argv[4]) || continue_prompt(model, argv[4], strtoll(argv[5], NULL, 10));
  nibble_model_free(model);
  return bad;
}
