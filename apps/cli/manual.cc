// nibble manual: the manual page, generated from the commands themselves.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "commands.h"

namespace nibble::cli {
namespace {

/// Text as troff takes it: backslashes, hyphens that are typed, and lines that would begin like a request.
std::string troff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (!out.empty() && (out[0] == '.' || out[0] == '\'')) out.insert(0, "\\&");
  return out;
}

std::string names_of(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const std::string& name : option.get_snames()) add("-" + name);
  for (const std::string& name : option.get_lnames()) add("--" + name);
  if (names.empty()) names = option.get_name();
  return names;
}

std::string entry(const CLI::Option& option) {
  std::string text = ".TP\n.B " + troff(names_of(option)) + "\n" + troff(option.get_description());
  if (!option.get_default_str().empty()) text += troff(" (default: " + option.get_default_str() + ")");
  return text + "\n";
}

std::string section_of(const CLI::App& command) {
  std::string text = ".SS nibble " + troff(command.get_name()) + "\n" + troff(command.get_description()) + "\n";
  for (const CLI::Option* option : command.get_options())
    if (option->get_name() != "--help") text += entry(*option);
  return text;
}

std::string manual_of(const CLI::App& app) {
  std::string text = ".TH NIBBLE 1 \"\" \"nibble " NIBBLE_VERSION
                     "\" \"User Commands\"\n.SH NAME\nnibble \\- quantize language "
                     "models to few bits and run them on the CPU\n.SH SYNOPSIS\n.B nibble\n.I COMMAND\n[options]\n"
                     ".SH DESCRIPTION\n";
  const std::string description = app.get_description();
  text += ".nf\n";
  for (std::size_t at = 0; at <= description.size();) {
    const std::size_t end = std::min(description.find('\n', at), description.size());
    text += troff(description.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  text += ".fi\n.SH OPTIONS\n";
  for (const CLI::Option* option : app.get_options())
    if (option->get_name() != "--help") text += entry(*option);
  text += ".SH COMMANDS\n";
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); }))
    text += section_of(*command);
  text +=
      ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nfailed, with a message on stderr\n.TP\n.B 2\nthe command line is "
      "wrong\n.SH ENVIRONMENT\n.TP\n.B NIBBLE_ISA\nforces an instruction set: portable, avx2, avxvnni, avx512, amx "
      "...\n.TP\n.B "
      "HF_HOME, HF_HUB_CACHE\nwhere models of hf:ORG/NAME lie\n";
  return text;
}

}  // namespace

void add_manual(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("manual", "print the manual page: nibble manual | man -l -");
  command->callback([&app, &action] {
    action = [&app] {
      fmt::print("{}", manual_of(app));
      return kExitDone;
    };
  });
}

}  // namespace nibble::cli
