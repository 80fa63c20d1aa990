// nibble/imatrix.h
#include "nibble/imatrix.h"

#include <chrono>
#include <filesystem>

#include "api/boundary.h"
#include "api/heartbeat.h"
#include "api/loaded_model.h"
#include "api/model_path.h"
#include "api/source_files.h"
#include "api/text_windows.h"
#include "quant/importance_collector.h"

namespace nibble {

Result<ImatrixReport> make_imatrix(const std::string& model, const std::string& out, const ImatrixOptions& given) {
  return at_boundary([&]() -> Result<ImatrixReport> {
    ImatrixOptions options = given;
    const Heartbeat heartbeat(options.progress);
    const auto start = std::chrono::steady_clock::now();
    LoadOptions load = options.model;
    load.context = options.context;
    NIBBLE_TRY(const std::string path, model_path(model));
    NIBBLE_TRY(ModelFiles::Ptr files, ModelFiles::open(path));
    NIBBLE_TRY_STATUS(refuse_replacing(*files, {options.text_file}, out));
    NIBBLE_TRY(const LoadedModel loaded, load_model(std::move(files), load));
    NIBBLE_TRY_STATUS(check_window(options.context, *loaded.files));
    NIBBLE_TRY(const std::shared_ptr<const Tokenizer> tokenizer, tokenizer_of(*loaded.files));
    NIBBLE_TRY(const std::vector<std::int32_t> tokens,
               windows_of_text(*tokenizer, options.text_file, options.context, options.chunks));
    ImportanceCollector collector(loaded.files->layout(), *loaded.pool);
    CpuExecutor::Options run = executor_options(load);
    run.wrap_ops = collector.wrapper();
    CpuExecutor executor(loaded.weights, loaded.pool, run);
    for (std::size_t done = 0; done < tokens.size(); done += static_cast<std::size_t>(options.context)) {
      const std::unique_ptr<Sequence> sequence = executor.new_sequence();
      const BatchItem window{sequence.get(), std::span(tokens).subspan(done, static_cast<std::size_t>(options.context)),
                             BatchItem::Logits::kNone};
      NIBBLE_TRY_STATUS(executor.forward({&window, 1}, [](std::size_t, std::int64_t, std::int64_t, const float*) {}));
      if (options.progress && !options.progress("measuring", done, tokens.size(), "tokens"))
        return fail(ErrorCode::kCancelled, "measuring was stopped; nothing was written");
    }
    Imatrix imatrix = collector.result(loaded.files->architecture());
    imatrix.datasets = {std::filesystem::path(options.text_file).filename().string()};
    imatrix.chunks = static_cast<std::uint32_t>(tokens.size() / static_cast<std::size_t>(options.context));
    imatrix.chunk_size = static_cast<std::uint32_t>(options.context);
    NIBBLE_TRY_STATUS(write_imatrix(imatrix, out));
    ImatrixReport report;
    report.entries = static_cast<std::int64_t>(imatrix.entries.size());
    report.chunks = static_cast<std::int64_t>(imatrix.chunks);
    report.tokens = static_cast<std::int64_t>(tokens.size());
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  });
}

}  // namespace nibble
