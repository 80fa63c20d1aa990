/* A program of somebody else: it sees the installed header and library only. */
#include <nibble/nibble.h>
#include <string.h>

int main(void) {
  nibble_model* model = NULL;
  nibble_load_options options;
  nibble_load_options_init(&options, sizeof(options));
  if (nibble_model_load("/nonexistent", &options, &model) != NIBBLE_NOT_FOUND || model != NULL) return 1;
  return strstr(nibble_last_error(), "/nonexistent") != NULL && nibble_version()[0] != 0 ? 0 : 1;
}
