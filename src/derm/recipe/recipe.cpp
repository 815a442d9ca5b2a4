#include "derm/recipe/recipe.h"

#include <algorithm>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"

namespace derm::recipe {

Generator& generator_of(const Players& players) {
  const auto found = players.find("generator");
  auto* generator = found == players.end() ? nullptr : dynamic_cast<Generator*>(found->second.get());
  TORCH_INTERNAL_ASSERT(generator, "a recipe's players hold a Generator named \"generator\"");
  return *generator;
}

at::Tensor StepMemo::get(const std::string& name, const std::function<at::Tensor()>& make) {
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second;
  at::Tensor value = make();
  values_.emplace(name, value);
  return value;
}

double Recipe::lr_factor(double) const { return 1.0; }

void Catalogue::add(const std::string& name, const std::string& summary, Factory factory) {
  entries_.push_back({name, summary, std::move(factory)});
}

std::unique_ptr<Recipe> Catalogue::make(const std::string& name) const {
  for (const auto& entry : entries_)
    if (entry.name == name) return entry.factory();
  throw UsageError("there is no recipe \"{}\"{}", name, did_you_mean(name, names()));
}

std::vector<std::string> Catalogue::names() const {
  std::vector<std::string> result;
  for (const auto& entry : entries_) result.push_back(entry.name);
  std::sort(result.begin(), result.end());
  return result;
}

const std::string& Catalogue::summary(const std::string& name) const {
  for (const auto& entry : entries_)
    if (entry.name == name) return entry.summary;
  throw UsageError("there is no recipe \"{}\"{}", name, did_you_mean(name, names()));
}

at::Tensor latent_of_seed(const Needs& needs, int64_t size_px, uint64_t seed) {
  if (needs.latent == 0 && needs.noise_planes == 0) return {};
  const at::Tensor latent = needs.noise_planes > 0 ? torch::empty({1, needs.noise_planes, size_px, size_px})
                                                   : torch::empty({1, needs.latent});
  Rng random(mix_seed(seed, hash_text("latent")));
  float* values = latent.data_ptr<float>();
  for (int64_t i = 0; i < latent.numel(); ++i) values[i] = static_cast<float>(random.normal());
  return latent;
}

ImageSpec image_spec(const Recipe& recipe, int64_t size_px, const std::vector<std::string>& conditions) {
  ImageSpec spec{.size_px = size_px, .conditions = conditions};
  const Needs needs = recipe.needs();
  if (needs.map) spec.map_channels = data::MapSpec{.encoding = needs.encoding, .conditions = conditions}.channels();
  return spec;
}

}  // namespace derm::recipe
