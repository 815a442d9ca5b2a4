#include "derm/serving/replica.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>

#include "derm/base/error.h"
#include "derm/base/system.h"
#include "derm/data/semantic_map.h"
#include "derm/evaluation/control.h"
#include "derm/generation/engine.h"
#include "derm/image/colour.h"
#include "derm/image/mask.h"
#include "derm/skin/artefacts.h"
#include "derm/skin/lesion.h"

namespace derm::serving {
namespace {

class EnginePainter : public Painter {
 public:
  EnginePainter(const generation::EngineOptions& options, const recipe::Catalogue& catalogue)
      : engine_(options, catalogue),
        side_by_side_(engine_.compute_text().starts_with("cpu") ? static_cast<size_t>(options.threads) : 8) {}
  size_t side_by_side() const override { return side_by_side_; }
  void paint(const std::vector<data::Request>& requests,
             const std::function<void(size_t, image::Image)>& ready) override {
    engine_.generate(requests, ready);
  }
  const generation::Engine& engine() const { return engine_; }

 private:
  generation::Engine engine_;
  size_t side_by_side_;
};

/// JSON has no NaN: null stands for "nothing was found".
nlohmann::json number(double v, double digits = 1e4) {
  if (!std::isfinite(v)) return nullptr;
  return std::round(v * digits) / digits;
}

}  // namespace

std::vector<Model> load_models(const ReplicaOptions& options, const recipe::Catalogue& catalogue) {
  if (options.replicas < 1 || options.replicas > 64)
    throw UsageError("--replicas {} is not possible; 1 to 64 is", options.replicas);
  std::vector<Model> models;
  for (const auto& path : options.bundles) {
    Model model;
    const int count = options.replicas * static_cast<int>(options.devices.size());
    const int threads = options.threads > 0 ? options.threads : usable_cpus();
    for (int i = 0; i < count; ++i) {
      generation::EngineOptions engine;
      engine.bundle = path;
      engine.device = options.devices[static_cast<size_t>(i) % options.devices.size()];
      engine.precision = options.precision;
      engine.threads = std::max(1, threads / count + (i < threads % count ? 1 : 0));
      auto painter = std::make_unique<EnginePainter>(engine, catalogue);
      if (i == 0) {
        const generation::Engine& e = painter->engine();
        std::filesystem::path folder = std::filesystem::absolute(path).lexically_normal();
        if (!folder.has_filename()) folder = folder.parent_path();
        model.name = folder.filename().string();
        model.recipe = e.recipe_name();
        model.bundle_sha256 = e.bundle_sha256();
        model.compute = e.compute_text();
        model.size_px = e.size_px();
        model.offer = e.offer();
        model.training = e.training_facts();
        model.canary = data::make_request({}, e.offer());
      }
      model.replicas.push_back(std::move(painter));
    }
    for (const Model& other : models)
      if (other.name == model.name)
        throw UsageError("--bundle {}: another bundle has the folder name {} already; rename one of them",
                         path.string(), model.name);
    models.push_back(std::move(model));
  }
  return models;
}

namespace {

/// The centre of mass of what is asked for, over the side.
std::pair<double, double> asked_centre(const data::Request& request, int side) {
  const image::Mask asked = data::region_mask(request, side);
  double x = 0, y = 0, count = 0;
  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column)
      if (asked.pixels[static_cast<size_t>(row) * static_cast<size_t>(side) + static_cast<size_t>(column)] > 0)
        x += column + 0.5, y += row + 0.5, ++count;
  return {x / count / side, y / count / side};
}

/// The request with the lesion that is found for its region, so that skin is measured around that one where none was
/// asked for.
data::Request as_found(const data::Request& request, const image::Image& image) {
  const image::Mask found = skin::find_lesion(image, skin::find_artefacts(image)).mask;
  if (found.empty() || image::mask_area(found) == 0) return request;
  data::Request changed = request;
  changed.regions.resize(1);
  changed.regions.front().shape = data::Shape::mask;
  changed.regions.front().mask = found;
  return changed;
}

/// What the classifier sees, null where that says nothing about what was asked.
nlohmann::json condition_of(const data::Request& request, const image::Image& image, const evaluation::Judges& judges) {
  const auto position = std::find(judges.conditions.begin(), judges.conditions.end(), request.condition());
  const bool one = std::all_of(request.regions.begin(), request.regions.end(),
                               [&](const data::Region& r) { return r.condition == request.condition(); });
  if (position == judges.conditions.end() || !one) return nullptr;
  const std::vector<double> probabilities = judges.classify({image}).front();
  const auto most = std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin();
  const auto asked = position - judges.conditions.begin();
  return {{"asked", *position},
          {"seen", judges.conditions[static_cast<size_t>(most)]},
          {"probability", number(probabilities[static_cast<size_t>(asked)])}};
}

}  // namespace

Instruments instruments(const evaluation::Judges& judges) {
  Instruments result;
  result.quantities = {"skin", "ita", "region", "area", "centre"};
  if (judges.classify) result.quantities.insert(result.quantities.begin(), "condition");
  // One network, and requests come from several threads.
  auto one_at_a_time = std::make_shared<std::mutex>();
  result.measure = [judges, one_at_a_time](const data::Request& request, const image::Image& image,
                                           const data::Offer& offer) -> nlohmann::json {
    const bool region = offer.heeded("region");
    const evaluation::ControlSample s = evaluation::measure_sample(region ? request : as_found(request, image), image);
    const auto [asked_x, asked_y] = asked_centre(request, image.width);
    nlohmann::json json = {{"skin",
                            {{"asked", image::hex_of(image::rgb_of(request.skin))},
                             {"measured", image::hex_of(image::rgb_of(s.skin))},
                             {"ciede2000", number(s.skin_error, 100)}}},
                           {"ita_deg", {{"asked", number(s.ita_asked, 10)}, {"measured", number(s.ita_measured, 10)}}},
                           {"area", {{"asked", number(s.area_asked)}, {"measured", number(s.area_found)}}},
                           {"centre",
                            {{"asked", {number(asked_x), number(asked_y)}},
                             {"measured", {number(s.found_x), number(s.found_y)}},
                             {"distance", number(s.centre_error)}}},
                           {"region_iou", number(s.region_iou)},
                           {"found", s.area_found > 0},
                           {"quality", number(s.found_quality)},
                           {"contrast_ciede2000", number(s.lesion_contrast, 100)}};
    if (!offer.heeded("skin")) json["skin"]["asked"] = json["skin"]["ciede2000"] = json["ita_deg"]["asked"] = nullptr;
    if (!region) {
      json["area"]["asked"] = json["centre"]["asked"] = json["centre"]["distance"] = nullptr;
      json["region_iou"] = nullptr;
    }
    if (judges.classify) {
      const std::lock_guard lock(*one_at_a_time);
      json["condition"] = condition_of(request, image, judges);
      if (!offer.heeded("condition") && !json["condition"].is_null())
        json["condition"]["asked"] = json["condition"]["probability"] = nullptr;
    }
    return json;
  };
  return result;
}

}  // namespace derm::serving
