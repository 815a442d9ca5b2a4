#include "derm/models/melano_lapgan/melano_lapgan.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::models {

ResidualGeneratorImpl::ResidualGeneratorImpl(int64_t in, int64_t size_px, int64_t channels, const std::string& norm)
    : size_px_(size_px) {
  const bool biased = norm == "none";
  plane_ = register_module("plane", nn::Dense(in, size_px * size_px));
  down_ = register_module(
      "down", nn::Conv(nn::ConvOptions{.in = 4, .out = channels, .kernel = 4, .stride = 2, .bias = biased}));
  down_norm_ = register_module("down_norm", nn::Norm(norm, channels));
  middle_ = register_module("middle", nn::Conv(nn::ConvOptions{.in = channels, .out = channels, .bias = biased}));
  middle_norm_ = register_module("middle_norm", nn::Norm(norm, channels));
  up_ = register_module("up", nn::Up(channels, 3, "deconv", true));
}

at::Tensor ResidualGeneratorImpl::forward(const at::Tensor& low, const at::Tensor& vector) {
  const at::Tensor plane = plane_(vector).reshape({-1, 1, size_px_, size_px_});
  at::Tensor x = at::cat({low.to(vector.scalar_type()), plane}, 1).contiguous(at::MemoryFormat::ChannelsLast);
  x = down_norm_(down_(x), nn::Activation::relu());      // [N, 4, s, s] -> [N, C, s / 2, s / 2]
  x = middle_norm_(middle_(x), nn::Activation::relu());  // [N, C, s / 2, s / 2]
  return up_(x).to(at::kFloat);                          // [N, 3, s, s]
}

MelanoLapganGenerator::MelanoLapganGenerator(const recipe::LatentOptions& options, int64_t levels, int64_t size_px,
                                             int64_t classes)
    : latent_(options.latent), classes_(classes) {
  const int64_t base_px = size_px >> (levels - 1), in = options.latent + classes;
  trunk_ = register_module(
      "trunk",
      nn::DcganTrunk(nn::DcganTrunkOptions{
          .in = in, .size_px = size_px, .until_px = base_px / 2, .width = options.width, .norm = options.norm}));
  to_rgb_ =
      register_module("to_rgb", nn::Up(nn::dcgan_channels(options.width, size_px, base_px / 2), 3, "deconv", true));
  for (int64_t side = 2 * base_px; side <= size_px; side *= 2)
    residuals_.push_back(register_module(
        fmt::format("residual{}", side),
        ResidualGenerator(in, side, nn::dcgan_channels(options.width, size_px, side / 2), options.norm)));
}

std::vector<nn::Level> MelanoLapganGenerator::levels(const tensor::Inputs& inputs) {
  const auto noise = [&](int64_t level) {
    return recipe::told(inputs.latent.narrow(1, level * latent_, latent_), inputs.label, classes_);
  };
  std::vector<nn::Level> all(1);
  all[0].image = at::tanh(to_rgb_(trunk_(noise(0))).to(at::kFloat));  // [N, 3, base, base]
  for (size_t i = 0; i < residuals_.size(); ++i) {
    const at::Tensor low = nn::doubled(all.back().image);
    all.push_back({.image = low + residuals_[i](low, noise(static_cast<int64_t>(i) + 1)), .low = low});
  }
  return all;
}

at::Tensor MelanoLapganGenerator::generate(const tensor::Inputs& inputs) {
  return levels(inputs).back().image.clamp(-1, 1);
}

namespace {

class MelanoLapgan : public recipe::LatentRecipe {
 public:
  void bind(Options& o) override {
    recipe::LatentRecipe::bind(o);
    o.add("levels", levels_, "of the pyramid; the smallest picture's side is the image's over 2^(levels - 1)");
  }

  void validate(const recipe::ImageSpec& spec) const override {
    recipe::LatentRecipe::validate(spec);
    if (levels_ < 2 || levels_ > 7 || (spec.size_px >> (levels_ - 1)) < 8)
      throw UsageError("levels = {}, expected 2 to 7 and a smallest picture of at least 8 px; of {} px images it is {}",
                       levels_, spec.size_px, levels_ < 1 || levels_ > 20 ? 0 : spec.size_px >> (levels_ - 1));
  }

  recipe::Needs needs() const override {
    return {.latent = levels_ * common_.latent, .label = common_.class_conditional};
  }

  std::string hint() const override {
    return fmt::format("melano-lapgan(width={}, levels={})", common_.width, levels_);
  }

 protected:
  int64_t levels() const override { return levels_; }
  bool residuals() const override { return true; }
  std::shared_ptr<recipe::LevelGenerator> make_generator(const recipe::ImageSpec& spec) const override {
    return std::make_shared<MelanoLapganGenerator>(common_, levels_, spec.size_px, classes(spec));
  }

 private:
  int64_t levels_ = 4;
};

}  // namespace

void register_melano_lapgan(recipe::Catalogue& catalogue) {
  catalogue.add("melano-lapgan", "MelanoGANs' LAPGAN: a pyramid of residuals, noise at each level (Baur et al. 2018)",
                [] { return std::make_unique<MelanoLapgan>(); });
}

}  // namespace derm::models
