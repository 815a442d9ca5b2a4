#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/metrics/checks.h"
#include "derm/metrics/extractor.h"
#include "derm/metrics/resize.h"
#include "derm/metrics/weights.h"
#include "derm/tensor/pth.h"

namespace derm::metrics {
namespace {

constexpr const char* kNetwork = "the FID Inception (2015-12-05)";
constexpr int64_t kClasses = 1008;
constexpr double kBatchNormEpsilon = 1e-3;
constexpr int64_t kExactBatch = 8;
/// The widest activations of four images (1.4 million values each, two bytes) fit a processor's last cache.
constexpr int64_t kFastBatch = 4;

/// A convolution with its batch norm: shape of the weight, and the taps that need it.
struct ConvSpec {
  std::string name;
  int64_t out, in, height, width;
  int64_t tap;  ///< the first tap behind it
};

std::vector<ConvSpec> conv_specs() {
  std::vector<ConvSpec> out;
  int64_t tap = 64;
  std::string block;
  const auto conv = [&](const std::string& name, int64_t to, int64_t from, int64_t h, int64_t w) {
    out.push_back({block + name, to, from, h, w, tap});
  };
  conv("Conv2d_1a_3x3", 32, 3, 3, 3);
  conv("Conv2d_2a_3x3", 32, 32, 3, 3);
  conv("Conv2d_2b_3x3", 64, 32, 3, 3);
  tap = 192;
  conv("Conv2d_3b_1x1", 80, 64, 1, 1);
  conv("Conv2d_4a_3x3", 192, 80, 3, 3);
  tap = 768;
  for (const auto& [name, in, pool] :
       {std::tuple{"Mixed_5b.", 192, 32}, {"Mixed_5c.", 256, 64}, {"Mixed_5d.", 288, 64}}) {
    block = name;
    conv("branch1x1", 64, in, 1, 1);
    conv("branch5x5_1", 48, in, 1, 1);
    conv("branch5x5_2", 64, 48, 5, 5);
    conv("branch3x3dbl_1", 64, in, 1, 1);
    conv("branch3x3dbl_2", 96, 64, 3, 3);
    conv("branch3x3dbl_3", 96, 96, 3, 3);
    conv("branch_pool", pool, in, 1, 1);
  }
  block = "Mixed_6a.";
  conv("branch3x3", 384, 288, 3, 3);
  conv("branch3x3dbl_1", 64, 288, 1, 1);
  conv("branch3x3dbl_2", 96, 64, 3, 3);
  conv("branch3x3dbl_3", 96, 96, 3, 3);
  for (const auto& [name, c] :
       {std::pair{"Mixed_6b.", 128}, {"Mixed_6c.", 160}, {"Mixed_6d.", 160}, {"Mixed_6e.", 192}}) {
    block = name;
    conv("branch1x1", 192, 768, 1, 1);
    conv("branch7x7_1", c, 768, 1, 1);
    conv("branch7x7_2", c, c, 1, 7);
    conv("branch7x7_3", 192, c, 7, 1);
    conv("branch7x7dbl_1", c, 768, 1, 1);
    conv("branch7x7dbl_2", c, c, 7, 1);
    conv("branch7x7dbl_3", c, c, 1, 7);
    conv("branch7x7dbl_4", c, c, 7, 1);
    conv("branch7x7dbl_5", 192, c, 1, 7);
    conv("branch_pool", 192, 768, 1, 1);
  }
  tap = 2048;
  block = "Mixed_7a.";
  conv("branch3x3_1", 192, 768, 1, 1);
  conv("branch3x3_2", 320, 192, 3, 3);
  conv("branch7x7x3_1", 192, 768, 1, 1);
  conv("branch7x7x3_2", 192, 192, 1, 7);
  conv("branch7x7x3_3", 192, 192, 7, 1);
  conv("branch7x7x3_4", 192, 192, 3, 3);
  for (const auto& [name, in] : {std::pair{"Mixed_7b.", 1280}, {"Mixed_7c.", 2048}}) {
    block = name;
    conv("branch1x1", 320, in, 1, 1);
    conv("branch3x3_1", 384, in, 1, 1);
    conv("branch3x3_2a", 384, 384, 1, 3);
    conv("branch3x3_2b", 384, 384, 3, 1);
    conv("branch3x3dbl_1", 448, in, 1, 1);
    conv("branch3x3dbl_2", 384, 448, 3, 3);
    conv("branch3x3dbl_3a", 384, 384, 1, 3);
    conv("branch3x3dbl_3b", 384, 384, 3, 1);
    conv("branch_pool", 192, in, 1, 1);
  }
  return out;
}

/// Weight and bias of a convolution whose batch norm is folded in.
struct Folded {
  at::Tensor weight, bias;
};

struct Weights {
  std::map<std::string, Folded> convs;  ///< those that the tap needs
  at::Tensor fc_weight, fc_bias;        ///< undefined where the file has no classifier
  std::string sha256;
};

Weights read(const InceptionOptions& options) {
  tensor::WeightsFile file = tensor::read_weights(options.path);
  const std::string where = options.path.string();
  if (options.path.filename() == kFidWeightsName && file.sha256 != kFidWeightsSha256)
    throw DataError("{}: its SHA-256 is {}, the published file of this name has {}; it is damaged, copy it again",
                    where, file.sha256, kFidWeightsSha256);
  auto& tensors = file.state.tensors;
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with(".num_batches_tracked"); });
  const bool separate = tensors.contains("Conv2d_1a_3x3.bn.weight");
  const int64_t needed = std::min<int64_t>(options.tap, 768);
  std::vector<ExpectedTensor> expected;
  for (const ConvSpec& c : conv_specs()) {
    const bool required = c.tap <= needed;
    expected.push_back({c.name + ".conv.weight", {c.out, c.in, c.height, c.width}, required});
    if (separate) {
      for (const char* part : {"weight", "bias", "running_mean", "running_var"})
        expected.push_back({c.name + ".bn." + part, {c.out}, required});
    } else {
      expected.push_back({c.name + ".conv.bias", {c.out}, required});
    }
  }
  expected.push_back({"fc.weight", {kClasses, 2048}, false});
  expected.push_back({"fc.bias", {kClasses}, false});
  check_weights(tensors, expected, where, kNetwork);
  if (options.tap == 2048) {
    std::vector<std::string> missing;
    for (const ExpectedTensor& e : expected)
      if (!e.name.starts_with("fc.") && !tensors.contains(e.name)) missing.push_back(e.name);
    if (!missing.empty())
      throw DataError(
          "{}: {} tensors behind Mixed_6e are missing ({}{}), so it serves the taps 768, 192 and 64, not 2048 and no "
          "Inception Score; choose one of those, or give the complete {}",
          where, missing.size(),
          fmt::join(missing.begin(), missing.begin() + std::min<std::ptrdiff_t>(4, std::ssize(missing)), ", "),
          missing.size() > 4 ? " ..." : "", kFidWeightsName);
  }

  Weights out;
  out.sha256 = file.sha256;
  for (const ConvSpec& c : conv_specs()) {
    if (c.tap > options.tap) continue;
    Folded folded;
    const at::Tensor weight = tensors.at(c.name + ".conv.weight");
    if (separate) {
      // In double, so that folding costs no digit of fp32.
      const auto part = [&](const char* p) { return tensors.at(c.name + ".bn." + p).to(at::kDouble); };
      if (part("running_var").min().item<double>() < 0)
        throw DataError("{}: {}.bn.running_var holds a negative variance; the file is damaged", where, c.name);
      const at::Tensor gain = part("weight") / (part("running_var") + kBatchNormEpsilon).sqrt();
      folded.weight = (weight.to(at::kDouble) * gain.view({-1, 1, 1, 1})).to(at::kFloat);
      folded.bias = (part("bias") - part("running_mean") * gain).to(at::kFloat);
    } else {
      folded = {weight, tensors.at(c.name + ".conv.bias")};
    }
    out.convs[c.name] = folded;
  }
  if (tensors.contains("fc.weight") && tensors.contains("fc.bias")) {
    out.fc_weight = tensors.at("fc.weight");
    out.fc_bias = tensors.at("fc.bias");
  }
  return out;
}

using Padding = std::pair<int64_t, int64_t>;

/// How convolutions are computed: fp32 one after the other, or bf16 with ReLU fused.
class Convolutions {
 public:
  virtual ~Convolutions() = default;
  /// [N, 3, 299, 299] as the convolutions want it.
  virtual at::Tensor input(const at::Tensor& x) const { return x; }
  /// ReLU(conv(x) + bias)
  virtual at::Tensor conv(const at::Tensor& x, const std::string& name, int64_t stride = 1,
                          Padding padding = {0, 0}) = 0;
  /// ReLU(conv1x1(average3x3(x)) + bias), padding left out of the averages.
  virtual at::Tensor pooled(const at::Tensor& x, const std::string& name) = 0;
};

at::Tensor average3(const at::Tensor& x) {
  return at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

class ExactConvolutions : public Convolutions {
 public:
  explicit ExactConvolutions(const std::map<std::string, Folded>& convs) : convs_(convs) {}
  at::Tensor conv(const at::Tensor& x, const std::string& name, int64_t stride, Padding padding) override {
    const Folded& c = convs_.at(name);
    return at::conv2d(x, c.weight, c.bias, stride, {padding.first, padding.second}).relu_();
  }
  at::Tensor pooled(const at::Tensor& x, const std::string& name) override {
    return conv(average3(x), name, 1, {0, 0});
  }

 private:
  const std::map<std::string, Folded>& convs_;
};

/// bf16, channels last. The weights are packed once, for the first input that comes; another size only costs speed.
class FastConvolutions : public Convolutions {
 public:
  explicit FastConvolutions(const std::map<std::string, Folded>& convs) : convs_(convs) {
    auto& dispatcher = c10::Dispatcher::singleton();
    if (const auto found = dispatcher.findSchema({"mkldnn_prepacked::conv2d_prepack", ""})) pack_ = *found;
    if (const auto found = dispatcher.findSchema({"mkldnn_prepacked::conv2d_run", ""})) run_ = *found;
  }
  at::Tensor input(const at::Tensor& x) const override {
    return x.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  }
  at::Tensor conv(const at::Tensor& x, const std::string& name, int64_t stride, Padding padding) override {
    return run(x, name, stride, padding, /*relu=*/true);
  }
  /// Averages and a 1x1 convolution can change places, and the convolution's output has fewer channels to average.
  at::Tensor pooled(const at::Tensor& x, const std::string& name) override {
    return average3(run(x, name, 1, {0, 0}, /*relu=*/false)).relu_();
  }

 private:
  at::Tensor run(const at::Tensor& x, const std::string& name, int64_t stride, Padding padding, bool relu) {
    const auto found = packed_.find(name);
    const c10::IValue& packed = found != packed_.end() ? found->second : pack(x, name, stride, padding, relu);
    if (run_) {
      torch::jit::Stack stack = {x, packed};
      run_->callBoxed(&stack);
      return stack.front().toTensor();
    }
    const Folded& c = plain_.at(name);
    const at::Tensor y = at::conv2d(x, c.weight, c.bias, stride, {padding.first, padding.second});
    return relu ? y.relu_() : y;
  }
  const c10::IValue& pack(const at::Tensor& x, const std::string& name, int64_t stride, Padding padding, bool relu) {
    const Folded& c = convs_.at(name);
    const Folded half = {c.weight.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast),
                         c.bias.to(at::kBFloat16)};
    if (!pack_ || !run_) {
      // A libtorch built without oneDNN's packed convolutions.
      plain_[name] = half;
      return packed_[name];
    }
    torch::jit::Stack stack = {half.weight,
                               half.bias,
                               std::vector<int64_t>{stride, stride},
                               std::vector<int64_t>{padding.first, padding.second},
                               std::vector<int64_t>{1, 1},
                               int64_t{1},
                               x.sizes().vec(),
                               std::string(relu ? "relu" : "none")};
    pack_->callBoxed(&stack);
    return packed_[name] = stack.front();
  }

  const std::map<std::string, Folded>& convs_;
  std::map<std::string, Folded> plain_;
  std::map<std::string, c10::IValue> packed_;
  std::optional<c10::OperatorHandle> pack_, run_;
};

at::Tensor max_pool(const at::Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}); }

/// Mean over the pixels of each channel, in fp32.
at::Tensor spatial_mean(const at::Tensor& x) { return x.to(at::kFloat).mean({2, 3}); }

/// @param input  [N, 3, 299, 299] in [-1, 1]
/// @return       [N, tap] float
at::Tensor forward(Convolutions& net, const at::Tensor& input, int64_t tap) {
  at::Tensor x = net.input(input);
  x = net.conv(x, "Conv2d_1a_3x3", 2);          // [N, 32, 149, 149]
  x = net.conv(x, "Conv2d_2a_3x3");             // [N, 32, 147, 147]
  x = net.conv(x, "Conv2d_2b_3x3", 1, {1, 1});  // [N, 64, 147, 147]
  x = max_pool(x);                              // [N, 64, 73, 73]
  if (tap == 64) return spatial_mean(x);
  x = net.conv(x, "Conv2d_3b_1x1");  // [N, 80, 73, 73]
  x = net.conv(x, "Conv2d_4a_3x3");  // [N, 192, 71, 71]
  x = max_pool(x);                   // [N, 192, 35, 35]
  if (tap == 192) return spatial_mean(x);

  for (const std::string b : {"Mixed_5b.", "Mixed_5c.", "Mixed_5d."}) {  // [N, 256, 35, 35], then 288 twice
    const at::Tensor five = net.conv(net.conv(x, b + "branch5x5_1"), b + "branch5x5_2", 1, {2, 2});
    at::Tensor three = net.conv(net.conv(x, b + "branch3x3dbl_1"), b + "branch3x3dbl_2", 1, {1, 1});
    three = net.conv(three, b + "branch3x3dbl_3", 1, {1, 1});
    x = at::cat({net.conv(x, b + "branch1x1"), five, three, net.pooled(x, b + "branch_pool")}, 1);
  }
  {
    at::Tensor three = net.conv(net.conv(x, "Mixed_6a.branch3x3dbl_1"), "Mixed_6a.branch3x3dbl_2", 1, {1, 1});
    three = net.conv(three, "Mixed_6a.branch3x3dbl_3", 2);
    x = at::cat({net.conv(x, "Mixed_6a.branch3x3", 2), three, max_pool(x)}, 1);  // [N, 768, 17, 17]
  }
  for (const std::string b : {"Mixed_6b.", "Mixed_6c.", "Mixed_6d.", "Mixed_6e."}) {  // [N, 768, 17, 17]
    at::Tensor seven = net.conv(net.conv(x, b + "branch7x7_1"), b + "branch7x7_2", 1, {0, 3});
    seven = net.conv(seven, b + "branch7x7_3", 1, {3, 0});
    at::Tensor twice = net.conv(net.conv(x, b + "branch7x7dbl_1"), b + "branch7x7dbl_2", 1, {3, 0});
    twice = net.conv(net.conv(twice, b + "branch7x7dbl_3", 1, {0, 3}), b + "branch7x7dbl_4", 1, {3, 0});
    twice = net.conv(twice, b + "branch7x7dbl_5", 1, {0, 3});
    x = at::cat({net.conv(x, b + "branch1x1"), seven, twice, net.pooled(x, b + "branch_pool")}, 1);
  }
  if (tap == 768) return spatial_mean(x);

  {
    const at::Tensor three = net.conv(net.conv(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", 2);
    at::Tensor seven = net.conv(net.conv(x, "Mixed_7a.branch7x7x3_1"), "Mixed_7a.branch7x7x3_2", 1, {0, 3});
    seven = net.conv(net.conv(seven, "Mixed_7a.branch7x7x3_3", 1, {3, 0}), "Mixed_7a.branch7x7x3_4", 2);
    x = at::cat({three, seven, max_pool(x)}, 1);  // [N, 1280, 8, 8]
  }
  for (const std::string b : {"Mixed_7b.", "Mixed_7c."}) {  // [N, 2048, 8, 8]
    const at::Tensor three = net.conv(x, b + "branch3x3_1");
    const at::Tensor twice = net.conv(net.conv(x, b + "branch3x3dbl_1"), b + "branch3x3dbl_2", 1, {1, 1});
    // The last block's pool is a maximum in the graph of 2015, and only there.
    const at::Tensor pool = b == "Mixed_7c." ? net.conv(at::max_pool2d(x, {3, 3}, {1, 1}, {1, 1}), b + "branch_pool")
                                             : net.pooled(x, b + "branch_pool");
    x = at::cat({net.conv(x, b + "branch1x1"), net.conv(three, b + "branch3x3_2a", 1, {0, 1}),
                 net.conv(three, b + "branch3x3_2b", 1, {1, 0}), net.conv(twice, b + "branch3x3dbl_3a", 1, {0, 1}),
                 net.conv(twice, b + "branch3x3dbl_3b", 1, {1, 0}), pool},
                1);
  }
  return spatial_mean(x);
}

class InceptionNetwork : public Inception {
 public:
  explicit InceptionNetwork(const InceptionOptions& options) : options_(options), weights_(read(options)) {
    if (options.fast) {
      net_ = std::make_unique<FastConvolutions>(weights_.convs);
    } else {
      net_ = std::make_unique<ExactConvolutions>(weights_.convs);
    }
  }

  std::string name() const override {
    return fmt::format("inception-{}{}", options_.tap, options_.fast ? "-bf16" : "");
  }
  int64_t dimension() const override { return options_.tap; }
  std::string sha256() const override { return weights_.sha256; }
  std::string resize_kernel() const override {
    return options_.convention == Convention::clean
               ? "clean: bicubic, antialiased, float32, as Pillow, to 299 px"
               : "legacy: bilinear without antialiasing, as pytorch-fid, to 299 px";
  }
  std::string frechet_name() const override { return is_standard() ? "FID" : fmt::format("FD-{}", kind()); }
  std::string kernel_name() const override { return is_standard() ? "KID" : fmt::format("KID-{}", kind()); }
  bool has_classifier() const override { return weights_.fc_weight.defined(); }
  bool is_published() const override { return weights_.sha256 == kFidWeightsSha256; }

  at::Tensor features(const at::Tensor& images) override {
    const torch::NoGradGuard no_grad;
    const at::Tensor x = checked_images(images, name().c_str(), "[-1, 1]");
    const int64_t batch = options_.fast ? kFastBatch : kExactBatch;
    at::Tensor out = at::empty({x.size(0), options_.tap}, at::kFloat);
    for (int64_t begin = 0; begin < x.size(0); begin += batch) {
      const int64_t count = std::min(batch, x.size(0) - begin);
      const at::Tensor pixels = x.narrow(0, begin, count).add(1).mul_(127.5);
      const at::Tensor input = options_.convention == Convention::clean ? resize_clean(pixels) : resize_legacy(pixels);
      out.narrow(0, begin, count).copy_(forward(*net_, input, options_.tap));
    }
    if (!torch::isfinite(out).all().item<bool>())
      throw DataError("{}: a feature is not finite; the weights in {} are damaged or of another network", name(),
                      options_.path.string());
    return out;
  }

  at::Tensor logits(const at::Tensor& pool, bool bias) const override {
    const torch::NoGradGuard no_grad;
    if (options_.tap != 2048)
      throw UsageError("{}: class scores follow from the tap 2048, this is {}; use tap=2048", name(), options_.tap);
    if (!has_classifier())
      throw UsageError("{}: {} has no fc.weight or no fc.bias, so there are no class scores; give the complete {}",
                       name(), options_.path.string(), kFidWeightsName);
    if (!pool.defined() || pool.dim() != 2 || pool.size(1) != 2048)
      throw UsageError("{}: class scores are computed from features [N, 2048]", name());
    const at::Tensor x = pool.to(at::kCPU, at::kFloat);
    return bias ? at::addmm(weights_.fc_bias, x, weights_.fc_weight.t()) : at::matmul(x, weights_.fc_weight.t());
  }

 private:
  bool is_standard() const { return options_.tap == 2048 && is_published(); }
  /// "768", or for the last tap with a warning: it must not pass for FID.
  std::string kind() const {
    return options_.tap == 2048 ? "2048 (weights other than the published file)" : std::to_string(options_.tap);
  }

  InceptionOptions options_;
  Weights weights_;
  std::unique_ptr<Convolutions> net_;
};

}  // namespace

void InceptionOptions::validate() const {
  if (path.empty()) throw UsageError("inception: no weights file was given; name one, such as {}", kFidWeightsName);
  if (tap != 2048 && tap != 768 && tap != 192 && tap != 64)
    throw UsageError("inception: the tap {} is not known; it is one of 2048, 768, 192, 64", tap);
}

std::unique_ptr<Inception> inception_extractor(const InceptionOptions& options) {
  options.validate();
  return std::make_unique<InceptionNetwork>(options);
}

}  // namespace derm::metrics
