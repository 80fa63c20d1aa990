// nibble/inspect.h: the machine and the kernels it runs.
#include <fstream>

#include "api/boundary.h"
#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "kernel/activation/activation.h"
#include "kernel/attention/attention.h"
#include "kernel/cholesky/cholesky.h"
#include "kernel/error_feedback/error_feedback.h"
#include "kernel/gemm/gemm.h"
#include "kernel/ggml_search/ggml_search.h"
#include "kernel/gradient/gradient.h"
#include "kernel/gram/gram.h"
#include "kernel/grid_search/grid_search.h"
#include "kernel/group_rounding/group_rounding.h"
#include "kernel/matmul/matmul_kernel.h"
#include "kernel/norm/norm.h"
#include "kernel/rope/rope.h"
#include "kernel/softmax/softmax.h"
#include "kernel/widen/widen.h"
#include "nibble/inspect.h"

namespace nibble {
namespace {

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line)) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string missing_features(CpuFeatures needs, CpuFeatures has) {
  std::string missing;
  for (const std::string& name : cpu_feature_names(needs & ~has)) missing += (missing.empty() ? "needs " : ", ") + name;
  return missing.empty() ? "another is faster" : missing;
}

/// The choice among kernels that carry a KernelInfo, slowest first.
template <typename Kernel>
KernelChoice choice_of(std::span<const Kernel* const> kernels, CpuFeatures has) {
  KernelChoice choice;
  const kernel::KernelInfo& best = kernel::best_kernel(kernels, has).info;
  choice.operation = best.operation;
  choice.format = "f32";
  choice.chosen = best.name;
  for (const Kernel* candidate : kernels)
    if (candidate->info.name != best.name)
      choice.passed_over.emplace_back(candidate->info.name, missing_features(candidate->info.needs, has));
  return choice;
}

void add_matmul_choices(std::vector<KernelChoice>& choices, CpuFeatures has) {
  for (int l = 0; l < kernel::kLayoutCount; ++l) {
    const auto layout = static_cast<kernel::Layout>(l);
    for (const kernel::Compute compute : {kernel::Compute::kInt8, kernel::Compute::kF32}) {
      const bool int8 = compute == kernel::Compute::kInt8;
      bool any = false;
      for (const kernel::MatmulKernel* candidate : kernel::all_matmul_kernels())
        any = any || (candidate->layout == layout && candidate->int8 == int8);
      if (!any) continue;
      KernelChoice choice;
      choice.operation = "matmul";
      choice.format = std::string(kernel::layout_word(layout)) + (int8 ? " x int8" : " x f32");
      const kernel::MatmulKernel& best = kernel::choose_kernel(layout, compute, has);
      choice.chosen = best.name;
      for (const kernel::MatmulKernel* candidate : kernel::all_matmul_kernels())
        if (candidate != &best && candidate->layout == layout && candidate->int8 == int8)
          choice.passed_over.emplace_back(candidate->name, missing_features(candidate->needs, has));
      choices.push_back(std::move(choice));
    }
  }
}

}  // namespace

Result<MachineInfo> machine_info() {
  return at_boundary([&]() -> Result<MachineInfo> {
    NIBBLE_TRY_STATUS(check_forced_isa());
    MachineInfo info;
    info.version = NIBBLE_VERSION;
    info.processor = processor_name();
    info.features = cpu_feature_names(detected_cpu_features());
    info.used_features = cpu_feature_names(cpu_features());
    info.threads = available_processors();
    const CpuFeatures has = cpu_features();
    add_matmul_choices(info.kernels, has);
    info.kernels.push_back(choice_of(kernel::attention_kernels(), has));
    info.kernels.push_back(choice_of(kernel::norm_kernels(), has));
    info.kernels.push_back(choice_of(kernel::gram_kernels(), has));
    info.kernels.push_back(choice_of(kernel::cholesky_kernels(), has));
    info.kernels.push_back(choice_of(kernel::feedback_kernels(), has));
    info.kernels.push_back(choice_of(kernel::rope_kernels(), has));
    info.kernels.push_back(choice_of(kernel::activation_kernels(), has));
    info.kernels.push_back(choice_of(kernel::ggml_search_kernels(), has));
    info.kernels.push_back(choice_of(kernel::grid_search_kernels(), has));
    info.kernels.push_back(choice_of(kernel::group_rounding_kernels(), has));
    info.kernels.push_back(choice_of(kernel::widen_kernels(), has));
    info.kernels.push_back(choice_of(kernel::softmax_kernels(), has));
    info.kernels.push_back(choice_of(kernel::gemm_kernels(), has));
    info.kernels.push_back(choice_of(kernel::gradient_kernels(), has));
    return info;
  });
}

}  // namespace nibble
