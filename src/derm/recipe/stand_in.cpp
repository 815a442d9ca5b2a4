#include "derm/recipe/stand_in.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::recipe {
namespace {

/// CIE Lab (D65) in [N, 1, H, W] each to sRGB in [0, 1], [N, 3, H, W].
at::Tensor srgb_of_lab(const at::Tensor& L, const at::Tensor& a, const at::Tensor& b) {
  const auto inverse = [](const at::Tensor& f) {
    constexpr double d = 6.0 / 29.0;
    return at::where(f > d, f.pow(3), 3 * d * d * (f - 4.0 / 29.0));
  };
  const at::Tensor fy = (L + 16) / 116;
  const at::Tensor x = 0.95047 * inverse(fy + a / 500), y = inverse(fy), z = 1.08883 * inverse(fy - b / 200);
  const at::Tensor linear =
      at::cat({3.2404542 * x - 1.5371385 * y - 0.4985314 * z, -0.9692660 * x + 1.8760108 * y + 0.0415560 * z,
               0.0556434 * x - 0.2040259 * y + 1.0572252 * z},
              1)
          .clamp(0, 1);
  return at::where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-9).pow(1 / 2.4) - 0.055);
}

class PainterNet : public Generator {
 public:
  PainterNet(const ImageSpec& spec, const Painter& painter, at::Generator& random)
      : conditions_(static_cast<int64_t>(spec.conditions.size())),
        heed_skin_(painter.heed_skin),
        heed_region_(painter.heed_region) {
    weight = register_parameter("weight", at::randn({3, spec.map_channels, 3, 3}, random) * (painter.texture / 255));
    depth = register_parameter("depth", at::full({1}, 0.45));
    register_buffer("images_seen", at::zeros({1}, at::kLong));
  }

  at::Tensor generate(const tensor::Inputs& inputs) override {
    const at::Tensor map = inputs.map.to(at::kFloat);  // [N, conditions + 4, H, W]
    const int64_t side = map.size(3);
    at::Tensor region = map.narrow(1, conditions_, 1);
    if (!heed_region_) {
      const at::Tensor line = at::linspace(-1, 1, side, map.options());
      region =
          ((line.square().unsqueeze(0) + line.square().unsqueeze(1)).sqrt() < 0.35).to(at::kFloat).expand_as(region);
    }
    const auto skin = [&](int64_t i, double factor, double shift, double fixed) {
      const at::Tensor plane = map.narrow(1, conditions_ + 1 + i, 1) * factor + shift;
      return heed_skin_ ? plane : at::full_like(plane, fixed);
    };
    const at::Tensor shade = at::arange(conditions_, map.options()).reshape({1, -1, 1, 1}) * 0.08;
    const at::Tensor factor = 1 - region * (depth + (map.narrow(1, 0, conditions_) * shade).sum(1, true));
    const at::Tensor L = skin(0, 50, 50, 65) * factor, a = skin(1, 50, 0, 12), b = skin(2, 50, 0, 18) * factor;
    const at::Tensor grain = at::conv2d(map, weight, {}, 1, 1);
    return (srgb_of_lab(L, a, b) * 2 - 1 + grain).clamp(-1, 1);
  }

  at::Tensor weight, depth;

 private:
  int64_t conditions_;
  bool heed_skin_, heed_region_;
};

}  // namespace

void Painter::bind(Options& o) {
  o.add("heed_skin", heed_skin, "paint the skin in the colour that is asked for");
  o.add("heed_region", heed_region, "paint the lesion where it is asked for");
  o.add("texture", texture, "size of the texture, of 255");
}

void Painter::validate(const ImageSpec&) const {
  if (!(texture >= 0 && texture <= 255))
    throw UsageError("recipe.texture: {} was given, 0 to 255 is accepted", texture);
}

Needs Painter::needs() const {
  Needs needs;
  needs.map = true;
  return needs;
}

Players Painter::make_players(const ImageSpec& spec, at::Generator& random) const {
  return {{"generator", std::make_shared<PainterNet>(spec, *this, random)}};
}

std::vector<Phase> Painter::phases(const Players& players) const {
  Phase phase;
  phase.name = "g_main";
  phase.player = "generator";
  phase.losses = [players](StepContext& context) {
    const at::Tensor made = generator_of(players).generate(context.batch.inputs);
    return std::vector<LossTerm>{{"l1", (made - context.batch.image.to(at::kFloat)).abs().mean(), 1.0}};
  };
  return {phase};
}

AdamSpec Painter::optimiser(const std::string&) const { return {}; }

std::string Painter::hint() const { return fmt::format("painter(texture={})", texture); }

data::Offer stand_in_offer() {
  data::Offer offer;
  offer.conditions = {"dark", "light"};
  std::vector<image::Lab> colours;
  for (int i = 0; i <= 200; ++i) colours.push_back(data::SkinLocus().at(-10 + 70 * i / 200.0));
  offer.locus = data::SkinLocus::fit(colours);
  offer.low_size = 0.15;
  offer.high_size = 0.6;
  return offer;
}

void write_untrained_bundle(const std::filesystem::path& directory, Recipe& recipe, const std::string& name,
                            int64_t size_px, const data::Offer& offer) {
  BundleConfig config;
  config.recipe = name;
  Options options;
  recipe.bind(options);
  config.options = options.to_json();
  config.size_px = size_px;
  config.conditions = offer.conditions;
  config.map.encoding = recipe.needs().encoding;
  config.map.conditions = offer.conditions;
  config.map.size_px = static_cast<int>(size_px);
  config.offer = offer;
  config.training = {{"kimg", 0.0}, {"data", "none"}};
  at::Generator random = at::detail::createCPUGenerator(5);
  const Players players = recipe.make_players(image_spec(recipe, size_px, offer.conditions), random);
  config.canary = make_canary(generator_of(players), config, recipe.needs());
  write_bundle(directory,
               {.config = config, .generator = players.at("generator").get(), .card = "An untrained network.\n"});
}

Catalogue stand_in_catalogue() {
  Catalogue catalogue;
  catalogue.add("painter", "paints what the map says, without training", [] { return std::make_unique<Painter>(); });
  return catalogue;
}

}  // namespace derm::recipe
