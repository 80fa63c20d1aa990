#include "response_reader.h"

#include <algorithm>
#include <charconv>

namespace nibble::server {
namespace {

constexpr std::size_t kMaxLine = 64 * 1024;

bool number_of(std::string_view text, int base, std::uint64_t& number) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return !text.empty() && failed == std::errc() && end == text.data() + text.size();
}

}  // namespace

void ResponseReader::fail(std::string problem) {
  if (problem_.empty()) problem_ = std::move(problem);
  state_ = State::kDone;
}

std::string_view ResponseReader::header(std::string_view name) const {
  for (const auto& [key, value] : headers_)
    if (key == name) return value;
  return {};
}

bool ResponseReader::keeps_alive() const { return header("connection") != "close" && problem_.empty(); }

/// Whether line_ holds a whole line, without its end.
bool ResponseReader::take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  line_ += bytes.substr(0, end);
  if (line_.size() > kMaxLine) fail("a line without end");
  if (end == std::string_view::npos) {
    bytes = {};
    return false;
  }
  bytes.remove_prefix(end + 1);
  if (line_.empty() || line_.back() != '\r') {
    fail("a line that does not end in CR LF");
    return false;
  }
  line_.pop_back();
  return true;
}

void ResponseReader::read_head_line() {
  if (status_ == 0) {
    std::uint64_t status = 0;
    const bool is_status = line_.substr(0, 9) == "HTTP/1.1 " && line_.size() > 12 && line_[12] == ' ' &&
                           number_of(std::string_view(line_).substr(9, 3), 10, status) && status >= 100 && status < 600;
    if (!is_status) return fail("no status line: " + line_);
    status_ = static_cast<int>(status);
  } else if (line_.empty()) {
    end_head();
  } else {
    const std::size_t colon = line_.find(':');
    if (colon == 0 || colon == std::string::npos) return fail("no header: " + line_);
    std::string name = line_.substr(0, colon);
    for (char& c : name) {
      if (c <= ' ' || c > '~') return fail("no header: " + line_);
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    for (const char c : line_)
      if (c >= 0 && c < ' ' && c != '\t') return fail("a control character in a header");
    std::string value = line_.substr(colon + 1);
    value.erase(0, value.find_first_not_of(' '));
    headers_.emplace_back(std::move(name), std::move(value));
  }
}

void ResponseReader::end_head() {
  if (status_ < 200) {  // 100 Continue; the answer is still to come
    status_ = 0;
    has_begun_ = false;
    headers_.clear();
    return;
  }
  const auto count = [this](std::string_view name) {
    return std::count_if(headers_.begin(), headers_.end(), [&](const auto& h) { return h.first == name; });
  };
  const bool has_length = count("content-length") > 0;
  const bool has_chunks = count("transfer-encoding") > 0;
  if (count("content-length") > 1 || count("transfer-encoding") > 1 || (has_length && has_chunks))
    return fail("two lengths");
  if (has_chunks && header("transfer-encoding") != "chunked") return fail("an unknown transfer encoding");
  if (has_length && !number_of(header("content-length"), 10, left_)) return fail("no length");
  if (!has_body_ || status_ == 204 || status_ == 304) {
    state_ = State::kDone;
  } else if (has_chunks) {
    state_ = State::kChunkSize;
  } else if (has_length) {
    state_ = left_ == 0 ? State::kDone : State::kBody;
  } else if (header("connection") == "close") {
    state_ = State::kToClose;
  } else {
    fail("a body without a length");
  }
}

void ResponseReader::read_chunk_size() {
  if (line_.size() > 8 || !number_of(line_, 16, left_)) return fail("no chunk's size: " + line_);
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
}

std::size_t ResponseReader::feed(std::string_view bytes) {
  const std::size_t size = bytes.size();
  has_begun_ = has_begun_ || !bytes.empty();
  while (!bytes.empty() && state_ != State::kDone) {
    if (state_ == State::kToClose) {
      body_ += bytes;
      bytes = {};
    } else if (state_ == State::kBody || state_ == State::kChunk) {
      const auto part = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
      body_ += part;
      bytes.remove_prefix(part.size());
      left_ -= part.size();
      if (left_ == 0) state_ = state_ == State::kBody ? State::kDone : State::kChunkEnd;
    } else if (take_line(bytes)) {
      if (state_ == State::kHead) {
        read_head_line();
      } else if (state_ == State::kChunkSize) {
        read_chunk_size();
      } else if (!line_.empty()) {
        fail(state_ == State::kTrailer ? "a trailer" : "a chunk longer than it says");
      } else {
        state_ = state_ == State::kTrailer ? State::kDone : State::kChunkSize;
      }
      line_.clear();
    }
  }
  return size - bytes.size();
}

void ResponseReader::end_of_connection() {
  if (state_ == State::kToClose) state_ = State::kDone;
  if (state_ != State::kDone && has_begun_) fail("the connection ended before the answer did");
}

}  // namespace nibble::server
