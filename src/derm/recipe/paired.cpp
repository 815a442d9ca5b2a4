#include "derm/recipe/paired.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/losses/gan.h"

namespace derm::recipe {

UNetGenerator::UNetGenerator(nn::UNetOptions options, int64_t noise_planes, bool inject) : noise_planes_(noise_planes) {
  options.in_channels += noise_planes;
  if (inject) options.noise_planes = noise_planes;
  unet_ = register_module("unet", nn::UNet(options));
}

at::Tensor UNetGenerator::generate(const tensor::Inputs& inputs) {
  if (noise_planes_ == 0) return unet_(inputs.map);
  const auto format = inputs.map.suggest_memory_format();
  return unet_(at::cat({inputs.map, inputs.latent.to(inputs.map.scalar_type())}, 1).contiguous(format));
}

at::Tensor fake_of(StepContext& context, const Players& players) {
  return context.memo.get("fake", [&] { return generator_of(players).generate(context.batch.inputs); });
}

nn::PatchOutput judge(const Players& players, const at::Tensor& map, const at::Tensor& image,
                      const nn::AugmentationDraw& changes) {
  const nn::AugmentationImpl& augment = nn::augmentation_of(*players.at("discriminator"));
  auto& net = dynamic_cast<nn::PatchDiscriminatorImpl&>(*players.at("discriminator"));
  const auto format = map.suggest_memory_format();
  const at::Tensor seen = augment.apply(image, changes).to(map.scalar_type());
  return net.forward(at::cat({augment.apply_to_map(map, changes), seen}, 1).contiguous(format));
}

nn::AugmentationDraw draw_changes(StepContext& context, const Players& players, const at::Tensor& images) {
  return nn::augmentation_of(*players.at("discriminator")).draw(images, context.random);
}

std::vector<LossTerm> discriminator_bce(StepContext& context, const Players& players) {
  const at::Tensor& map = context.batch.inputs.map;
  const auto answer = [&](const at::Tensor& images) {
    return judge(players, map, images, draw_changes(context, players, images)).logits;
  };
  const at::Tensor real = answer(context.batch.image), fake = answer(fake_of(context, players).detach());
  std::vector<LossTerm> terms = {{"real", losses::bce_real(real), 0.5}, {"fake", losses::bce_fake(fake), 0.5}};
  nn::AugmentationImpl& augment = nn::augmentation_of(*players.at("discriminator"));
  augment.update(real);
  if (augment.adapts()) terms.push_back({"augmentation", augment.probability(), 0.0});  // for the log
  return terms;
}

int64_t resolve_levels(int64_t levels, int64_t size_px) {
  int64_t most = 0;
  while ((int64_t{2} << most) <= size_px) ++most;
  if (levels == 0) return std::min<int64_t>(most, 8);
  if (levels < 2 || levels > most)
    throw UsageError("levels = {}, expected 2 to {} for {} px images, or 0 for as many as fit", levels, most, size_px);
  return levels;
}

}  // namespace derm::recipe
