// Packing a model's linears: into memory one by one, or all of them into a pack file.
#pragma once

#include <functional>
#include <string>

#include "kernel/matmul/packed_matrix.h"
#include "model/model_weights.h"
#include "run/pack_file.h"

namespace nibble {

/// Gives the matrix to pack in place of the stored one: quantize-on-load. Gets the linear's description.
using MatrixHook = std::function<Result<MatrixPtr>(const LinearInfo& linear, MatrixPtr stored)>;

/// A linear's matrix as it runs: the stored one, or what `hook` (optional) makes of it.
Result<MatrixPtr> matrix_to_run(const ModelWeights& weights, const MatrixHook& hook, LinearId id);

/// The same, packed into `arena` if there is one; the pages of its source leave memory. Errors name the file and the
/// tensor.
Result<kernel::PackedMatrix> pack_linear(const ModelWeights& weights, const MatrixSource& matrix, LinearId id,
                                         ThreadPool& pool, kernel::PanelArena* arena = nullptr);

/// Whether a linear is multiplied with; the embedding of an untied model is only looked up, and is not packed.
bool is_packed(const ModelLayout& layout, LinearId id);

/// Packs every linear into a pack file, one at a time in the order of the layout. `before_commit` may still refuse.
Status write_pack(const std::filesystem::path& path, const PackKey& key, const ModelWeights& weights,
                  const MatrixHook& hook, const Progress& progress, const std::function<Status()>& before_commit,
                  ThreadPool& pool);

}  // namespace nibble
