// The public boundary: exceptions of our own mistakes and of exhausted memory end here, as errors.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>

#include "base/interruption.h"
#include "base/result.h"

namespace nibble {

/// Calls body(), which returns a Result; turns what it throws into an Error.
template <typename F>
auto at_boundary(F&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "out of memory; use a smaller model, fewer bits or a shorter context");
  } catch (const std::length_error&) {
    return fail(ErrorCode::kOutOfMemory, "out of memory; use a smaller model, fewer bits or a shorter context");
  } catch (const Interrupted&) {
    return fail(ErrorCode::kCancelled, "the work was stopped");
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInternal, "this is a defect in Nibble, please report it: {}", e.what());
  }
}

}  // namespace nibble
