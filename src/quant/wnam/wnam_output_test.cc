// Codebooks of every kind through a file and the engine.
#include <gtest/gtest.h>

#include <map>

#include "io/container_test_support.h"
#include "quant/choose_targets.h"
#include "quant/float_matrix.h"
#include "quant/float_view.h"
#include "quant/fold/fold_test_support.h"
#include "quant/weights_as_floats.h"
#include "quant/wnam/codebooks.h"

namespace nibble {
namespace {

/// The same model with float32 matrices.
ModelWeights::Ptr float_copy(ModelWeights::Ptr weights) {
  class Floats final : public ModelWeights {
   public:
    explicit Floats(ModelWeights::Ptr of) : of_(std::move(of)) {}
    const ModelConfig& config() const override { return of_->config(); }
    const ModelLayout& layout() const override { return of_->layout(); }
    std::string path() const override { return of_->path(); }
    Result<MatrixPtr> matrix(LinearId id) const override {
      return float_view(of_->matrix(id).value(), ElementType::kF32);
    }
    Result<std::vector<float>> bias(LinearId id) const override { return of_->bias(id); }
    Result<std::vector<float>> vector(VectorId id) const override { return of_->vector(id); }

   private:
    ModelWeights::Ptr of_;
  };
  return std::make_shared<Floats>(std::move(weights));
}

class WnamOutput : public FolderTest {};

/// Schemes that no short name says: written, read and run, they are the matrices that were fitted.
TEST_F(WnamOutput, OffsetsAndBanksAreStoredAndRun) {
  const ModelFiles::Ptr files = open_golden("qwen3");
  ThreadPool pool(2);
  const OutputFormat format = choose_output_format("nibble", "", nullptr).value();
  for (const QuantScheme& scheme : {with_offsets(parse_scheme("codebook4-row-g16").value()),
                                    with_codebook_bank(parse_scheme("codebook3-tensor-g16").value(), 4, 16)}) {
    SCOPED_TRACE(to_string(scheme));
    std::map<LinearId, MatrixPtr> fitted;
    const MatrixMethod fit = [&](LinearId id, const MatrixPtr&) -> Result<MatrixPtr> {
      const FloatMatrix w = finite_weights(*files, id, pool).value();
      const std::vector<float> ones(static_cast<std::size_t>(w.cols), 1.0f);
      return fitted[id] = make_source(fit_codebooks(w.values, w.rows, w.cols, ones, scheme, {}, pool));
    };
    const auto targets = method_targets(*files, scheme, fit, false, format);
    ASSERT_TRUE(targets.ok()) << targets.error().message;
    ASSERT_TRUE(write_folder(*files, *targets, root_ / "m", OutputOptions{}, pool).ok());
    const ModelFiles::Ptr again = ModelFiles::open(root_ / "m").value();
    for (const auto& [id, matrix] : fitted)
      EXPECT_EQ(finite_weights(*again, id, pool)->values, weights_as_floats(*matrix, pool).value());
    const std::vector<float> logits = logits_of(again);
    EXPECT_LT(relative_difference(logits, logits_of(float_copy(again))), 1e-4f) << "packed as it is stored";
    std::filesystem::remove_all(root_ / "m");
  }
}

}  // namespace
}  // namespace nibble
