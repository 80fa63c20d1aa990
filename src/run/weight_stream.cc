#include "run/weight_stream.h"

#include <algorithm>
#include <utility>

#include "kernel/matmul/packed_image.h"

namespace nibble {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{2} << 20;
constexpr std::int64_t kStepRows = 32;
/// Linux reads at most the device's read-ahead for one request of WILLNEED: 128 KiB at least, often more.
constexpr std::size_t kRequestBytes = std::size_t{128} << 10;
/// Linux drops only units of its page cache that lie in the range whole, and they may be larger than a piece: what was
/// left of those before is dropped along. Pages that are kept are mapped, and stay.
constexpr std::size_t kDroppedAlong = std::size_t{8} << 20;
/// Enough for a fast disk to work without pause while pieces are computed with.
constexpr std::uint64_t kLargestWindow = std::uint64_t{64} << 20;

}  // namespace

std::vector<WeightStream::Piece> WeightStream::cut(const StreamedWeights& matrix) {
  std::vector<Piece> pieces;
  const std::int64_t rows = matrix.matrix->rows();
  const std::size_t step_bytes =
      rows == 0 ? 1 : std::max<std::size_t>(kernel::panel_range(*matrix.matrix, 0, std::min(kStepRows, rows)).bytes, 1);
  const std::int64_t rows_at_once =
      kStepRows * static_cast<std::int64_t>(std::max<std::size_t>(kPieceBytes / step_bytes, 1));
  for (std::int64_t row = 0; row < rows; row += rows_at_once) {
    Piece piece;
    piece.row_begin = row;
    piece.row_end = std::min(row + rows_at_once, rows);
    const kernel::PanelRange range = kernel::panel_range(*matrix.matrix, piece.row_begin, piece.row_end);
    piece.offset = matrix.offset + range.offset;
    piece.bytes = range.bytes;
    pieces.push_back(piece);
  }
  return pieces;
}

std::uint64_t WeightStream::least_memory(std::span<const StreamedWeights> matrices) {
  std::uint64_t total = 0;
  std::uint64_t largest = 0;
  for (const StreamedWeights& matrix : matrices)
    for (const Piece& piece : cut(matrix)) {
      total += piece.bytes;
      largest = std::max<std::uint64_t>(largest, piece.bytes);
    }
  return std::min(total, 4 * largest);  // the one at work, one that is dropped, and two that are read
}

Result<std::unique_ptr<WeightStream>> WeightStream::create(MappedFile::Ptr file,
                                                           std::span<const StreamedWeights> matrices,
                                                           std::uint64_t memory) {
  const std::uint64_t least = least_memory(matrices);
  if (memory < least)
    return fail(ErrorCode::kOutOfMemory, "{}: weights need {} bytes of memory at least to be read as they are used",
                file->path(), least);
  std::unique_ptr<WeightStream> stream(new WeightStream);
  stream->file_ = std::move(file);
  for (const StreamedWeights& matrix : matrices) {
    const auto id = static_cast<std::size_t>(matrix.id);
    if (stream->matrices_.size() <= id) stream->matrices_.resize(id + 1);
    stream->matrices_[id].first = stream->pieces_.size();
    for (const Piece& piece : cut(matrix)) stream->pieces_.push_back(piece);
    stream->matrices_[id].last = stream->pieces_.size();
  }
  stream->keep_evenly(memory);
  stream->asked_for_.assign(stream->turns_.size(), false);
  if (!stream->turns_.empty()) stream->thread_ = std::thread([s = stream.get()] { s->read_ahead(); });
  return stream;
}

WeightStream::~WeightStream() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void WeightStream::keep_evenly(std::uint64_t memory) {
  std::uint64_t total = 0;
  std::uint64_t largest = 0;
  for (const Piece& piece : pieces_) {
    total += piece.bytes;
    largest = std::max<std::uint64_t>(largest, piece.bytes);
  }
  if (total <= memory) {
    for (Piece& piece : pieces_) piece.kept = true;
    return;
  }
  window_ = std::clamp<std::uint64_t>(memory / 4, std::min(2 * largest, memory), kLargestWindow);
  const std::uint64_t around = window_ + 2 * largest;  // one at work, one that is dropped
  const std::uint64_t kept = memory > around ? memory - around : 0;
  // A piece is kept when the running share of kept bytes falls behind: the share of the whole, spread evenly.
  std::uint64_t seen = 0;
  std::uint64_t taken = 0;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    Piece& piece = pieces_[i];
    seen += piece.bytes;
    const auto due =
        static_cast<std::uint64_t>(static_cast<double>(kept) * static_cast<double>(seen) / static_cast<double>(total));
    piece.kept = taken + piece.bytes <= due;
    if (piece.kept) {
      taken += piece.bytes;
      continue;
    }
    piece.turn = turns_.size();
    turns_.push_back(i);
    streamed_bytes_ += piece.bytes;
  }
}

void WeightStream::begin(const Piece& piece) {
  if (piece.kept) return;
  const std::lock_guard lock(mutex_);
  current_ = piece.turn;
  wake_.notify_all();
}

void WeightStream::end(const Piece& piece) {
  if (piece.kept) return;
  file_->release(piece.offset, piece.bytes);
  const std::lock_guard lock(mutex_);
  asked_for_[piece.turn] = false;
  done_.push_back(piece.turn);
  current_ = (piece.turn + 1) % turns_.size();
  wake_.notify_all();
}

std::size_t WeightStream::next_to_read() const {
  std::uint64_t ahead = 0;
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    const std::size_t turn = (current_ + i) % turns_.size();
    ahead += pieces_[turns_[turn]].bytes;
    if (ahead > window_) break;
    if (!asked_for_[turn]) return turn;
  }
  return turns_.size();
}

void WeightStream::read_ahead() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (!done_.empty()) {
      const Piece& piece = pieces_[turns_[done_.back()]];
      done_.pop_back();
      lock.unlock();
      const std::size_t along = std::min(piece.offset, kDroppedAlong);
      file_->drop(piece.offset - along, piece.bytes + along);
      lock.lock();
      continue;
    }
    const std::size_t turn = next_to_read();
    if (turn == turns_.size()) {
      wake_.wait(lock);
      continue;
    }
    asked_for_[turn] = true;
    const Piece& piece = pieces_[turns_[turn]];
    lock.unlock();
    for (std::size_t at = 0; at < piece.bytes; at += kRequestBytes)
      file_->prefetch(piece.offset + at, std::min(kRequestBytes, piece.bytes - at));
    lock.lock();
  }
}

}  // namespace nibble
