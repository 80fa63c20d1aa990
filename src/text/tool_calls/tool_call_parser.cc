#include "text/tool_calls/tool_call_parser.h"

#include <algorithm>

#include "base/json.h"

namespace nibble {
namespace {

constexpr std::string_view kHermesOpen = "<tool_call>";
constexpr std::string_view kHermesClose = "</tool_call>";
constexpr std::string_view kPythonTag = "<|python_tag|>";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Of what models write into strings although JSON wants it escaped.
std::string_view escape_of(char c) { return c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : ""; }

}  // namespace

ToolCallParser::ToolCallParser(ToolCallStyle style, ToolCallParserOptions options)
    : style_(style), options_(std::move(options)), tag_(style == ToolCallStyle::kHermes ? kHermesOpen : kPythonTag) {}

void ToolCallParser::emit(AnswerPiece::Kind kind, std::string_view text, bool complete) {
  if (kind != AnswerPiece::Kind::kContent && calls_ >= options_.max_calls) return;
  const bool joins = kind == AnswerPiece::Kind::kContent || kind == AnswerPiece::Kind::kArguments;
  if (joins && text.empty()) return;
  if (joins && !events_.empty() && events_.back().kind == kind) {
    events_.back().text += text;
    return;
  }
  AnswerPiece event;
  event.kind = kind;
  event.text = text;
  if (kind != AnswerPiece::Kind::kContent) event.call = calls_;
  if (kind == AnswerPiece::Kind::kCallBegin) event.id = options_.id_prefix + std::to_string(calls_);
  if (kind == AnswerPiece::Kind::kCallEnd) event.complete = complete;
  events_.push_back(std::move(event));
}

/// Gives out what is held up to `end`.
void ToolCallParser::emit_content(std::size_t end) {
  emit(AnswerPiece::Kind::kContent, std::string_view(buffer_).substr(start_, end - start_));
  at_beginning_ = at_beginning_ && end == start_;
  start_ = end;
}

std::vector<AnswerPiece> ToolCallParser::feed(std::string_view piece) {
  buffer_ += piece;
  run();
  // Everything before start_ is given out.
  buffer_.erase(0, start_);
  at_ -= start_;
  candidate_ -= std::min(candidate_, start_);
  start_ = 0;
  return std::exchange(events_, {});
}

void ToolCallParser::run() {
  while (at_ < buffer_.size()) {
    if (step(buffer_[at_])) ++at_;
    if (!began_ && phase_ != Phase::kText && phase_ != Phase::kAfterCall && at_ - candidate_ > kMaxHeldBytes) give_up();
    if (began_) start_ = at_;  // arguments are given out as they come, the rest of a call is none of the answer
  }
}

std::vector<AnswerPiece> ToolCallParser::finish() {
  for (;;) {
    run();
    if (phase_ == Phase::kText) break;
    if (phase_ == Phase::kAfterCall) {
      const bool in_tag = matched_ > 0;
      phase_ = Phase::kText;
      if (in_tag) emit_content(buffer_.size());
      break;
    }
    if (began_) {
      broken();
      break;
    }
    give_up();
  }
  if (!(at_beginning_ && calls_ > 0)) emit_content(buffer_.size());  // else white space behind a call
  buffer_.clear();
  at_ = start_ = candidate_ = 0;
  return std::exchange(events_, {});
}

/// Takes a byte; false when it is to be looked at again, as things have changed.
bool ToolCallParser::step(char c) {
  switch (phase_) {
    case Phase::kText:
      return text_step(c);
    case Phase::kTag:
      return tag_step(c);
    case Phase::kObject:
      return object_step(c);
    case Phase::kString:
    case Phase::kArguments:
    case Phase::kOther:
      return value_step(c);
    case Phase::kAfterCall:
      return after_call_step(c);
  }
  return true;
}

bool ToolCallParser::text_step(char c) {
  const bool is_llama = style_ == ToolCallStyle::kLlama3;
  if (is_space(c) && style_ != ToolCallStyle::kNone) return true;        // held until it is known what follows
  if (c == ';' && is_llama && at_beginning_ && calls_ > 0) return true;  // between calls
  const bool may_begin = style_ != ToolCallStyle::kNone && (c == '<' || (c == '{' && is_llama && at_beginning_));
  if (!may_begin) {
    emit_content(at_ + 1);
    return true;
  }
  candidate_ = at_;
  name_.clear();
  arguments_.clear();
  has_arguments_ = false;
  matched_ = 0;
  phase_ = Phase::kTag;
  if (c == '{') expect(Expect::kOpen);
  return false;
}

bool ToolCallParser::tag_step(char c) {
  if (c != tag_[matched_]) {
    give_up();
    return false;
  }
  if (++matched_ == tag_.size()) expect(Expect::kOpen);
  return true;
}

/// What is held is no call: its first byte is content, and the rest is looked at anew.
void ToolCallParser::give_up() {
  phase_ = Phase::kText;
  emit_content(candidate_ + 1);
  at_ = start_;
}

bool ToolCallParser::broken() {
  if (!began_) {
    give_up();
    return false;
  }
  emit(AnswerPiece::Kind::kCallEnd, {}, false);
  ++calls_;
  began_ = false;
  phase_ = Phase::kText;
  start_ = at_;
  at_beginning_ = true;
  return false;
}

bool ToolCallParser::object_step(char c) {
  if (is_space(c)) return true;
  switch (expect_) {
    case Expect::kOpen:
      if (c != '{') return broken();
      expect(Expect::kFirstKey);
      return true;
    case Expect::kFirstKey:
    case Expect::kKey:
      if (c == '}' && expect_ == Expect::kFirstKey) return call_ended();
      if (c != '"') return broken();
      is_key_ = true;
      string_.clear();
      scanner_.reset();
      phase_ = Phase::kString;
      return false;
    case Expect::kColon:
      if (c != ':') return broken();
      expect(Expect::kValue);
      return true;
    case Expect::kValue:
      return value_begins(c);
    case Expect::kComma:
      if (c == '}') return call_ended();
      if (c != ',') return broken();
      expect(Expect::kKey);
      return true;
  }
  return true;
}

bool ToolCallParser::value_begins(char c) {
  scanner_.reset();
  if (key_ == "name") {
    if (c != '"' || !name_.empty()) return broken();
    is_key_ = false;
    string_.clear();
    phase_ = Phase::kString;
  } else if (key_ == "arguments" || key_ == "parameters") {
    if (c != '{' || has_arguments_) return broken();
    has_arguments_ = true;
    phase_ = Phase::kArguments;
    if (!name_.empty()) begin_call();
  } else {
    phase_ = Phase::kOther;
  }
  return false;
}

void ToolCallParser::add_arguments(std::string_view text) {
  if (began_) {
    emit(AnswerPiece::Kind::kArguments, text);
  } else {
    arguments_ += text;
  }
}

bool ToolCallParser::value_step(char c) {
  if (phase_ == Phase::kArguments && scanner_.in_string() && !escape_of(c).empty()) {
    add_arguments(escape_of(c));
    return true;
  }
  const JsonScanner::Result result = scanner_.feed(c);
  if (result == JsonScanner::Result::kWrong) return broken();
  if (result == JsonScanner::Result::kEndedBefore) {
    expect(Expect::kComma);
    return false;
  }
  const bool ended = result == JsonScanner::Result::kEnd;
  if (phase_ == Phase::kString) {
    string_ += c;
    return ended ? string_ended() : true;
  }
  if (phase_ == Phase::kArguments) add_arguments({&c, 1});
  if (ended) expect(Expect::kComma);
  return true;
}

bool ToolCallParser::string_ended() {
  const Json parsed = Json::parse(string_, nullptr, false);
  if (!parsed.is_string()) return broken();
  if (is_key_) {
    key_ = parsed.get<std::string>();
    expect(Expect::kColon);
    return true;
  }
  name_ = parsed.get<std::string>();
  const auto& known = options_.functions;
  if (std::find(known.begin(), known.end(), name_) == known.end()) return broken();
  if (has_arguments_) begin_call();
  expect(Expect::kComma);
  return true;
}

void ToolCallParser::begin_call() {
  began_ = true;
  emit(AnswerPiece::Kind::kCallBegin, name_);
  emit(AnswerPiece::Kind::kArguments, arguments_);
  arguments_.clear();
}

/// At the object's "}".
bool ToolCallParser::call_ended() {
  if (name_.empty()) return broken();
  if (!has_arguments_) {
    arguments_ = "{}";
    begin_call();
  }
  emit(AnswerPiece::Kind::kCallEnd, {});
  ++calls_;
  began_ = false;
  at_beginning_ = true;
  matched_ = 0;
  start_ = at_ + 1;
  phase_ = style_ == ToolCallStyle::kHermes ? Phase::kAfterCall : Phase::kText;
  return true;
}

bool ToolCallParser::after_call_step(char c) {
  if (matched_ == 0 && is_space(c)) return true;
  if (c == kHermesClose[matched_]) {
    if (++matched_ < kHermesClose.size()) return true;
    start_ = at_ + 1;
    phase_ = Phase::kText;
    return true;
  }
  phase_ = Phase::kText;  // the tag is missing: what is here instead is content, or another call
  at_ = start_;
  return false;
}

void add_events(const std::vector<AnswerPiece>& events, ToolCallAnswer& answer) {
  for (const AnswerPiece& event : events) {
    switch (event.kind) {
      case AnswerPiece::Kind::kContent:
        answer.content += event.text;
        break;
      case AnswerPiece::Kind::kCallBegin:
        answer.calls.push_back({event.id, event.text, {}, false});
        break;
      case AnswerPiece::Kind::kArguments:
        answer.calls.back().arguments += event.text;
        break;
      case AnswerPiece::Kind::kCallEnd:
        answer.calls.back().complete = event.complete;
        break;
    }
  }
}

ToolCallAnswer parse_tool_calls(std::string_view text, ToolCallStyle style, ToolCallParserOptions options) {
  ToolCallParser parser(style, std::move(options));
  ToolCallAnswer answer;
  add_events(parser.feed(text), answer);
  add_events(parser.finish(), answer);
  return answer;
}

}  // namespace nibble
