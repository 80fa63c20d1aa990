// The requests that the load is made of.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "client.h"

namespace nibble::load {

std::string get(std::string_view path);
std::string post(std::string_view path, std::string_view body);

/// A text of so many letters; `number` makes texts differ from the beginning.
std::string text_of(std::size_t bytes, std::uint64_t number);

/// A request for exactly so many tokens, greedily.
std::shared_ptr<Ask> chat(const std::string& prompt, int tokens, bool stream);
std::shared_ptr<Ask> completion(const std::string& prompt, int tokens, bool stream);

/// Any of what a server is asked in a day: streams and whole answers of chats and texts, embeddings, tokens, lists,
/// mistakes.
std::shared_ptr<Ask> mixed(std::mt19937_64& random);

/// Makes a client die somewhere on the way: before the request is whole, before the answer, or within it.
void let_die(Ask& ask, std::mt19937_64& random, double longest);

}  // namespace nibble::load
