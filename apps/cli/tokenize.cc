// nibble tokenize
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "commands.h"
#include "json_output.h"
#include "nibble/inspect.h"

namespace nibble::cli {
namespace {

struct Flags {
  std::string model;
  std::string text;
  std::string file;
  bool lines = false;
  bool no_bos = false;
  bool no_special = false;
  bool json = false;
};

void show(const TokenizedText& t, bool json) {
  if (json) {
    print_json({{"ids", t.ids}, {"pieces", t.pieces}});
    return;
  }
  for (std::size_t i = 0; i < t.ids.size(); ++i)
    fmt::print("{:>8}  {}\n", t.ids[i], Json(t.pieces[i]).dump(-1, ' ', false, Json::error_handler_t::replace));
}

int run(const Flags& flags) {
  std::string text = flags.text;
  if (!flags.file.empty()) {
    std::ifstream file(flags.file, std::ios::binary);
    if (!file) return report_error({ErrorCode::kNotFound, flags.file + ": cannot open"});
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  if (!flags.lines) {
    const Result<TokenizedText> result = tokenize_text(flags.model, text, !flags.no_bos, !flags.no_special);
    if (!result.ok()) return report_error(result.error());
    show(*result, flags.json);
    return kExitDone;
  }
  // One line of ids per line of text, so that a corpus can be compared with another tokenizer.
  const Result<std::vector<std::vector<std::int32_t>>> lines =
      tokenize_lines(flags.model, text, !flags.no_bos, !flags.no_special);
  if (!lines.ok()) return report_error(lines.error());
  if (flags.json) {
    print_json({{"lines", *lines}});
    return kExitDone;
  }
  std::string out;
  for (const std::vector<std::int32_t>& ids : *lines) {
    for (std::size_t i = 0; i < ids.size(); ++i) out += (i > 0 ? " " : "") + std::to_string(ids[i]);
    out += '\n';
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return kExitDone;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("tokenize", "show the token ids and pieces of a text; works on tokenizer-only GGUF files too");
  auto flags = std::make_shared<Flags>();
  command->add_option("MODEL", flags->model, "GGUF file, Hugging Face folder or hf:ORG/NAME")->required();
  CLI::Option* text = command->add_option("--text", flags->text, "the text");
  CLI::Option* file = command->add_option("--file", flags->file, "a file with the text")->excludes(text);
  command->add_flag("--lines", flags->lines, "with --file: print the ids of each line on a line");
  command->add_flag("--no-bos", flags->no_bos, "without the tokens that the model wants around a text");
  command->add_flag("--no-special", flags->no_special, "take special tokens in the text for plain text");
  command->add_flag("--json", flags->json, "JSON on stdout");
  command->callback([flags, text, file, &action] {
    if (text->count() + file->count() == 0) throw CLI::RequiredError("--text or --file");
    action = [flags] { return run(*flags); };
  });
}

}  // namespace nibble::cli
