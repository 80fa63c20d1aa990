#include "text/template/heap.h"

namespace nibble::jinja {

Heap::~Heap() {
  // What is left are cycles, and what they refer to. Empty each object while nothing can die, then free them all.
  for (Object* object = first_; object != nullptr; object = object->next) ++object->references;
  for (Object* object = first_; object != nullptr; object = object->next) object->clear();
  while (first_ != nullptr) free(first_);
}

void Heap::adopt(Object* object, std::size_t bytes) noexcept {
  object->heap = this;
  object->next = first_;
  if (first_ != nullptr) first_->previous = object;
  first_ = object;
  charge(*object, bytes);
}

void Heap::charge(Object& object, std::size_t bytes) noexcept {
  object.charged_bytes += bytes;
  live_bytes_ += bytes;
}

void Heap::unlink(Object* object) noexcept {
  if (object->previous != nullptr) object->previous->next = object->next;
  if (object->next != nullptr) object->next->previous = object->previous;
  if (first_ == object) first_ = object->next;
}

void Heap::free(Object* object) noexcept {
  unlink(object);
  object->next = dead_;
  dead_ = object;
  if (freeing_) return;  // an outer call is emptying the list: deep structures must not recurse
  freeing_ = true;
  while (dead_ != nullptr) {
    Object* victim = dead_;
    dead_ = victim->next;
    live_bytes_ -= victim->charged_bytes;
    delete victim;
  }
  freeing_ = false;
}

}  // namespace nibble::jinja
