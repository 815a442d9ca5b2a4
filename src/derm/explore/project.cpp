#include "derm/explore/project.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/evaluation/statistics.h"
#include "derm/explore/interpolate.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/resize.h"
#include "derm/metrics/lpips.h"
#include "derm/nn/mobilenet.h"
#include "derm/tensor/convert.h"
#include "derm/tensor/safetensors.h"

namespace derm::explore {
namespace {

constexpr double kRise = 0.05, kFall = 0.25;    // parts of the steps
constexpr double kNoise = 0.05, kQuiet = 0.75;  // of styles: in deviations; from when on there is none
constexpr uint64_t kSpreadSeeds = 512;

/// Part of the rate at a part of the way.
double ramp(double t) {
  const double fall = std::min(1.0, (1 - t) / kFall);
  return std::min(1.0, t / kRise) * (0.5 - 0.5 * std::cos(std::numbers::pi * fall));
}

std::vector<uint64_t> seeds_from(uint64_t first, uint64_t count) {
  std::vector<uint64_t> seeds(count);
  std::iota(seeds.begin(), seeds.end(), first);
  return seeds;
}

}  // namespace

Distance lpips_distance(const std::filesystem::path& weights, const at::Tensor& target) {
  const auto lpips = std::make_shared<metrics::Lpips>(weights);
  return {"LPIPS (SqueezeNet, 0.1)", [lpips, target](const at::Tensor& images) {
            return lpips->loss(images.to(at::kCPU), target.to(at::kCPU).expand_as(images));
          }};
}

Distance encoder_distance(const std::filesystem::path& bundle, const recipe::Catalogue& catalogue,
                          const at::Tensor& target) {
  auto loaded =
      std::make_shared<recipe::LoadedJudge>(recipe::load_judge(bundle, recipe::Kind::encoder, catalogue, at::kCPU));
  recipe::Judge& judge = recipe::judge_of(loaded->players);
  for (at::Tensor& p : judge.parameters()) p.set_requires_grad(false);
  const int64_t size = loaded->config.size_px;
  const at::Tensor fixed = target.to(at::kCPU);
  const auto features = [loaded, &judge, size](const at::Tensor& images) {
    return judge.judge(nn::resized(images, size));
  };
  at::Tensor wanted;
  {
    const torch::NoGradGuard no_grad;
    wanted = features(fixed);
  }
  const at::Tensor length = wanted.square().sum().clamp_min(1e-12);
  return {fmt::format("{}, plus pixels", loaded->config.name),
          [features, wanted, length, fixed](const at::Tensor& made) {
            const at::Tensor images = made.to(at::kCPU);
            return (features(images) - wanted).square().sum(1) / length + (images - fixed).abs().mean({1, 2, 3});
          }};
}

Projection project(const Model& model, const Distance& distance, const ProjectOptions& options) {
  if (options.steps < 1) throw UsageError("project: {} steps; at least 1 is needed", options.steps);
  if (!(options.rate > 0) || !std::isfinite(options.rate))
    throw UsageError("project: a rate of {}; it must be above 0", options.rate);
  if (options.starts < 1 || options.starts > 10000)
    throw UsageError("project: {} starts; 1 to 10000 are tried", options.starts);
  if (options.each_layer) model.styles();  // says that it needs them
  const std::string condition = model.condition(options.condition);
  const bool style = model.space() == Space::style;
  Projection result;
  at::Tensor start = model.middle(condition);
  double deviation = 1;
  if (style) {
    const at::Tensor w = model.points(seeds_from(options.seed + 1'000'000, kSpreadSeeds), condition).select(1, 0);
    deviation = w.std(0).mean().item<double>();
  }
  {
    const torch::NoGradGuard no_grad;
    result.start = distance.of(model.render(start, condition)).item<double>();
    std::vector<double> random;
    for (int64_t i = 1; i < options.starts; ++i) {
      throw_if_interrupted();
      const at::Tensor candidate = model.points({options.seed + static_cast<uint64_t>(i)}, condition);
      random.push_back(distance.of(model.render(candidate, condition)).item<double>());
      if (random.back() < result.start) {
        result.start = random.back();
        start = candidate;
      }
    }
    result.random = evaluation::median(random);
  }
  result.start_image = model.images(start, condition).front();
  result.point = start;
  result.end = result.start;

  at::Tensor free = (style && !options.each_layer ? start.narrow(1, 0, 1) : start).clone().set_requires_grad(true);
  const auto point_of = [&](const at::Tensor& v) { return style ? v.expand_as(start) : v; };
  at::Generator random = at::detail::createCPUGenerator(mix_seed(options.seed, hash_text("projection")));
  at::Tensor first = at::zeros_like(free), second = at::zeros_like(free);
  Progress progress("project", static_cast<double>(options.steps), "steps");
  for (int64_t step = 0; step < options.steps; ++step) {
    throw_if_interrupted();
    const double t = (static_cast<double>(step) + 0.5) / static_cast<double>(options.steps);
    at::Tensor tried = free;
    const double quiet = std::max(0.0, 1 - t / kQuiet);
    if (style && quiet > 0)
      tried = free + at::randn(free.sizes(), random).to(free.device()) * (kNoise * deviation * quiet * quiet);
    const at::Tensor loss = distance.of(model.render(point_of(tried), condition)).sum();
    const double found = loss.item<double>();
    if (!std::isfinite(found))
      throw DataError("project: the distance is not finite at step {}; a smaller --rate than {} may help", step + 1,
                      options.rate);
    const at::Tensor gradient = torch::autograd::grad({loss}, {free})[0];
    result.distances.push_back(found);
    const torch::NoGradGuard no_grad;
    if (found < result.end) {
      result.end = found;
      result.point = point_of(tried).detach().clone();
    }
    first = 0.9 * first + 0.1 * gradient;
    second = 0.999 * second + 0.001 * gradient.square();
    const double count = static_cast<double>(step + 1);
    const at::Tensor mean = first / (1 - std::pow(0.9, count)), power = second / (1 - std::pow(0.999, count));
    free.sub_(mean / (power.sqrt() + 1e-8) * (options.rate * deviation * ramp(t)));
    progress.update(count, fmt::format("distance {:.4f}", result.end));
  }
  progress.finish();
  result.image = model.images(result.point, condition).front();
  return result;
}

at::Tensor photograph_tensor(const std::filesystem::path& file, int size_px) {
  const image::Image photograph = image::to_rgb(image::read_image(file));
  const int side = std::min(photograph.width, photograph.height);
  if (side < 16) throw DataError("{}: it is {} px wide, at least 16 are needed", file.string(), side);
  const image::Image square =
      image::crop(photograph, (photograph.width - side) / 2, (photograph.height - side) / 2, side, side);
  return tensor::tensor_of(side == size_px ? square : image::resize(square, size_px, size_px)).unsqueeze(0);
}

Projection write_projection(const Model& model, const std::filesystem::path& photograph, const Distance& distance,
                            const ProjectOptions& options, const std::string& command,
                            const std::filesystem::path& out) {
  NewDirectory directory(out);
  const std::filesystem::path& root = directory.path();
  const image::Image target = tensor::images_of(photograph_tensor(photograph, model.size_px())).front();
  const Projection p = project(model, distance, options);
  image::write_png(root / "projected.png", p.image, marks_of(model));
  image::Grid grid;
  grid.rows = {{target, p.start_image, p.image}};
  grid.column_labels = {"photograph", "start", "projection"};
  image::write_png(root / "side-by-side.png", image::draw_grid(grid));
  tensor::write_safetensors(root / "point.safetensors", {{"point", p.point.to(at::kCPU).contiguous()}},
                            {{"space", model.space_name()}, {"bundle_sha256", model.sha256()}});
  nlohmann::json json = {
      {"photograph", photograph.string()},
      {"bundle_sha256", model.sha256()},
      {"recipe", model.recipe_name()},
      {"space", model.space_name()},
      {"each_layer", options.each_layer},
      {"condition", model.condition(options.condition)},
      {"distance", distance.name},
      {"steps", options.steps},
      {"rate", options.rate},
      {"starts", options.starts},
      {"seed", options.seed},
      {"distance_random_median", std::isfinite(p.random) ? nlohmann::json(p.random) : nlohmann::json()},
      {"distance_start", p.start},
      {"distance_end", p.end},
      {"distances", p.distances},
      {"software", "dermgan " + version()}};
  if (!command.empty()) json["command"] = command;
  write_file(root / "projection.json", json.dump(2) + "\n");
  directory.commit();
  return p;
}

}  // namespace derm::explore
