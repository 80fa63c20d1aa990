// Where the library's messages go. The library never prints: a client installs a sink, the default drops everything.
#pragma once

#include <functional>
#include <string_view>

namespace nibble {

enum class LogLevel { kInfo, kWarning };

using LogSink = std::function<void(LogLevel, std::string_view message)>;

/// Replaces the sink for the whole process; call it before starting threads.
void set_log_sink(LogSink sink);

}  // namespace nibble
