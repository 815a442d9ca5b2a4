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

Judge& judge_of(const Players& players) {
  const auto found = players.find("judge");
  auto* judge = found == players.end() ? nullptr : dynamic_cast<Judge*>(found->second.get());
  TORCH_INTERNAL_ASSERT(judge, "a judge recipe's players hold a Judge named \"judge\"");
  return *judge;
}

namespace {

constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::generator, "generator"},
                                                   {Kind::segmenter, "segmenter"},
                                                   {Kind::classifier, "classifier"},
                                                   {Kind::encoder, "encoder"}};

}  // namespace

std::string kind_name(Kind kind) {
  for (const auto& [value, name] : kKinds)
    if (value == kind) return name;
  TORCH_INTERNAL_ASSERT(false, "a kind without a name");
}

Kind kind_from_name(const std::string& name) {
  for (const auto& [value, known] : kKinds)
    if (name == known) return value;
  throw UsageError("kind is \"{}\", expected generator, segmenter, classifier or encoder", name);
}

std::string kept_player(Kind kind) { return is_judge(kind) ? "judge" : "generator"; }

at::Tensor StepMemo::get(const std::string& name, const std::function<at::Tensor()>& make) {
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second;
  at::Tensor value = make();
  values_.emplace(name, value);
  return value;
}

double Recipe::lr_factor(double) const { return 1.0; }

std::vector<Figure> Recipe::figures(Judge&, const std::vector<tensor::Batch>&, const tensor::ComputePolicy&) const {
  TORCH_INTERNAL_ASSERT(false, "a judge's recipe gives its figures, and a generator's is not asked for any");
}

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
