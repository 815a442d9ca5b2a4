#include "derm/utility/classifier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/losses/judges.h"
#include "derm/nn/initialise.h"
#include "derm/nn/mobilenet.h"
#include "derm/nn/resnet.h"
#include "derm/recipe/judging.h"
#include "derm/tensor/random.h"
#include "derm/tensor/state.h"
#include "derm/training/adam.h"

namespace derm::utility {
namespace {

constexpr double kWarmUp = 0.05;
constexpr size_t kEvalBatch = 64;

at::Tensor pooled(const at::Tensor& map) { return map.to(at::kFloat).mean({2, 3}); }

/// torchvision's mobilenet_v2: features.*, classifier.1.
class MobileNetClassifier : public Network, public torch::nn::Module {
 public:
  MobileNetClassifier(int64_t conditions, double dropout, bool first_expands)
      : dropout_(dropout), features_(register_module("features", nn::MobileNetV2(/*last=*/true, first_expands))) {
    auto classifier = register_module("classifier", std::make_shared<torch::nn::Module>("Sequence"));
    head_ = classifier->register_module("1", torch::nn::Linear(nn::MobileNetV2Impl::kChannels, conditions));
  }
  at::Tensor logits(const at::Tensor& x) override {
    return head_(at::dropout(pooled(features_(x)), dropout_, is_training()));
  }
  torch::nn::Module& module() override { return *this; }

 private:
  double dropout_;
  nn::MobileNetV2 features_;
  torch::nn::Linear head_{nullptr};
};

/// torchvision's resnet50: conv1 ... layer4, fc.
class ResNetClassifier : public Network, public nn::ResNet50Impl {
 public:
  ResNetClassifier(int64_t conditions, double dropout)
      : dropout_(dropout), fc_(register_module("fc", torch::nn::Linear(kChannels, conditions))) {}
  at::Tensor logits(const at::Tensor& x) override {
    return fc_(at::dropout(pooled(forward(x)), dropout_, is_training()));
  }
  torch::nn::Module& module() override { return *this; }

 private:
  double dropout_;
  torch::nn::Linear fc_;
};

/// Three convolutions that halve: enough for made images, and fast.
class SmallClassifier : public Network, public torch::nn::Module {
 public:
  SmallClassifier(int64_t conditions, double dropout) : dropout_(dropout) {
    int64_t in = 3;
    for (const int64_t out : {16, 32, 64}) {
      const std::string number = std::to_string(convs_.size());
      convs_.push_back(register_module("conv" + number,
                                       nn::Conv(nn::ConvOptions{.in = in, .out = out, .stride = 2, .bias = false})));
      norms_.push_back(register_module("norm" + number, nn::Norm("batch", out)));
      in = out;
    }
    head_ = register_module("head", torch::nn::Linear(in, conditions));
  }
  at::Tensor logits(const at::Tensor& x) override {
    at::Tensor y = x;
    for (size_t i = 0; i < convs_.size(); ++i) y = norms_[i](convs_[i](y), nn::Activation::relu());
    return head_(at::dropout(pooled(y), dropout_, is_training()));
  }
  torch::nn::Module& module() override { return *this; }

 private:
  double dropout_;
  std::vector<nn::Conv> convs_;
  std::vector<nn::Norm> norms_;
  torch::nn::Linear head_{nullptr};
};

bool is_head(const std::string& name) {
  return name.starts_with("classifier.") || name.starts_with("fc.") || name.starts_with("head.");
}

/// Images [N, 3, S, S] in [-1, 1], fp32, on the device.
at::Tensor batch_of(const std::vector<at::Tensor>& pixels, const tensor::ComputePolicy& policy) {
  return at::stack(pixels).to(policy.device).to(at::kFloat).div_(127.5).sub_(1);
}

at::Tensor seen(const at::Tensor& images, const tensor::ComputePolicy& policy) {
  return nn::imagenet_normalised(policy.activations(images));
}

/// [images, conditions] fp32 on the CPU, in eval mode.
at::Tensor all_logits(Network& network, const std::vector<at::Tensor>& pixels, const tensor::ComputePolicy& policy) {
  const torch::NoGradGuard no_grad;
  network.module().eval();
  std::vector<at::Tensor> parts;
  for (size_t first = 0; first < pixels.size(); first += kEvalBatch) {
    const auto begin = pixels.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = pixels.begin() + static_cast<std::ptrdiff_t>(std::min(first + kEvalBatch, pixels.size()));
    const at::Tensor images = batch_of(std::vector<at::Tensor>(begin, end), policy);
    parts.push_back(network.logits(seen(images, policy)).to(at::kCPU, at::kFloat));
  }
  return at::cat(parts);
}

at::Tensor labels_of(const std::vector<int64_t>& label) { return torch::tensor(label, at::kLong); }

/// An endless order of n images: every epoch a permutation that follows from the seed.
class Order {
 public:
  Order(size_t n, uint64_t seed) : order_(n), seed_(seed) {}
  size_t next() {
    if (at_ % order_.size() == 0) {
      std::iota(order_.begin(), order_.end(), size_t{0});
      Rng(mix_seed(seed_, at_ / order_.size())).shuffle(order_);
    }
    return order_[at_++ % order_.size()];
  }

 private:
  std::vector<size_t> order_;
  uint64_t seed_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<Network> make_network(const ClassifierOptions& options, int64_t conditions, at::Generator& random,
                                      const tensor::WeightsFile* start) {
  std::unique_ptr<Network> network;
  if (options.network == "mobilenet_v2") {
    bool first_expands = false;
    if (start != nullptr) {
      const auto found = start->state.tensors.find("features.1.conv.0.0.weight");
      first_expands = found != start->state.tensors.end() && found->second.dim() == 4 && found->second.size(1) > 1;
    }
    network = std::make_unique<MobileNetClassifier>(conditions, options.dropout, first_expands);
  } else if (options.network == "resnet50") {
    network = std::make_unique<ResNetClassifier>(conditions, options.dropout);
  } else {
    network = std::make_unique<SmallClassifier>(conditions, options.dropout);
  }
  nn::initialise_he(network->module(), random);
  if (start != nullptr) {
    std::vector<std::string> missing = tensor::load_matching(network->module(), start->state);
    std::erase_if(missing,
                  [](const std::string& name) { return is_head(name) || name.ends_with("num_batches_tracked"); });
    if (!missing.empty()) {
      throw DataError(
          "{}: {} tensors of {} are missing or of another shape, {} for one; give a file in torchvision's names",
          options.weights, missing.size(), options.network, missing.front());
    }
  }
  return network;
}

at::Tensor pixels_of(const image::Image& picture) {
  // The picture's rows are interleaved; from_blob() does not own them, the copy does.
  auto* bytes = const_cast<uint8_t*>(picture.pixels.data());
  return torch::from_blob(bytes, {picture.height, picture.width, picture.channels}, torch::kUInt8)
      .permute({2, 0, 1})
      .contiguous();
}

Trained train_classifier(const Pictures& train, const Pictures& validation, int64_t conditions,
                         const std::optional<nn::ViewOptions>& view, const ClassifierOptions& options, uint64_t seed,
                         const tensor::WeightsFile* start, const tensor::ComputePolicy& policy, const std::string& what,
                         const std::function<void(double)>& progress) {
  at::Generator weights = at::detail::createCPUGenerator(mix_seed(seed, hash_text("weights")));
  Trained result;
  result.network = make_network(options, conditions, weights, start);
  torch::nn::Module& module = result.network->module();
  module.to(policy.device);
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (auto& item : module.named_parameters()) parameters.emplace_back(item.key(), item.value());
  training::Adam adam(parameters, {.lr = options.lr, .beta1 = 0.9, .beta2 = 0.999});

  at::Tensor prior = torch::zeros({conditions});
  for (const int64_t k : train.label) prior[k] += 1;
  prior = (prior.clamp_min(1) / prior.clamp_min(1).sum()).to(policy.device);
  const at::Tensor validation_labels = labels_of(validation.label);
  const auto size_px = train.pixels.front().size(1);

  Order order(train.pixels.size(), mix_seed(seed, hash_text("order")));
  std::vector<at::Tensor> best;
  result.validation_nll = std::numeric_limits<double>::infinity();
  for (int64_t step = 0; step < options.steps; ++step) {
    throw_if_interrupted();
    module.train();
    at::Generator random = tensor::seeded_default(policy.device, mix_seed(seed, static_cast<uint64_t>(step)));
    std::vector<at::Tensor> pixels;
    std::vector<int64_t> label;
    for (int64_t i = 0; i < options.batch; ++i) {
      const size_t at = order.next();
      pixels.push_back(train.pixels[at]);
      label.push_back(train.label[at]);
    }
    at::Tensor images = batch_of(pixels, policy);
    if (view) images = nn::draw_view(images, {}, size_px, *view, random).image;
    const at::Tensor logits = result.network->logits(seen(images, policy));
    const at::Tensor labels = labels_of(label).to(policy.device);
    const at::Tensor loss = options.loss == "focal" ? losses::balanced_focal(logits, labels, prior, options.gamma)
                                                    : losses::balanced_cross_entropy(logits, labels, prior);
    const auto gradients = torch::autograd::grad({loss}, adam.parameters());
    adam.step(gradients,
              recipe::warm_up_and_cosine(static_cast<double>(step) / static_cast<double>(options.steps), kWarmUp));

    const int64_t done = step + 1;
    if (progress) progress(static_cast<double>(done) / static_cast<double>(options.steps));
    if (done % options.validate_every != 0 && done != options.steps) continue;
    const at::Tensor answers = all_logits(*result.network, validation.pixels, policy);
    // As it will be used, calibrated: overconfidence, which comes first, is not what makes a classifier worse.
    const double temperature = losses::fit_temperature(answers, validation_labels);
    const double nll = losses::balanced_nll(answers / temperature, validation_labels);
    if (!std::isfinite(nll) || !std::isfinite(loss.item<double>()))
      throw DataError(
          "{}: the loss is no longer finite at step {}; a smaller classifier.lr or precision = fp32 may help", what,
          done);
    result.validation.emplace_back(done, nll);
    if (nll >= result.validation_nll) continue;
    result.validation_nll = nll;
    result.best_step = done;
    result.temperature = temperature;
    best.clear();
    for (const auto& [name, value] : tensor::state_of(module)) best.push_back(value.detach().clone());
  }
  {
    const torch::NoGradGuard no_grad;
    size_t i = 0;
    for (auto& [name, value] : tensor::state_of(module)) value.copy_(best[i++]);
  }
  return result;
}

std::vector<double> probabilities(Trained& classifier, const std::vector<at::Tensor>& pixels,
                                  const tensor::ComputePolicy& policy) {
  if (pixels.empty()) return {};
  const at::Tensor p =
      at::softmax(all_logits(*classifier.network, pixels, policy).to(at::kDouble) / classifier.temperature, 1)
          .contiguous();
  return {p.data_ptr<double>(), p.data_ptr<double>() + p.numel()};
}

}  // namespace derm::utility
