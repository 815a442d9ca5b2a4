#include "derm/nn/batch_norm.h"

#include <cmath>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "derm/base/bfloat16.h"
#include "derm/base/vectorised.h"
#include "derm/nn/shared_statistics.h"

namespace derm::nn {
namespace {

constexpr double kMomentum = 0.1, kEpsilon = 1e-5;
constexpr int64_t kBlock = 128;  // rows whose sums are taken in fp32

/// A map's pixels as rows of channels: [rows, channels], `step` numbers from row to row.
struct Rows {
  uint16_t* data = nullptr;
  int64_t rows = 0, channels = 0, step = 0;
};

/// True for [N, C, H, W] whose pixels lie at one distance, channels side by side: channels last, or some of the
/// channels of such a map.
bool has_rows(const at::Tensor& x) {
  if (x.is_contiguous(at::MemoryFormat::ChannelsLast)) return true;
  const int64_t step = x.stride(3);
  return x.stride(1) == 1 && x.stride(2) == step * x.size(3) && x.stride(0) == step * x.size(3) * x.size(2);
}

Rows rows_of(const at::Tensor& x) {
  return {.data = reinterpret_cast<uint16_t*>(x.data_ptr<at::BFloat16>()),
          .rows = x.size(0) * x.size(2) * x.size(3),
          .channels = x.size(1),
          .step = x.is_contiguous(at::MemoryFormat::ChannelsLast) ? x.size(1) : x.stride(3)};
}

/// Adds x - centre and its square, over up to kBlock rows.
DERM_VECTORISED void add_moments(const uint16_t* x, int64_t rows, int64_t step, int64_t channels, const float* centre,
                                 float* sum, float* squares) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* row = x + r * step;
    for (int64_t c = 0; c < channels; ++c) {
      const float d = from_bf16(row[c]) - centre[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
}

DERM_VECTORISED void normalise(const uint16_t* x, int64_t step, uint16_t* y, int64_t rows, int64_t channels,
                               const float* __restrict scale, const float* __restrict shift, float slope, float high) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* __restrict from = x + r * step;
    uint16_t* __restrict to = y + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float z = from_bf16(from[c]) * scale[c] + shift[c];
      const float above = z < high ? z : high;
      to[c] = to_bf16(z > 0 ? above : slope * z);
    }
  }
}

/// Adds g f'(z) and g f'(z) (x - centre), over up to kBlock rows.
DERM_VECTORISED void add_gradients(const uint16_t* x, int64_t step, const uint16_t* gradient, int64_t gradient_step,
                                   int64_t rows, int64_t channels, const float* __restrict scale,
                                   const float* __restrict shift, float slope, float high,
                                   const float* __restrict centre, float* __restrict sum, float* __restrict with_x) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* __restrict at = x + r * step;
    const uint16_t* __restrict of = gradient + r * gradient_step;
    for (int64_t c = 0; c < channels; ++c) {
      const float value = from_bf16(at[c]), z = value * scale[c] + shift[c];
      const float derivative = z > 0 ? (z < high ? 1.0f : 0.0f) : slope;
      const float g = from_bf16(of[c]) * derivative;
      sum[c] += g;
      with_x[c] += g * (value - centre[c]);
    }
  }
}

/// dx = scale g f'(z) + a + b x
DERM_VECTORISED void normalise_back(const uint16_t* x, int64_t step, const uint16_t* gradient, int64_t gradient_step,
                                    uint16_t* dx, int64_t rows, int64_t channels, const float* __restrict scale,
                                    const float* __restrict shift, float slope, float high, const float* __restrict a,
                                    const float* __restrict b) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* __restrict at = x + r * step;
    const uint16_t* __restrict of = gradient + r * gradient_step;
    uint16_t* __restrict to = dx + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float value = from_bf16(at[c]), z = value * scale[c] + shift[c];
      const float derivative = z > 0 ? (z < high ? 1.0f : 0.0f) : slope;
      to[c] = to_bf16(scale[c] * from_bf16(of[c]) * derivative + a[c] + b[c] * value);
    }
  }
}

/// Two sums per channel over all rows, in double from blocks: add(first row, rows, sum, second).
template <class Add>
std::pair<std::vector<double>, std::vector<double>> two_sums(const Rows& x, Add add) {
  const auto channels = static_cast<size_t>(x.channels);
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), x.rows / kBlock));
  std::vector<std::vector<double>> first(static_cast<size_t>(parts)), second(static_cast<size_t>(parts));
  at::parallel_for(0, parts, 1, [&](int64_t from, int64_t to) {
    for (int64_t part = from; part < to; ++part) {
      std::vector<double> a(channels, 0.0), b(channels, 0.0);
      std::vector<float> block_a(channels), block_b(channels);
      const int64_t end = x.rows * (part + 1) / parts;
      for (int64_t row = x.rows * part / parts; row < end; row += kBlock) {
        std::fill(block_a.begin(), block_a.end(), 0.0f);
        std::fill(block_b.begin(), block_b.end(), 0.0f);
        add(row, std::min(kBlock, end - row), block_a.data(), block_b.data());
        for (size_t c = 0; c < channels; ++c) a[c] += block_a[c], b[c] += block_b[c];
      }
      first[static_cast<size_t>(part)] = std::move(a);
      second[static_cast<size_t>(part)] = std::move(b);
    }
  });
  for (size_t part = 1; part < first.size(); ++part)
    for (size_t c = 0; c < channels; ++c) first[0][c] += first[part][c], second[0][c] += second[part][c];
  return {std::move(first[0]), std::move(second[0])};
}

/// Calls over(first row, rows) for parts of the rows, side by side.
template <class Over>
void over_rows(const Rows& x, Over over) {
  at::parallel_for(0, x.rows, std::max<int64_t>(1, 32768 / x.channels),
                   [&](int64_t from, int64_t to) { over(from, to - from); });
}

/// Between 0 and a bound. Two thresholds on the way back, because the one operator that does both lacks bf16 on the
/// CPU, and masks cost five times as much.
class Bounded : public torch::autograd::Function<Bounded> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, double high) {
    const at::Tensor y = at::clamp(x, 0, high);
    context->save_for_backward({y});
    context->saved_data["high"] = high;
    return y;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const at::Tensor y = context->get_saved_variables()[0];
    const at::Tensor above = at::threshold_backward(gradients[0], y, 0);
    return {at::threshold_backward(above, at::rsub(y, context->saved_data["high"].toDouble()), 0), at::Tensor()};
  }
};

/// A sum over all processes, whose way back is one too.
class SharedSum : public torch::autograd::Function<SharedSum> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) { return summed(x); }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*,
                                               torch::autograd::tensor_list gradients) {
    return {SharedSum::apply(gradients[0])};
  }

 private:
  static at::Tensor summed(const at::Tensor& x) {
    const at::Tensor here = x.to(at::kCPU, at::kDouble).contiguous();
    std::vector<double> values(here.data_ptr<double>(), here.data_ptr<double>() + here.numel());
    sum_over_ranks(values);
    return torch::tensor(values, at::kDouble).reshape(x.sizes()).to(x.options());
  }
};

/// Batch norm in training whose batch is spread over processes; on every type and device.
at::Tensor shared_by_operators(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                               const at::Tensor& running_mean, const at::Tensor& running_var) {
  std::vector<int64_t> others = {0}, shape = {1, x.size(1)};
  for (int64_t d = 2; d < x.dim(); ++d) others.push_back(d), shape.push_back(1);
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor count = torch::full({1}, static_cast<double>(x.numel() / x.size(1)), wide.options());
  const at::Tensor sums = SharedSum::apply(at::cat({wide.sum(others), wide.square().sum(others), count}));
  const int64_t channels = x.size(1);
  const double n = sums.detach()[2 * channels].item<double>();
  const at::Tensor mean = sums.narrow(0, 0, channels) / n;
  const at::Tensor variance = (sums.narrow(0, channels, channels) / n - mean.square()).clamp_min(0);
  {
    const torch::NoGradGuard guard;
    at::Tensor moved_mean = running_mean, moved_var = running_var;
    moved_mean.lerp_(mean.to(at::kFloat), kMomentum);
    moved_var.lerp_((variance * (n / std::max(1.0, n - 1))).to(at::kFloat), kMomentum);
  }
  const at::Tensor scale = weight * (variance + kEpsilon).rsqrt(), shift = bias - mean * scale;
  return (wide * scale.reshape(shape) + shift.reshape(shape)).to(x.scalar_type()).contiguous(x.suggest_memory_format());
}

at::Tensor by_operators(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                        const at::Tensor& var, bool training, const Activation& activation) {
  if (training && mean.defined() && statistics_are_shared())
    return activate(shared_by_operators(x, weight, bias, mean, var), activation);
  return activate(at::batch_norm(x, weight, bias, mean, var, training, kMomentum, kEpsilon, /*cudnn_enabled=*/true),
                  activation);
}

class FusedBatchNorm : public torch::autograd::Function<FusedBatchNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& running_mean, const at::Tensor& running_var,
                            bool training, double slope, double high) {
    const Rows rows = rows_of(x);
    const int64_t channels = rows.channels;
    at::Tensor mean = running_mean, inverse = (running_var + kEpsilon).rsqrt();
    double count = static_cast<double>(rows.rows);  // of values per channel, over all processes
    if (training) std::tie(mean, inverse) = statistics(rows, running_mean, running_var, count);
    const at::Tensor scale = weight.detach() * inverse, shift = bias.detach() - mean * scale;
    at::Tensor y = at::empty(x.sizes(), x.options(), at::MemoryFormat::ChannelsLast);
    uint16_t* to = rows_of(y).data;
    const float *s = scale.data_ptr<float>(), *t = shift.data_ptr<float>();
    over_rows(rows, [&](int64_t first, int64_t count) {
      normalise(rows.data + first * rows.step, rows.step, to + first * channels, count, channels, s, t,
                static_cast<float>(slope), static_cast<float>(high));
    });
    // In evaluation the running statistics may move before the way back: what was used is kept.
    context->save_for_backward({x, weight, bias, mean.is_same(running_mean) ? mean.clone() : mean, inverse});
    context->saved_data["training"] = training;
    context->saved_data["count"] = count;
    context->saved_data["slope"] = slope;
    context->saved_data["high"] = high;
    return y;
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &inverse = saved[4];
    const bool training = context->saved_data["training"].toBool();
    const Activation activation{.slope = context->saved_data["slope"].toDouble(),
                                .high = context->saved_data["high"].toDouble()};
    torch::autograd::tensor_list result(8);
    if (at::GradMode::is_enabled()) {  // the gradient is to be differentiated: by operators that can be
      TORCH_CHECK(!training || !statistics_are_shared(),
                  "a gradient's gradient goes through batch norm over several processes, which there is none of");
      const at::Tensor variance = inverse.square().reciprocal() - kEpsilon;
      const at::Tensor y = by_operators(x, weight, bias, training ? at::Tensor() : mean,
                                        training ? at::Tensor() : variance, training, activation);
      const auto again = torch::autograd::grad({y}, {x, weight, bias}, {gradients[0]}, /*retain_graph=*/true,
                                               /*create_graph=*/true, /*allow_unused=*/true);
      std::copy(again.begin(), again.end(), result.begin());
      return result;
    }
    const at::Tensor g =
        has_rows(gradients[0]) ? gradients[0] : gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const Rows rows = rows_of(x), of = rows_of(g);
    const int64_t channels = rows.channels;
    const at::Tensor scale = weight * inverse, shift = bias - mean * scale;
    const float *s = scale.data_ptr<float>(), *t = shift.data_ptr<float>(), *m = mean.data_ptr<float>(),
                *i = inverse.data_ptr<float>();
    const auto slope = static_cast<float>(activation.slope), high = static_cast<float>(activation.high);
    const auto [sum, with_x] = two_sums(rows, [&](int64_t first, int64_t count, float* a, float* b) {
      add_gradients(rows.data + first * rows.step, rows.step, of.data + first * of.step, of.step, count, channels, s, t,
                    slope, high, m, a, b);
    });
    at::Tensor d_weight = at::empty_like(weight), d_bias = at::empty_like(bias), a = at::zeros_like(weight),
               b = at::zeros_like(weight);
    for (int64_t c = 0; c < channels; ++c) {
      const auto k = static_cast<size_t>(c);
      d_bias.data_ptr<float>()[c] = static_cast<float>(sum[k]);
      d_weight.data_ptr<float>()[c] = static_cast<float>(with_x[k] * i[c]);
    }
    if (training) {
      // The weights' gradients are this process's own; through the statistics a value reaches all processes' losses.
      std::vector<double> both = sum;
      both.insert(both.end(), with_x.begin(), with_x.end());
      sum_over_ranks(both);
      const double n = context->saved_data["count"].toDouble();
      for (int64_t c = 0; c < channels; ++c) {
        // dx = scale (g - mean(g) - xhat mean(g xhat)), xhat = (x - m) i
        const double by_x = -s[c] * both[static_cast<size_t>(channels + c)] * i[c] * i[c] / n;
        b.data_ptr<float>()[c] = static_cast<float>(by_x);
        a.data_ptr<float>()[c] = static_cast<float>(-s[c] * both[static_cast<size_t>(c)] / n - by_x * m[c]);
      }
    }
    at::Tensor dx = at::empty(x.sizes(), x.options(), at::MemoryFormat::ChannelsLast);
    uint16_t* to = rows_of(dx).data;
    over_rows(rows, [&](int64_t first, int64_t count) {
      normalise_back(rows.data + first * rows.step, rows.step, of.data + first * of.step, of.step,
                     to + first * channels, count, channels, s, t, slope, high, a.data_ptr<float>(),
                     b.data_ptr<float>());
    });
    result[0] = dx;
    result[1] = d_weight;
    result[2] = d_bias;
    return result;
  }

 private:
  /// Mean and 1 / sqrt(var + epsilon) of the map; moves the running ones, the variance without bias as PyTorch's.
  /// @param n  becomes the number of values per channel
  static std::pair<at::Tensor, at::Tensor> statistics(const Rows& rows, const at::Tensor& running_mean,
                                                      const at::Tensor& running_var, double& n) {
    const int64_t channels = rows.channels;
    std::vector<float> centre(static_cast<size_t>(channels));  // near the mean, so that no digits are lost
    for (int64_t c = 0; c < channels; ++c) centre[static_cast<size_t>(c)] = from_bf16(rows.data[c]);
    auto [sum, squares] = two_sums(rows, [&](int64_t first, int64_t count, float* a, float* b) {
      add_moments(rows.data + first * rows.step, count, rows.step, channels, centre.data(), a, b);
    });
    if (statistics_are_shared()) {
      // Each process has a centre of its own: sums about 0, in double, can be added.
      std::vector<double> all(static_cast<size_t>(2 * channels + 1), n);
      for (int64_t c = 0; c < channels; ++c) {
        const auto k = static_cast<size_t>(c);
        all[k] = sum[k] + n * centre[k];
        all[static_cast<size_t>(channels) + k] = squares[k] + 2.0 * centre[k] * sum[k] + n * centre[k] * centre[k];
        centre[k] = 0;
      }
      sum_over_ranks(all);
      n = all.back();
      sum.assign(all.begin(), all.begin() + channels);
      squares.assign(all.begin() + channels, all.begin() + 2 * channels);
    }
    at::Tensor mean = at::empty({channels}), inverse = at::empty({channels});
    for (int64_t c = 0; c < channels; ++c) {
      const auto k = static_cast<size_t>(c);
      const double offset = sum[k] / n, variance = std::max(0.0, squares[k] / n - offset * offset);
      const double m = centre[k] + offset;
      mean.data_ptr<float>()[c] = static_cast<float>(m);
      inverse.data_ptr<float>()[c] = static_cast<float>(1.0 / std::sqrt(variance + kEpsilon));
      float &moved_mean = running_mean.data_ptr<float>()[c], &moved_var = running_var.data_ptr<float>()[c];
      moved_mean = static_cast<float>((1 - kMomentum) * moved_mean + kMomentum * m);
      moved_var = static_cast<float>((1 - kMomentum) * moved_var + kMomentum * variance * n / std::max(1.0, n - 1));
    }
    return {mean, inverse};
  }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, const Activation& activation) {
  if (std::isfinite(activation.high)) {
    TORCH_INTERNAL_ASSERT(activation.slope == 0);
    return Bounded::apply(x, activation.high);
  }
  if (activation.slope == 1) return x;
  return activation.slope == 0 ? at::relu(x) : at::leaky_relu(x, activation.slope);
}

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& mean,
                      const at::Tensor& var, bool training, const Activation& activation) {
  const bool ours = x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.dim() == 4 && x.numel() > 0 &&
                    weight.scalar_type() == at::kFloat && has_rows(x);
  if (!ours) return by_operators(x, weight, bias, mean, var, training, activation);
  return FusedBatchNorm::apply(x, weight, bias, mean, var, training, activation.slope, activation.high);
}

}  // namespace derm::nn
