#include "derm/explore/interpolate.h"

#include <algorithm>
#include <set>

#include <torch/torch.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/data/plan.h"
#include "derm/image/apng.h"
#include "derm/tensor/convert.h"

namespace derm::explore {
namespace {

constexpr int kMostFrames = 5000;

void check_frames(int64_t frames) {
  if (frames < 2 || frames > kMostFrames)
    throw UsageError("interpolate: {} frames were asked for, 2 to {} are made", frames, kMostFrames);
}

}  // namespace

std::vector<image::Image> walk(const Model& model, const PathOptions& options) {
  const size_t stops = options.seeds.size();
  if (stops < 2) throw UsageError("interpolate: {} seeds were given; a way has two stops or more", stops);
  if (options.frames < 1) throw UsageError("interpolate: --frames {}; at least 1 is needed", options.frames);
  const size_t legs = options.loop ? stops : stops - 1;
  check_frames(static_cast<int64_t>(legs) * options.frames + 1);
  if (options.conditions.size() > 1 && options.conditions.size() != stops)
    throw UsageError("interpolate: {} conditions were given for {} stops; give one, or one a stop",
                     options.conditions.size(), stops);
  std::vector<std::string> conditions;
  for (size_t i = 0; i < stops; ++i) {
    conditions.push_back(model.condition(options.conditions.empty()       ? ""
                                         : options.conditions.size() == 1 ? options.conditions.front()
                                                                          : options.conditions[i]));
    if (conditions.back() != conditions.front() && model.space() != Space::style) {
      throw UsageError("interpolate: {} mixes no conditions: its class is given beside the latent; give one condition",
                       model.recipe_name());
    }
  }
  if (options.psi != 1) model.styles();  // says that truncation needs them
  std::vector<at::Tensor> points;
  for (size_t i = 0; i < stops; ++i) {
    at::Tensor point = model.points({options.seeds[i]}, conditions[i]);
    if (options.psi != 1) point = model.middle(conditions[i]) + options.psi * (point - model.middle(conditions[i]));
    points.push_back(point);
  }
  std::vector<image::Image> images;
  Progress progress("interpolate", static_cast<double>(legs * static_cast<size_t>(options.frames)), "frames");
  for (size_t leg = 0; leg < legs; ++leg) {
    const at::Tensor &from = points[leg], &to = points[(leg + 1) % stops];
    for (int f = 0; f < options.frames; ++f) {
      const at::Tensor point = model.between(from, to, static_cast<double>(f) / options.frames);
      images.push_back(model.images(point, conditions[leg]).front());
      progress.update(static_cast<double>(images.size()));
    }
  }
  if (!options.loop) images.push_back(model.images(points.back(), conditions.back()).front());
  progress.finish();
  return images;
}

data::Request request_between(const data::Request& a, const data::Request& b, double t) {
  if (a.regions.size() != b.regions.size())
    throw UsageError("interpolate: one request has {} regions, the other {}; give both as many", a.regions.size(),
                     b.regions.size());
  const auto mix = [&](double x, double y) { return x + t * (y - x); };
  data::Request result = a;
  for (size_t i = 0; i < a.regions.size(); ++i) {
    data::Region& region = result.regions[i];
    const data::Region& other = b.regions[i];
    if (region.shape != other.shape || region.shape == data::Shape::mask)
      throw UsageError(
          "interpolate: a region of the shape {} does not go over into one of the shape {}; give both as box, ellipse "
          "or blob",
          data::shape_name(region.shape), data::shape_name(other.shape));
    region.x = mix(region.x, other.x);
    region.y = mix(region.y, other.y);
    region.w = mix(region.w, other.w);
    region.h = mix(region.h, other.h);
  }
  result.skin = {mix(a.skin.L, b.skin.L), mix(a.skin.a, b.skin.a), mix(a.skin.b, b.skin.b)};
  result.skin_text.clear();
  return result;
}

std::vector<image::Image> images_between(const Model& model, const data::Request& a, const data::Request& b, int frames,
                                         bool loop) {
  if (!model.needs().map) {
    throw UsageError("{}: {} takes no requests but seeds; go from seed to seed (--seeds 1,2,3)",
                     model.bundle().string(), model.recipe_name());
  }
  check_frames(frames);
  for (const data::Request* end : {&a, &b}) data::validate(*end, model.map().conditions);
  bool mixed = false;
  for (size_t i = 0; i < std::min(a.regions.size(), b.regions.size()); ++i)
    mixed = mixed || a.regions[i].condition != b.regions[i].condition;
  if (mixed && model.map().encoding != data::Encoding::planes) {
    throw UsageError(
        "interpolate: {} tells conditions by the colour of the region, and a colour between two may be a third "
        "condition's; keep the condition",
        model.recipe_name());
  }
  const torch::NoGradGuard no_grad;
  std::vector<image::Image> images;
  Progress progress("interpolate", frames, "frames");
  for (int f = 0; f < frames; ++f) {
    throw_if_interrupted();
    const double t = static_cast<double>(f) / (frames - 1);
    data::Request request = request_between(a, b, t);
    tensor::Inputs inputs = recipe::inputs_of(request, model.map(), model.needs());
    if (mixed) {
      for (size_t i = 0; i < request.regions.size(); ++i) request.regions[i].condition = b.regions[i].condition;
      const at::Tensor other = recipe::inputs_of(request, model.map(), model.needs()).map;
      inputs.map = inputs.map + t * (other - inputs.map);
    }
    if (inputs.latent.defined()) {
      const auto noise = [&](uint64_t seed) { return recipe::latent_of_seed(model.needs(), model.size_px(), seed); };
      inputs.latent = slerp(noise(a.seed), noise(b.seed), t);
    }
    const at::Tensor made = model.generator().generate(recipe::on_device(inputs, model.policy()));
    images.push_back(tensor::images_of(made.to(at::kCPU, at::kFloat)).front());
    progress.update(f + 1);
  }
  progress.finish();
  if (loop) {
    for (int f = frames - 2; f > 0; --f) images.push_back(images[static_cast<size_t>(f)]);
  }
  return images;
}

data::Request request_of_text(const std::string& text, const data::Offer& offer) {
  static const std::vector<std::string> known = {"condition", "skin", "size", "x", "y", "aspect", "shape", "seed"};
  data::Wish wish;
  std::set<std::string> given;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    const size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (equals == std::string::npos || std::find(known.begin(), known.end(), key) == known.end())
      throw UsageError("request: \"{}\" is not known{}", key, did_you_mean(key, known));
    if (!given.insert(key).second) throw UsageError("request: {} is given twice; give it once", key);
    wish = data::with_value(wish, key, part.substr(equals + 1));
  }
  return data::make_request(wish, offer);
}

image::TextChunks marks_of(const Model& model) {
  return {{"image_manipulation", "synthetic"},
          {"recipe", model.recipe_name()},
          {"bundle_sha256", model.sha256()},
          {"Software", "dermgan " + version()}};
}

void write_frames(const std::filesystem::path& root, const std::vector<image::Image>& frames, int delay_ms,
                  const image::TextChunks& facts) {
  const std::string animation = image::encode_apng(frames, delay_ms, facts);
  std::filesystem::create_directories(root / "frames");
  for (size_t i = 0; i < frames.size(); ++i)
    image::write_png(root / "frames" / fmt::format("{:06d}.png", i), frames[i], facts);
  write_file(root / "animation.png", animation);
}

}  // namespace derm::explore
