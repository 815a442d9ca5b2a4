#include "derm/evaluation/control.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/system.h"
#include "derm/data/semantic_map.h"
#include "derm/image/colour.h"
#include "derm/image/mask.h"
#include "derm/skin/lesion.h"
#include "derm/skin/skin_colour.h"

namespace derm::evaluation {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kChunk = 256;    // images in memory at a time
constexpr int kResamples = 1000;  // of the bootstrap

double quantile(std::vector<double> values, double q) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return kNaN;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const size_t i = static_cast<size_t>(at);
  const double next = values[std::min(i + 1, values.size() - 1)];
  return values[i] + (at - static_cast<double>(i)) * (next - values[i]);
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

/// Ranks from 1, ties share their mean.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && values[order[j]] == values[order[i]]) ++j;
    for (size_t k = i; k < j; ++k) result[order[k]] = (static_cast<double>(i + j) + 1) / 2;
    i = j;
  }
  return result;
}

std::vector<double> column(const std::vector<ControlSample>& samples, double ControlSample::*field) {
  std::vector<double> values;
  for (const ControlSample& s : samples) values.push_back(s.*field);
  return values;
}

Interval bootstrap(size_t count, uint64_t seed, const char* figure,
                   const std::function<double(const std::vector<size_t>&)>& of) {
  if (count < 3) return {kNaN, kNaN};
  Rng rng(mix_seed(seed, hash_text(figure)));
  std::vector<double> values;
  std::vector<size_t> rows(count);
  for (int i = 0; i < kResamples; ++i) {
    for (size_t& row : rows) row = static_cast<size_t>(rng.integer(0, static_cast<int64_t>(count) - 1));
    values.push_back(of(rows));
  }
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

std::vector<double> taken(const std::vector<double>& values, const std::vector<size_t>& rows) {
  std::vector<double> result;
  result.reserve(rows.size());
  for (const size_t row : rows) result.push_back(values[row]);
  return result;
}

struct Point {
  double x = 0, y = 0;
};

/// Centre of mass over the image's side.
Point centre_of(const image::Mask& mask) {
  double x = 0, y = 0, n = 0;
  for (int row = 0; row < mask.height; ++row) {
    for (int col = 0; col < mask.width; ++col) {
      if (*mask.at(col, row) < 128) continue;
      x += col + 0.5, y += row + 0.5, n += 1;
    }
  }
  return {x / n / mask.width, y / n / mask.height};
}

/// Median of each of R, G and B inside the mask, as Lab.
image::Lab median_colour(const image::Image& rgb, const image::Mask& mask) {
  std::array<std::array<size_t, 256>, 3> counts{};
  size_t n = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    if (mask.pixels[i] < 128) continue;
    for (size_t c = 0; c < 3; ++c) ++counts[c][rgb.pixels[i * 3 + c]];
    ++n;
  }
  std::array<uint8_t, 3> middle{};
  for (size_t c = 0; c < 3; ++c) {
    size_t below = 0;
    for (size_t v = 0; v < 256; ++v) {
      below += counts[c][v];
      if (2 * below >= n) {
        middle[c] = static_cast<uint8_t>(v);
        break;
      }
    }
  }
  return image::lab_of({middle[0], middle[1], middle[2]});
}

std::vector<ControlGroup> groups(const std::vector<ControlSample>& samples, const std::vector<std::string>& order,
                                 const std::function<std::string(const ControlSample&)>& name_of) {
  std::map<std::string, std::vector<ControlSample>> parts;
  for (const ControlSample& s : samples) parts[name_of(s)].push_back(s);
  std::vector<ControlGroup> result;
  const auto add = [&](const std::string& name) {
    const auto found = parts.find(name);
    if (found == parts.end()) return;
    ControlGroup group{.name = name, .count = found->second.size()};
    group.skin_error_median = median(column(found->second, &ControlSample::skin_error));
    std::vector<double> ita;
    for (const ControlSample& s : found->second) ita.push_back(std::abs(s.ita_asked - s.ita_measured));
    group.ita_error_median = median(ita);
    group.region_iou_median = median(column(found->second, &ControlSample::region_iou));
    result.push_back(group);
    parts.erase(found);
  };
  for (const std::string& name : order) add(name);
  while (!parts.empty()) add(std::string(parts.begin()->first));
  return result;
}

nlohmann::json json_of(const std::vector<ControlGroup>& list) {
  nlohmann::json json = nlohmann::json::array();
  for (const ControlGroup& g : list) {
    json.push_back({{"name", g.name},
                    {"count", g.count},
                    {"skin_error_median", g.skin_error_median},
                    {"ita_error_median", g.ita_error_median},
                    {"region_iou_median", g.region_iou_median}});
  }
  return json;
}

nlohmann::json json_of(const Interval& interval) { return nlohmann::json::array({interval.low, interval.high}); }

}  // namespace

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size())
    throw UsageError("spearman: {} and {} values were given, as many of both are needed", a.size(), b.size());
  if (a.size() < 3) return kNaN;
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = (static_cast<double>(a.size()) + 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : kNaN;  // all equal: no order
}

ControlSample measure_sample(const data::Request& request, const image::Image& image) {
  ControlSample sample;
  sample.request = request;
  const image::Mask asked = data::region_mask(request, image.width);
  const skin::Artefacts artefacts = skin::find_artefacts(image);
  sample.skin = skin::measure_skin(image, asked, artefacts).lab;
  sample.ita_asked = image::ita_degrees(request.skin);
  sample.ita_measured = image::ita_degrees(sample.skin);
  sample.skin_error = image::ciede2000(request.skin, sample.skin);
  const skin::Lesion found = skin::find_lesion(image, artefacts);
  const double pixels = static_cast<double>(image.width) * image.height;
  sample.found_quality = found.quality;
  sample.area_asked = static_cast<double>(image::mask_area(asked)) / pixels;
  sample.area_found = static_cast<double>(image::mask_area(found.mask)) / pixels;
  sample.lesion_contrast = image::ciede2000(median_colour(image, asked), sample.skin);
  if (sample.area_found > 0 && sample.area_asked > 0) {
    sample.region_iou = image::mask_iou(asked, found.mask);
    const Point a = centre_of(asked), f = centre_of(found.mask);
    sample.centre_error = std::hypot(a.x - f.x, a.y - f.y);
  } else {
    sample.centre_error = kNaN;
  }
  return sample;
}

ControlResult summarise(std::vector<ControlSample> samples, uint64_t seed) {
  ControlResult r;
  r.seed = seed;
  r.samples = std::move(samples);
  const auto get = [&](double ControlSample::*field) { return column(r.samples, field); };
  const std::vector<double> error = get(&ControlSample::skin_error), asked = get(&ControlSample::ita_asked),
                            measured = get(&ControlSample::ita_measured), iou = get(&ControlSample::region_iou),
                            area_asked = get(&ControlSample::area_asked), area_found = get(&ControlSample::area_found);
  std::vector<double> ita_error;
  for (size_t i = 0; i < asked.size(); ++i) ita_error.push_back(std::abs(asked[i] - measured[i]));
  r.skin_error_median = median(error);
  r.skin_error_p95 = quantile(error, 0.95);
  r.ita_rank_correlation = spearman(asked, measured);
  r.ita_error_median = median(ita_error);
  r.region_iou_median = median(iou);
  r.area_rank_correlation = spearman(area_asked, area_found);
  r.centre_error_median = median(get(&ControlSample::centre_error));
  for (const ControlSample& s : r.samples) r.nothing_found += s.area_found == 0;
  const size_t n = r.samples.size();
  r.skin_error_interval = bootstrap(n, seed, "skin", [&](const auto& rows) { return median(taken(error, rows)); });
  r.region_iou_interval = bootstrap(n, seed, "region", [&](const auto& rows) { return median(taken(iou, rows)); });
  r.ita_rank_interval =
      bootstrap(n, seed, "ita", [&](const auto& rows) { return spearman(taken(asked, rows), taken(measured, rows)); });
  r.area_rank_interval = bootstrap(
      n, seed, "area", [&](const auto& rows) { return spearman(taken(area_asked, rows), taken(area_found, rows)); });
  r.by_condition = groups(r.samples, {}, [](const ControlSample& s) { return s.request.condition(); });
  const auto& tones = image::tone_names();
  r.by_tone = groups(r.samples, {tones.begin(), tones.end()},
                     [](const ControlSample& s) { return image::tone_of(s.ita_asked); });
  return r;
}

ControlResult measure_control(generation::Engine& engine, size_t count, uint64_t seed) {
  if (count == 0) throw UsageError("control: 0 images were asked for, at least 1 is needed (200 give steady figures)");
  const std::vector<data::Request> requests =
      data::balanced_requests(count, {"condition", "tone", "size"}, engine.offer(), seed);
  std::vector<ControlSample> samples(requests.size());
  Progress progress("control", static_cast<double>(requests.size()), "images");
  for (size_t start = 0; start < requests.size(); start += kChunk) {
    const std::vector<data::Request> chunk(
        requests.begin() + static_cast<std::ptrdiff_t>(start),
        requests.begin() + static_cast<std::ptrdiff_t>(std::min(start + kChunk, requests.size())));
    std::vector<image::Image> images(chunk.size());
    engine.generate(chunk, [&](size_t i, image::Image image) {
      images[i] = std::move(image);
      progress.update(static_cast<double>(start + i + 1));
    });
    parallel_for(chunk.size(), [&](size_t i) { samples[start + i] = measure_sample(chunk[i], images[i]); });
  }
  progress.finish();
  ControlResult result = summarise(std::move(samples), seed);
  result.recipe = engine.recipe_name();
  result.bundle_sha256 = engine.bundle_sha256();
  result.compute = engine.compute_text();
  return result;
}

nlohmann::json ControlResult::to_json() const {
  return {
      {"count", samples.size()},
      {"seed", seed},
      {"recipe", recipe},
      {"bundle_sha256", bundle_sha256},
      {"compute", compute},
      {"software", "dermgan " + version()},
      {"skin_error_median", skin_error_median},
      {"skin_error_median_interval", json_of(skin_error_interval)},
      {"skin_error_p95", skin_error_p95},
      {"ita_rank_correlation", ita_rank_correlation},
      {"ita_rank_correlation_interval", json_of(ita_rank_interval)},
      {"ita_error_median", ita_error_median},
      {"region_iou_median", region_iou_median},
      {"region_iou_median_interval", json_of(region_iou_interval)},
      {"area_rank_correlation", area_rank_correlation},
      {"area_rank_correlation_interval", json_of(area_rank_interval)},
      {"centre_error_median", centre_error_median},
      {"nothing_found", nothing_found},
      {"by_condition", json_of(by_condition)},
      {"by_tone", json_of(by_tone)},
      {"how_measured",
       {{"requests",
         "drawn at random within what the model has seen, balanced over condition, tone and size; irregular outlines, "
         "none of them a training map"},
        {"skin",
         "robust Lab colour of the pixels outside the asked region, artefacts left out, against the asked colour "
         "(CIEDE2000; ITA in degrees)"},
        {"region",
         "the asked region against the lesion that prepare's finder sees in the image, which is not told where to "
         "look"},
        {"interval", fmt::format("95 %, percentile bootstrap over the images, {} resamples", kResamples)},
        {"rank_correlation", "Spearman, asked against measured"}}},
  };
}

std::string ControlResult::to_csv() const {
  CsvTable table({"index", "condition", "seed", "extrapolated", "skin_asked", "skin_measured", "ita_asked",
                  "ita_measured", "skin_error", "area_asked", "area_found", "region_iou", "centre_error",
                  "found_quality", "lesion_contrast"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(std::round(v * 1e5) / 1e5) : std::string(); };
  for (size_t i = 0; i < samples.size(); ++i) {
    const ControlSample& s = samples[i];
    table.add_row({std::to_string(i), s.request.condition(), std::to_string(s.request.seed),
                   s.request.extrapolated ? "true" : "false", image::hex_of(image::rgb_of(s.request.skin)),
                   image::hex_of(image::rgb_of(s.skin)), text(s.ita_asked), text(s.ita_measured), text(s.skin_error),
                   text(s.area_asked), text(s.area_found), text(s.region_iou), text(s.centre_error),
                   text(s.found_quality), text(s.lesion_contrast)});
  }
  return table.to_string();
}

}  // namespace derm::evaluation
