#include "run/pack_linear.h"

#include <utility>

namespace nibble {

Result<MatrixPtr> matrix_to_run(const ModelWeights& weights, const MatrixHook& hook, LinearId id) {
  NIBBLE_TRY(MatrixPtr matrix, weights.matrix(id));
  if (!hook) return matrix;
  return hook(weights.layout().linears[static_cast<std::size_t>(id)], std::move(matrix));
}

Result<kernel::PackedMatrix> pack_linear(const ModelWeights& weights, const MatrixSource& matrix, LinearId id,
                                         ThreadPool& pool, kernel::PanelArena* arena) {
  Result<kernel::PackedMatrix> packed = kernel::PackedMatrix::pack(matrix, pool, arena);
  if (!packed.ok())
    return with_context(packed.error(),
                        weights.path() + ": " + weights.layout().linears[static_cast<std::size_t>(id)].name);
  // Tiles released their rows as they went, but a fault maps the pages around it too, of rows that were done.
  matrix.release(0, matrix.rows());
  return packed;
}

bool is_packed(const ModelLayout& layout, LinearId id) { return id != layout.embedding || id == layout.head; }

Status write_pack(const std::filesystem::path& path, const PackKey& key, const ModelWeights& weights,
                  const MatrixHook& hook, const Progress& progress, const std::function<Status()>& before_commit,
                  ThreadPool& pool) {
  NIBBLE_TRY(PackWriter writer, PackWriter::create(path, key));
  const ModelLayout& layout = weights.layout();
  for (std::size_t i = 0; i < layout.linears.size(); ++i) {
    const auto id = static_cast<LinearId>(i);
    if (!is_packed(layout, id)) continue;
    const LinearInfo& info = layout.linears[i];
    NIBBLE_TRY(const MatrixPtr matrix, matrix_to_run(weights, hook, id));
    NIBBLE_TRY(const kernel::PackedMatrix packed, pack_linear(weights, *matrix, id, pool));
    NIBBLE_TRY_STATUS(writer.add(info.name, to_string(matrix->scheme()),
                                 matrix->scheme().stored_bytes(info.rows, info.cols), packed, pool));
    if (progress && !progress("packing", i + 1, layout.linears.size(), "matrices"))
      return fail(ErrorCode::kCancelled, "{}: packing was stopped", weights.path());
  }
  NIBBLE_TRY_STATUS(weights.check_intact());
  if (before_commit) NIBBLE_TRY_STATUS(before_commit());
  return writer.commit();
}

}  // namespace nibble
