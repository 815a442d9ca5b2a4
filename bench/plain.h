#pragma once
// The plain libtorch form of Pix2Pix and DermGAN: torch::nn modules in fp32 and NCHW, torch::optim::Adam, backward().
// What a program that only calls libtorch does, and what our speed is measured against.
#include <torch/torch.h>

namespace derm::bench {

struct PlainOptions {
  int64_t in_channels = 3, size_px = 256, width = 64, discriminator_width = 64, discriminator_layers = 3;
  bool resize = false;   ///< Upsample and a 3x3 convolution, else ConvTranspose2d
  bool dermgan = false;  ///< DermGAN's five losses, else BCE and L1
};

/// Pix2Pix's U-Net: 4x4 convolutions down to 1x1, skips, dropout in the three inner up levels.
struct PlainUNetImpl : torch::nn::Module {
  explicit PlainUNetImpl(const PlainOptions& o) {
    using namespace torch::nn;
    int64_t levels = 0;
    for (int64_t s = o.size_px; s > 1 && levels < 8; s /= 2) ++levels;
    const auto channels = [&](int64_t i) { return o.width * std::min<int64_t>(int64_t{1} << i, 8); };
    for (int64_t i = 0; i < levels; ++i) {
      const int64_t in = i == 0 ? o.in_channels : channels(i - 1);
      Sequential level;
      if (i > 0) level->push_back(LeakyReLU(LeakyReLUOptions().negative_slope(0.2)));
      level->push_back(Conv2d(Conv2dOptions(in, channels(i), 4).stride(2).padding(1)));
      if (i > 0 && i + 1 < levels) level->push_back(BatchNorm2d(channels(i)));
      down.push_back(register_module("down" + std::to_string(i), level));
    }
    for (int64_t i = levels - 1; i >= 0; --i) {
      const int64_t in = i == levels - 1 ? channels(i) : 2 * channels(i), out = i == 0 ? 3 : channels(i - 1);
      Sequential level;
      level->push_back(ReLU());
      if (o.resize) {
        level->push_back(Upsample(UpsampleOptions().scale_factor(std::vector<double>{2, 2}).mode(torch::kNearest)));
        level->push_back(Conv2d(Conv2dOptions(in, out, 3).padding(1)));
      } else {
        level->push_back(ConvTranspose2d(ConvTranspose2dOptions(in, out, 4).stride(2).padding(1)));
      }
      if (i > 0) level->push_back(BatchNorm2d(out));
      if (i > 0 && i + 1 < levels && i + 4 >= levels) level->push_back(Dropout(0.5));
      up.push_back(register_module("up" + std::to_string(i), level));
    }
  }
  torch::Tensor forward(torch::Tensor x) {
    std::vector<torch::Tensor> skips;
    for (auto& level : down) skips.push_back(x = level->forward(x));
    for (size_t k = 0; k < up.size(); ++k)
      x = up[k]->forward(k == 0 ? x : torch::cat({x, skips[skips.size() - 1 - k]}, 1));
    return torch::tanh(x);
  }
  std::vector<torch::nn::Sequential> down, up;
};
TORCH_MODULE(PlainUNet);

/// PatchGAN on (map, image).
struct PlainPatchImpl : torch::nn::Module {
  explicit PlainPatchImpl(const PlainOptions& o) {
    using namespace torch::nn;
    int64_t in = o.in_channels + 3;
    for (int64_t i = 0; i <= o.discriminator_layers; ++i) {
      const int64_t out = o.discriminator_width * std::min<int64_t>(int64_t{1} << i, 8);
      Sequential layer(Conv2d(Conv2dOptions(in, out, 4).stride(i == o.discriminator_layers ? 1 : 2).padding(1)));
      if (i > 0) layer->push_back(BatchNorm2d(out));
      layer->push_back(LeakyReLU(LeakyReLUOptions().negative_slope(0.2)));
      layers.push_back(register_module("layer" + std::to_string(i), layer));
      in = out;
    }
    last = register_module("last", Conv2d(Conv2dOptions(in, 1, 4).padding(1)));
  }
  /// Features of each layer, then the logits.
  std::vector<torch::Tensor> forward(torch::Tensor x) {
    std::vector<torch::Tensor> all;
    for (auto& layer : layers) all.push_back(x = layer->forward(x));
    all.push_back(last->forward(x));
    return all;
  }
  std::vector<torch::nn::Sequential> layers;
  torch::nn::Conv2d last{nullptr};
};
TORCH_MODULE(PlainPatch);

/// Networks, optimisers, average: one training step after another.
class PlainTrainer {
 public:
  explicit PlainTrainer(const PlainOptions& o)
      : options_(o),
        generator(o),
        discriminator(o),
        average_(o),
        for_g_(generator->parameters(), torch::optim::AdamOptions(2e-4).betas({0.5, 0.999})),
        for_d_(discriminator->parameters(), torch::optim::AdamOptions(2e-4).betas({0.5, 0.999})) {}

  /// @param map [N, C, S, S], image [N, 3, S, S], region [N, 1, S, S], fp32
  void step(const torch::Tensor& map, const torch::Tensor& image, const torch::Tensor& region) {
    namespace F = torch::nn::functional;
    const auto bce = [](const torch::Tensor& logits, double target) {
      return F::binary_cross_entropy_with_logits(logits, torch::full_like(logits, target));
    };
    const torch::Tensor fake = generator->forward(map);
    for_d_.zero_grad();
    const auto on_fake = discriminator->forward(torch::cat({map, fake.detach()}, 1));
    const auto on_real = discriminator->forward(torch::cat({map, image}, 1));
    (0.5 * (bce(on_real.back(), 1) + bce(on_fake.back(), 0))).backward();
    for_d_.step();
    for_g_.zero_grad();
    const auto judged = discriminator->forward(torch::cat({map, fake}, 1));
    torch::Tensor loss = bce(judged.back(), 1) + 100 * (image - fake).abs().mean();
    if (options_.dermgan) {
      loss = loss + 20 * (region * (image - fake).abs()).sum() / (3 * region.sum() + 1e-6);
      const auto target = discriminator->forward(torch::cat({map, image}, 1));
      for (size_t i = 0; i + 1 < judged.size(); ++i) loss = loss + 10 * (target[i].detach() - judged[i]).abs().mean();
      loss = loss - torch::log_sigmoid(judged.back().flatten(1).amin(1)).mean();
    }
    loss.backward();
    for_g_.step();
    const torch::NoGradGuard guard;
    const auto from = generator->parameters();
    auto to = average_->parameters();
    for (size_t i = 0; i < to.size(); ++i) to[i].lerp_(from[i], 0.001);
  }

 private:
  PlainOptions options_;

 public:
  PlainUNet generator;
  PlainPatch discriminator;

 private:
  PlainUNet average_;
  torch::optim::Adam for_g_, for_d_;
};

}  // namespace derm::bench
