// The register of outputs under construction, which a signal handler can walk to remove them: fixed memory, no locks.
// Used by atomic_output.cc only.
#pragma once

#include <string>

namespace nibble {

/// Notes a temporary file or folder of this process; returns its slot, or -1 when the register is full or the path too
/// long (the output is then still removed by its destructor, not by a signal).
int register_unfinished_output(const std::string& path) noexcept;
/// Forgets a slot; -1 is allowed.
void forget_unfinished_output(int slot) noexcept;

/// Removes a file, or a folder with its contents, by system calls alone (async-signal-safe). Does not follow symbolic
/// links. False when something is left.
bool remove_tree_signal_safe(const char* path) noexcept;

}  // namespace nibble
