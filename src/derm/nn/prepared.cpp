#include "derm/nn/prepared.h"

#include <mutex>

#include <ATen/Parallel.h>
#include <torch/torch.h>

namespace derm::nn {
namespace {

constexpr int64_t kPackedFrom = 4;  // numbers in the weight for each in the map

/// Rows (dim 2) of a 3x3 kernel for the two phases of nearest doubling: output row 2i sees input i - 1 once (tap 0) and
/// i twice (taps 1, 2); row 2i + 1 sees i twice and i + 1 once. Columns are dim 3.
at::Tensor nearest_taps(const at::Tensor& weight, int64_t dim) {
  const auto tap = [&](int64_t t) { return weight.narrow(dim, t, 1); };
  return at::cat({tap(0), tap(1) + tap(2), tap(0) + tap(1), tap(2)}, dim);
}
at::Tensor nearest_taps_adjoint(const at::Tensor& folded, int64_t dim) {
  const auto row = [&](int64_t t) { return folded.narrow(dim, t, 1); };
  return at::cat({row(0) + row(2), row(1) + row(2), row(1) + row(3)}, dim);
}

/// Row 2i takes input i - 1 by tap 3 and i by tap 1; row 2i + 1 takes i by tap 2 and i + 1 by tap 0. Its own adjoint.
at::Tensor transposed_taps(const at::Tensor& weight, int64_t dim) {
  const auto tap = [&](int64_t t) { return weight.narrow(dim, t, 1); };
  return at::cat({tap(3), tap(1), tap(2), tap(0)}, dim);
}

/// [4 out, in, 2, 2] in channels-last order, whose rows are p, q, out and whose columns are a, b, in.
at::Tensor folded_kernel(const at::Tensor& weight, Fold fold, at::ScalarType type) {
  const bool transposed = fold == Fold::transposed;
  const at::Tensor taps =
      transposed ? transposed_taps(transposed_taps(weight.to(type), 2), 3) : nearest_taps(nearest_taps(weight, 2), 3);
  const int64_t out = taps.size(transposed ? 1 : 0), in = taps.size(transposed ? 0 : 1);
  // [., ., (p a), (q b)]
  const at::Tensor phases = taps.reshape({taps.size(0), taps.size(1), 2, 2, 2, 2});
  const at::Tensor ordered = transposed ? phases.permute({2, 4, 1, 3, 5, 0}) : phases.permute({2, 4, 0, 3, 5, 1});
  at::Tensor kernel = at::empty({4 * out, 2, 2, in}, weight.options().dtype(type));
  kernel.view({2, 2, out, 2, 2, in}).copy_(ordered);
  return kernel.permute({0, 3, 1, 2});
}
at::Tensor folded_kernel_adjoint(const at::Tensor& kernel, Fold fold) {
  const int64_t out = kernel.size(0) / 4, in = kernel.size(1);
  const at::Tensor rows = kernel.permute({0, 2, 3, 1}).reshape({2, 2, out, 2, 2, in});
  if (fold == Fold::transposed) {
    const at::Tensor taps = rows.permute({5, 2, 0, 3, 1, 4}).to(at::kFloat).reshape({in, out, 4, 4});
    return transposed_taps(transposed_taps(taps, 2), 3);
  }
  const at::Tensor taps = rows.permute({2, 5, 0, 3, 1, 4}).to(at::kFloat).reshape({out, in, 4, 4});
  return nearest_taps_adjoint(nearest_taps_adjoint(taps, 2), 3);
}

KernelShape shape_of(const at::Tensor& weight, Fold fold) {
  const bool swapped = fold == Fold::transposed;
  return {.out = weight.size(swapped ? 1 : 0), .in = weight.size(swapped ? 0 : 1), .side = weight.size(2)};
}

/// So many output channels that it is worth a thread.
int64_t grain(const KernelShape& shape) { return std::max<int64_t>(1, 65536 / (shape.in * shape.side * shape.side)); }

bool by_hand(const at::Tensor& weight, at::ScalarType type, at::MemoryFormat format) {
  return weight.is_cpu() && weight.scalar_type() == at::kFloat && weight.is_contiguous() && type == at::kBFloat16 &&
         format == at::MemoryFormat::ChannelsLast;
}

at::Tensor prepare(const at::Tensor& weight, Fold fold, at::ScalarType type, at::MemoryFormat format) {
  if (by_hand(weight, type, format)) {
    const KernelShape shape = shape_of(weight, fold);
    const int64_t side = fold == Fold::none ? shape.side : 2, out = fold == Fold::none ? shape.out : 4 * shape.out;
    at::Tensor kernel = at::empty({out, side, side, shape.in}, weight.options().dtype(type));
    const float* from = weight.data_ptr<float>();
    auto* to = reinterpret_cast<uint16_t*>(kernel.data_ptr<at::BFloat16>());
    at::parallel_for(0, shape.out, grain(shape),
                     [&](int64_t begin, int64_t end) { write_kernel(fold, shape, from, to, begin, end); });
    return kernel.permute({0, 3, 1, 2});
  }
  if (fold == Fold::none) return weight.to(weight.device(), type, /*non_blocking=*/false, /*copy=*/false, format);
  return folded_kernel(weight, fold, type).contiguous(format);
}

at::Tensor adjoint(const at::Tensor& kernel, Fold fold) {
  if (kernel.is_cpu() && kernel.scalar_type() == at::kBFloat16) {
    const at::Tensor rows = kernel.permute({0, 2, 3, 1}).contiguous();
    KernelShape shape{.out = kernel.size(0), .in = kernel.size(1), .side = kernel.size(2)};
    if (fold != Fold::none) shape = {.out = shape.out / 4, .in = shape.in, .side = fold == Fold::nearest ? 3 : 4};
    const auto options = kernel.options().dtype(at::kFloat);
    at::Tensor weight = fold == Fold::transposed ? at::empty({shape.in, shape.out, shape.side, shape.side}, options)
                                                 : at::empty({shape.out, shape.in, shape.side, shape.side}, options);
    const auto* from = reinterpret_cast<const uint16_t*>(rows.data_ptr<at::BFloat16>());
    float* to = weight.data_ptr<float>();
    at::parallel_for(0, shape.out, grain(shape),
                     [&](int64_t begin, int64_t end) { write_weight_gradient(fold, shape, from, to, begin, end); });
    return weight;
  }
  if (fold == Fold::none) return kernel.to(at::kFloat).contiguous();
  return folded_kernel_adjoint(kernel, fold);
}

/// A linear map, so that its way back is its adjoint, and that one's way back is the map.
class Prepare : public torch::autograd::Function<Prepare> {
 public:
  /// @param kernel  what prepare() made of the weight
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& /*weight*/,
                            const at::Tensor& kernel, int64_t fold) {
    context->saved_data["fold"] = fold;
    // Not the kernel itself, of which autograd would make a view, whose strides of sides of 1 libtorch's slow
    // convolution takes for another memory format.
    return kernel.detach();
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients);
};

class PrepareAdjoint : public torch::autograd::Function<PrepareAdjoint> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& kernel, int64_t fold) {
    context->saved_data["fold"] = fold;
    context->saved_data["type"] = kernel.scalar_type();
    context->saved_data["format"] = kernel.suggest_memory_format();
    return adjoint(kernel, static_cast<Fold>(fold));
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const int64_t fold = context->saved_data["fold"].toInt();
    const at::Tensor& weight = gradients[0];
    return {Prepare::apply(weight,
                           prepare(weight.detach(), static_cast<Fold>(fold), context->saved_data["type"].toScalarType(),
                                   context->saved_data["format"].toMemoryFormat()),
                           fold),
            at::Tensor()};
  }
};

torch::autograd::tensor_list Prepare::backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
  return {PrepareAdjoint::apply(gradients[0], context->saved_data["fold"].toInt()), at::Tensor(), at::Tensor()};
}

}  // namespace

struct Prepared::Kept {
  std::mutex mutex;
  at::Tensor kernel;
  at::Tensor packed;         // the kernel again, opaque; undefined until it is asked for
  const void* of = nullptr;  // the weight's memory, and how often it was written
  uint32_t version = 0;
};

Prepared::Prepared(Fold fold) : fold_(fold), kept_(std::make_shared<Kept>()) {}

at::Tensor Prepared::convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                              int64_t padding, int64_t groups) {
  const at::Tensor kernel = (*this)(weight, x);
  const bool packs = !at::GradMode::is_enabled() && x.is_cpu() && x.scalar_type() == at::kBFloat16 && groups == 1 &&
                     kernel.numel() > kPackedFrom * x.numel();
  if (!packs) return at::conv2d(x, kernel, bias, stride, padding, /*dilation=*/1, groups);
  const std::vector<int64_t> paddings(2, padding), strides(2, stride), dilations(2, 1);
  at::Tensor packed;
  {
    const std::lock_guard lock(kept_->mutex);
    if (!kept_->packed.defined() && kept_->kernel.is_same(kernel))
      kept_->packed =
          at::mkldnn_reorder_conv2d_weight(kernel.contiguous().to_mkldnn(), paddings, strides, dilations, groups);
    packed = kept_->packed;
  }
  if (!packed.defined()) return at::conv2d(x, kernel, bias, stride, padding, /*dilation=*/1, groups);
  return at::mkldnn_convolution(x.contiguous(), packed, bias, paddings, strides, dilations, groups)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor Prepared::operator()(const at::Tensor& weight, const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  const auto format =
      x.is_contiguous(at::MemoryFormat::ChannelsLast) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  if (fold_ == Fold::none && weight.scalar_type() == type && weight.is_contiguous(format)) return weight;
  at::Tensor kernel;
  {
    const std::lock_guard lock(kept_->mutex);
    Kept& kept = *kept_;
    const void* memory = weight.unsafeGetTensorImpl()->data();
    if (!kept.kernel.defined() || kept.of != memory || kept.version != weight._version() ||
        kept.kernel.scalar_type() != type || kept.kernel.device() != weight.device() ||
        !kept.kernel.is_contiguous(format)) {
      kept.kernel = kept.packed = at::Tensor();  // their memory first
      kept.kernel = prepare(weight.detach(), fold_, type, format);
      kept.of = memory;
      kept.version = weight._version();
    }
    kernel = kept.kernel;
  }
  if (!weight.requires_grad() || !at::GradMode::is_enabled()) return kernel;
  return Prepare::apply(weight, kernel, static_cast<int64_t>(fold_));
}

}  // namespace derm::nn
