#include "derm/models/melano_ddgan/melano_ddgan.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::models {

MelanoDdganGenerator::MelanoDdganGenerator(const recipe::LatentOptions& options, int64_t levels,
                                           const std::string& upsample, int64_t size_px, int64_t classes)
    : classes_(classes) {
  const int64_t base_px = size_px >> (levels - 1);
  const auto channels = [&](int64_t side) { return nn::dcgan_channels(options.width, size_px, side); };
  trunk_ = register_module("trunk", nn::DcganTrunk(nn::DcganTrunkOptions{.in = options.latent + classes,
                                                                         .size_px = size_px,
                                                                         .until_px = base_px,
                                                                         .width = options.width,
                                                                         .upsample = upsample,
                                                                         .norm = options.norm}));
  const auto add_rgb = [&](int64_t side) {
    to_rgb_.push_back(
        register_module(fmt::format("rgb{}", side), nn::Conv(nn::ConvOptions{.in = channels(side), .out = 3})));
  };
  add_rgb(base_px);
  for (int64_t side = 2 * base_px; side <= size_px; side *= 2) {
    ups_.push_back(register_module(fmt::format("up{}", side),
                                   nn::Up(channels(side / 2), channels(side), upsample, options.norm == "none")));
    norms_.push_back(register_module(fmt::format("up{}_norm", side), nn::Norm(options.norm, channels(side))));
    if (upsample == "deconv")
      image_deconvs_.push_back(register_module(fmt::format("image{}", side), nn::UpConv(3, 3, true)));
    add_rgb(side);
  }
}

std::vector<nn::Level> MelanoDdganGenerator::levels(const tensor::Inputs& inputs) {
  at::Tensor x = trunk_(recipe::told(inputs.latent, inputs.label, classes_));  // [N, C, base, base]
  std::vector<nn::Level> all = {{.image = to_rgb_[0](x).to(at::kFloat), .low = {}}};
  for (size_t i = 0; i < ups_.size(); ++i) {
    x = norms_[i](ups_[i](x), nn::Activation::relu());  // [N, C', base 2^(i+1), base 2^(i+1)]
    const at::Tensor below =
        image_deconvs_.empty() ? nn::doubled(all.back().image) : image_deconvs_[i](all.back().image);
    all.push_back({.image = below + to_rgb_[i + 1](x).to(at::kFloat), .low = {}});
  }
  return all;
}

at::Tensor MelanoDdganGenerator::generate(const tensor::Inputs& inputs) {
  return levels(inputs).back().image.clamp(-1, 1);
}

namespace {

class MelanoDdgan : public recipe::LatentRecipe {
 public:
  void bind(Options& o) override {
    recipe::LatentRecipe::bind(o);
    o.add("levels", levels_, "sizes that discriminators see, the full one and halves of it");
    o.add("upsample", upsample_, "resize (fixed doubling) or deconv (learnt)");
  }

  void validate(const recipe::ImageSpec& spec) const override {
    recipe::LatentRecipe::validate(spec);
    if (levels_ < 2 || levels_ > 7 || (spec.size_px >> (levels_ - 1)) < 8)
      throw UsageError("levels = {}, expected 2 to 7 and a smallest picture of at least 8 px; of {} px images it is {}",
                       levels_, spec.size_px, levels_ < 1 || levels_ > 20 ? 0 : spec.size_px >> (levels_ - 1));
    if (upsample_ != "resize" && upsample_ != "deconv")
      throw UsageError("upsample = \"{}\", expected resize or deconv", upsample_);
  }

  std::string hint() const override {
    return fmt::format("melano-ddgan(width={}, levels={}, upsample={})", common_.width, levels_, upsample_);
  }

 protected:
  int64_t levels() const override { return levels_; }
  std::shared_ptr<recipe::LevelGenerator> make_generator(const recipe::ImageSpec& spec) const override {
    return std::make_shared<MelanoDdganGenerator>(common_, levels_, upsample_, spec.size_px, classes(spec));
  }

 private:
  int64_t levels_ = 4;
  std::string upsample_ = "resize";
};

}  // namespace

void register_melano_ddgan(recipe::Catalogue& catalogue) {
  catalogue.add("melano-ddgan", "MelanoGANs' DDGAN: one noise, discriminators at every level (Baur et al. 2018)",
                [] { return std::make_unique<MelanoDdgan>(); });
}

}  // namespace derm::models
