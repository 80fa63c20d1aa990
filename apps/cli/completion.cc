// nibble completion: shell completion, generated from the commands themselves.
#include <fmt/format.h>

#include "commands.h"

namespace nibble::cli {
namespace {

std::string names_of_options(const CLI::App& command) {
  std::string names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names += " --" + name;
    for (const std::string& name : option->get_snames()) names += " -" + name;
  }
  return names;
}

std::string bash_script(const CLI::App& app) {
  std::string commands;
  std::string cases;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands += " " + command->get_name();
    cases += fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), names_of_options(*command));
  }
  return fmt::format(
      "_nibble() {{\n"
      "  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"{}\" -- \"$current\")); return; fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n{}  esac\n"
      "  case \"$current\" in\n"
      "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
      "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
      "  esac\n}}\ncomplete -o filenames -F _nibble nibble\n",
      commands, cases);
}

/// To be read at the start of a shell, or to lie as _nibble where zsh looks for completions: then it is read when it is
/// first wanted, and completes at once.
std::string zsh_script(const CLI::App& app) {
  return "#compdef nibble\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(app) +
         "[ \"${funcstack[1]}\" = _nibble ] && _bash_complete -o filenames -F _nibble\ntrue\n";
}

/// Within single quotes fish reads only these two otherwise.
std::string fish_quoted(const std::string& text) {
  std::string quoted;
  for (const char c : text) quoted += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return quoted;
}

std::string fish_script(const CLI::App& app) {
  std::string script;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    script += fmt::format("complete -c nibble -n __fish_use_subcommand -a {} -d '{}'\n", command->get_name(),
                          fish_quoted(command->get_description()));
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames())
        script +=
            fmt::format("complete -c nibble -n '__fish_seen_subcommand_from {}' -l {}\n", command->get_name(), name);
  }
  return script;
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("completion", "print a completion script: nibble completion bash >> ~/.bashrc");
  auto shell = std::make_shared<std::string>("bash");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->capture_default_str();
  command->callback([shell, &app, &action] {
    action = [shell, &app] {
      fmt::print("{}", *shell == "fish" ? fish_script(app) : *shell == "zsh" ? zsh_script(app) : bash_script(app));
      return kExitDone;
    };
  });
}

}  // namespace nibble::cli
