#pragma once
// How many floating-point operations the convolutions and matrix products of some work take.
#include <atomic>
#include <memory>
#include <string>

#include <ATen/record_function.h>
#include <torch/torch.h>

namespace derm::bench {

/// Operations of one call of an operator, 0 of those that are not counted. A multiplication and an addition are two.
inline double operations_of(const at::RecordFunction& function) {
  const std::string name = function.name();
  const bool counted = name == "aten::convolution" || name == "aten::convolution_backward" || name == "aten::mm" ||
                       name == "aten::bmm" || name == "aten::addmm" || name == "aten::baddbmm";
  if (!counted) return 0;  // not every operator is asked with its inputs
  const auto in = function.inputs();
  const auto tensor = [&](size_t i) { return in.size() > i && in[i].isTensor() ? in[i].toTensor() : at::Tensor(); };
  if (name == "aten::convolution") {
    const at::Tensor x = tensor(0), w = tensor(1);
    if (!x.defined() || x.dim() != 4) return 0;
    const double kernel =
        static_cast<double>(w.numel());  // [out, in / groups, k, k], transposed [in, out / groups, k, k]
    double places = static_cast<double>(x.size(0) * x.size(2) * x.size(3));
    if (!in[6].toBool()) {
      const auto stride = in[3].toIntVector(), padding = in[4].toIntVector(), dilation = in[5].toIntVector();
      places = static_cast<double>(x.size(0));
      for (size_t d = 0; d < 2; ++d) {
        const size_t s = d < stride.size() ? d : 0, p = d < padding.size() ? d : 0, l = d < dilation.size() ? d : 0;
        const auto side = static_cast<int64_t>(d) + 2;
        places *=
            static_cast<double>((x.size(side) + 2 * padding[p] - dilation[l] * (w.size(side) - 1) - 1) / stride[s] + 1);
      }
    }
    return 2 * places * kernel;
  }
  if (name == "aten::convolution_backward") {
    const at::Tensor g = tensor(0), x = tensor(1), w = tensor(2);
    if (!g.defined() || g.dim() != 4) return 0;
    const at::Tensor& at = in[7].toBool() ? x : g;  // transposed: each place of the input meets the whole kernel
    const auto mask = in[10].toBoolList();
    const double times = (mask.get(0) ? 1.0 : 0.0) + (mask.get(1) ? 1.0 : 0.0);
    return times * 2 * static_cast<double>(at.size(0) * at.size(2) * at.size(3)) * static_cast<double>(w.numel());
  }
  const size_t first = name == "aten::addmm" || name == "aten::baddbmm" ? 1 : 0;  // before it what is added
  const at::Tensor a = tensor(first), b = tensor(first + 1);
  return a.defined() && b.defined() ? 2 * static_cast<double>(a.numel()) * static_cast<double>(b.size(-1)) : 0;
}

/// Those of `work`, on all threads.
template <class Work>
double operations(Work&& work) {
  static std::atomic<double> sum;
  sum = 0;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
        const double more = operations_of(function);
        double before = sum;
        while (more > 0 && !sum.compare_exchange_weak(before, before + more)) {
        }
        return nullptr;
      })
          .needsInputs(true)
          .scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return sum;
}

}  // namespace derm::bench
