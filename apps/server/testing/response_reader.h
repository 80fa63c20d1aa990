// Reads answers off a connection as they come, strictly: what measures or tests the server must not forgive what
// clients might not. Shares no code with the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble::server {

class ResponseReader {
 public:
  /// `has_body`: false after HEAD.
  explicit ResponseReader(bool has_body = true) : has_body_(has_body) {}

  /// Takes bytes up to the end of the answer and returns how many those were.
  std::size_t feed(std::string_view bytes);
  /// The connection has ended, which may be the end of the answer.
  void end_of_connection();

  bool has_begun() const { return has_begun_; }
  bool is_done() const { return state_ == State::kDone; }
  bool has_head() const { return state_ != State::kHead; }
  /// What breaks the rules; empty: nothing.
  const std::string& problem() const { return problem_; }
  int status() const { return status_; }
  /// The value of a header (in lower case), empty if there is none.
  std::string_view header(std::string_view name) const;
  /// What has come of the body, without its framing, and was not taken.
  const std::string& body() const { return body_; }
  std::string take_body() { return std::exchange(body_, {}); }
  bool keeps_alive() const;

 private:
  enum class State { kHead, kBody, kToClose, kChunkSize, kChunk, kChunkEnd, kTrailer, kDone };

  void fail(std::string problem);
  bool take_line(std::string_view& bytes);
  void read_head_line();
  void end_head();
  void read_chunk_size();

  bool has_body_;
  State state_ = State::kHead;
  bool has_begun_ = false;
  std::string line_;
  std::string problem_;
  int status_ = 0;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::string body_;
  std::uint64_t left_ = 0;  ///< of the body or the chunk
};

}  // namespace nibble::server
