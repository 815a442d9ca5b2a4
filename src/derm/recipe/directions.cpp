#include "derm/recipe/directions.h"

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/recipe/style.h"
#include "derm/tensor/safetensors.h"

namespace derm::recipe {

Directions read_directions(const std::filesystem::path& file) {
  const tensor::SafeTensors kept = tensor::read_safetensors(file);
  Directions result;
  try {
    result.facts = nlohmann::json::parse(kept.metadata.at("directions"));
    result.vectors = kept.tensors.at("directions");
    result.bundle_sha256 = result.facts.at("bundle_sha256").get<std::string>();
    result.style = result.facts.at("space").get<std::string>() == "w";
    const nlohmann::json &layers = result.facts.at("layers"), &list = result.facts.at("directions");
    result.layers = {layers.at(0).get<int64_t>(), layers.at(1).get<int64_t>()};
    for (const nlohmann::json& one : list) {
      result.named.push_back({one.at("name").get<std::string>(), result.facts.at("range").get<double>()});
      result.deviations.push_back(one.at("deviation").get<double>());
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: it is no file of directions ({}); `dermgan explore directions` writes them", file.string(),
                    error.what());
  } catch (const std::out_of_range&) {
    throw DataError("{}: it is no file of directions; `dermgan explore directions` writes them", file.string());
  }
  const at::Tensor& vectors = result.vectors;
  if (vectors.dim() != 2 || vectors.size(0) != static_cast<int64_t>(result.named.size()) ||
      vectors.scalar_type() != at::kFloat || !at::isfinite(vectors).all().item<bool>())
    throw DataError("{}: it names {} directions and holds a tensor [{}]; find them anew (`explore directions`)",
                    file.string(), result.named.size(), fmt::join(vectors.sizes(), ", "));
  return result;
}

Directions read_directions(const std::filesystem::path& file, const std::string& bundle_sha256) {
  Directions result = read_directions(file);
  if (result.bundle_sha256 != bundle_sha256) {
    throw DataError(
        "{}: its directions are of the weights {}, the model's are {}; find them anew (`explore directions`)",
        file.string(), result.bundle_sha256.substr(0, 12), bundle_sha256.substr(0, 12));
  }
  return result;
}

void check_fit(const Directions& directions, const Generator& generator, const Needs& needs, const std::string& where) {
  const auto* styled = dynamic_cast<const StyleGenerator*>(&generator);
  const int64_t length = needs.map ? 0 : directions.style ? (styled ? styled->style_length() : 0) : needs.latent;
  if (directions.vectors.size(1) != length)
    throw DataError(
        "{}: its directions are vectors of {} in {}, which this model has not; find them anew "
        "(`explore directions`)",
        where, directions.vectors.size(1), directions.style ? "w" : "z");
  const auto [first, last] = directions.layers;
  if (directions.style && (first < 0 || first > last || last >= styled->style_layers()))
    throw DataError(
        "{}: its directions are of the layers {} to {}, the model has 0 to {}; find them anew "
        "(`explore directions`)",
        where, first, last, styled->style_layers() - 1);
}

at::Tensor moved(const at::Tensor& points, const at::Tensor& steps, const std::pair<int64_t, int64_t>& layers) {
  if (points.dim() == 2) return points + steps;
  at::Tensor result = points.clone();
  result.narrow(1, layers.first, layers.second - layers.first + 1) += steps.unsqueeze(1);
  return result;
}

at::Tensor generate_along(Generator& generator, const Directions& directions, const tensor::Inputs& inputs,
                          const std::vector<std::vector<double>>& strengths) {
  const auto count = static_cast<size_t>(directions.vectors.size(0));
  at::Tensor far = at::zeros({static_cast<int64_t>(strengths.size()), directions.vectors.size(0)}, at::kFloat);
  for (size_t i = 0; i < strengths.size(); ++i) {
    if (strengths[i].size() > count)
      throw UsageError("request: it goes along {} directions, but the model has {}", strengths[i].size(), count);
    for (size_t d = 0; d < strengths[i].size(); ++d)
      far[static_cast<int64_t>(i)][static_cast<int64_t>(d)] = strengths[i][d] * directions.deviations[d];
  }
  const at::Tensor steps = far.matmul(directions.vectors).to(inputs.latent.device());  // [N, W]
  if (!directions.style) {
    tensor::Inputs at_place = inputs;
    at_place.latent = moved(inputs.latent.to(at::kFloat), steps, directions.layers).to(inputs.latent.scalar_type());
    return generator.generate(at_place);
  }
  auto& styled = dynamic_cast<StyleGenerator&>(generator);
  const at::Tensor w = styled.truncated(styled.map(inputs.latent, inputs.label), inputs.label);
  return styled.synthesise(moved(w, steps, directions.layers), inputs.latent.scalar_type()).clamp(-1, 1);
}

}  // namespace derm::recipe
