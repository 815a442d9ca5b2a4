#include "derm/models/melano_dcgan/melano_dcgan.h"

#include <torch/torch.h>

namespace derm::models {

MelanoDcganGenerator::MelanoDcganGenerator(const recipe::LatentOptions& options, int64_t size_px, int64_t classes)
    : classes_(classes) {
  trunk_ = register_module("trunk", nn::DcganTrunk(nn::DcganTrunkOptions{.in = options.latent + classes,
                                                                         .size_px = size_px,
                                                                         .until_px = size_px / 2,
                                                                         .width = options.width,
                                                                         .norm = options.norm}));
  to_rgb_ = register_module("to_rgb", nn::Up(options.width, 3, "deconv", true));
}

at::Tensor MelanoDcganGenerator::generate(const tensor::Inputs& inputs) {
  const at::Tensor features = trunk_(recipe::told(inputs.latent, inputs.label, classes_));  // [N, width, S/2, S/2]
  return at::tanh(to_rgb_(features).to(at::kFloat));                                        // [N, 3, S, S]
}

std::vector<nn::Level> MelanoDcganGenerator::levels(const tensor::Inputs& inputs) {
  return {{.image = generate(inputs), .low = {}}};
}

namespace {

class MelanoDcgan : public recipe::LatentRecipe {
 public:
  std::string hint() const override { return fmt::format("melano-dcgan(width={})", common_.width); }

 protected:
  std::shared_ptr<recipe::LevelGenerator> make_generator(const recipe::ImageSpec& spec) const override {
    return std::make_shared<MelanoDcganGenerator>(common_, spec.size_px, classes(spec));
  }
};

}  // namespace

void register_melano_dcgan(recipe::Catalogue& catalogue) {
  catalogue.add("melano-dcgan", "MelanoGANs' DCGAN: full resolution straight from noise (Baur et al. 2018)",
                [] { return std::make_unique<MelanoDcgan>(); });
}

}  // namespace derm::models
