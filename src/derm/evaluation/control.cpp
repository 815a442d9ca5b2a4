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
constexpr size_t kStreamed = 32;  // and those that judges get at a time, of a set that is read

std::vector<double> column(const std::vector<ControlSample>& samples, double ControlSample::*field) {
  std::vector<double> values;
  for (const ControlSample& s : samples) values.push_back(s.*field);
  return values;
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
    std::vector<double> judged, right;
    for (const ControlSample& s : found->second) {
      if (s.judged) judged.push_back(s.judged->iou);
      if (!s.condition_seen.empty()) right.push_back(s.condition_seen == s.request.condition() ? 1 : 0);
    }
    group.judged_iou_median = median(judged);
    group.condition_accuracy = mean(right);
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
                    {"region_iou_median", g.region_iou_median},
                    {"segmenter_iou_median", g.judged_iou_median},
                    {"condition_accuracy", g.condition_accuracy}});
  }
  return json;
}

nlohmann::json json_of(const Interval& interval) { return nlohmann::json::array({interval.low, interval.high}); }

/// What a mask shows against the asked region.
Seen seen_of(const image::Mask& mask, const image::Mask& asked) {
  Seen seen;
  seen.area = static_cast<double>(image::mask_area(mask)) / (static_cast<double>(mask.width) * mask.height);
  if (seen.area > 0 && image::mask_area(asked) > 0) {
    seen.iou = image::mask_iou(asked, mask);
    const Point a = centre_of(asked), f = centre_of(mask);
    seen.x = f.x;
    seen.y = f.y;
    seen.centre_error = std::hypot(a.x - f.x, a.y - f.y);
  } else {
    seen.x = seen.y = seen.centre_error = kNaN;
  }
  return seen;
}

std::string most_likely(const std::vector<double>& probabilities, const Judges& judges) {
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  return judges.conditions.at(static_cast<size_t>(best - probabilities.begin()));
}

}  // namespace

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
  const Seen seen = seen_of(found.mask, asked);
  sample.found_quality = found.quality;
  sample.area_asked = static_cast<double>(image::mask_area(asked)) / (static_cast<double>(image.width) * image.height);
  sample.area_found = seen.area;
  sample.region_iou = seen.iou;
  sample.centre_error = seen.centre_error;
  sample.found_x = seen.x;
  sample.found_y = seen.y;
  sample.lesion_contrast = image::ciede2000(median_colour(image, asked), sample.skin);
  return sample;
}

std::vector<ControlSample> measure_samples(const std::vector<data::Request>& requests,
                                           const std::vector<image::Image>& images, const Judges& judges) {
  std::vector<ControlSample> samples(requests.size());
  parallel_for(requests.size(), [&](size_t i) { samples[i] = measure_sample(requests[i], images[i]); });
  if (judges.segment) {
    const std::vector<image::Mask> masks = judges.segment(images);
    for (size_t i = 0; i < samples.size(); ++i)
      samples[i].judged = seen_of(masks.at(i), data::region_mask(requests[i], images[i].width));
  }
  if (judges.classify) {
    const std::vector<std::vector<double>> probabilities = judges.classify(images);
    for (size_t i = 0; i < samples.size(); ++i) {
      const bool known = std::find(judges.conditions.begin(), judges.conditions.end(), requests[i].condition()) !=
                         judges.conditions.end();
      if (known) samples[i].condition_seen = most_likely(probabilities.at(i), judges);
    }
  }
  return samples;
}

ConditionAccuracy condition_accuracy(const std::vector<std::string>& asked, const std::vector<std::string>& seen,
                                     const std::vector<std::string>& patients, const std::vector<std::string>& classes,
                                     uint64_t seed) {
  ConditionAccuracy result;
  std::vector<size_t> known;  // rows
  std::map<std::string, std::vector<size_t>> rows_of_patient;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (std::find(classes.begin(), classes.end(), asked[i]) == classes.end() || seen[i].empty()) continue;
    known.push_back(i);
    rows_of_patient[patients[i]].push_back(i);
    if (std::find(result.conditions.begin(), result.conditions.end(), asked[i]) == result.conditions.end())
      result.conditions.push_back(asked[i]);
  }
  std::sort(result.conditions.begin(), result.conditions.end());
  result.count = known.size();
  const auto shares = [&](const std::vector<size_t>& rows) {
    std::map<std::string, std::pair<double, double>> by;  // right, all
    double right = 0;
    for (const size_t i : rows) {
      const bool good = asked[i] == seen[i];
      right += good;
      by[asked[i]].first += good;
      by[asked[i]].second += 1;
    }
    double balanced = 0;
    for (const auto& [name, counts] : by) balanced += counts.first / counts.second / static_cast<double>(by.size());
    return std::pair{rows.empty() ? kNaN : right / static_cast<double>(rows.size()), by.empty() ? kNaN : balanced};
  };
  std::tie(result.accuracy, result.balanced) = shares(known);
  result.chance = result.conditions.empty() ? kNaN : 1.0 / static_cast<double>(result.conditions.size());
  std::vector<std::vector<size_t>> groups;
  for (auto& [patient, rows] : rows_of_patient) groups.push_back(std::move(rows));
  const auto drawn = [&](const std::vector<size_t>& picks) {
    std::vector<size_t> rows;
    for (const size_t g : picks) rows.insert(rows.end(), groups[g].begin(), groups[g].end());
    return rows;
  };
  result.accuracy_interval =
      bootstrap(groups.size(), seed, "accuracy", [&](const auto& picks) { return shares(drawn(picks)).first; });
  result.balanced_interval =
      bootstrap(groups.size(), seed, "balanced", [&](const auto& picks) { return shares(drawn(picks)).second; });
  result.confusion.assign(result.conditions.size(), std::vector<size_t>(classes.size(), 0));
  for (const size_t i : known) {
    const auto row = std::find(result.conditions.begin(), result.conditions.end(), asked[i]);
    const auto col = std::find(classes.begin(), classes.end(), seen[i]);
    ++result
          .confusion[static_cast<size_t>(row - result.conditions.begin())][static_cast<size_t>(col - classes.begin())];
  }
  return result;
}

ControlResult summarise(std::vector<ControlSample> samples, uint64_t seed, const Judges& judges) {
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
  const std::vector<double> centre = get(&ControlSample::centre_error);
  r.centre_error_median = median(centre);
  for (const ControlSample& s : r.samples) r.nothing_found += s.area_found == 0;
  const size_t n = r.samples.size();
  r.skin_error_interval = bootstrap(n, seed, "skin", [&](const auto& rows) { return median(taken(error, rows)); });
  r.region_iou_interval = bootstrap(n, seed, "region", [&](const auto& rows) { return median(taken(iou, rows)); });
  r.ita_rank_interval =
      bootstrap(n, seed, "ita", [&](const auto& rows) { return spearman(taken(asked, rows), taken(measured, rows)); });
  r.ita_error_interval =
      bootstrap(n, seed, "ita error", [&](const auto& rows) { return median(taken(ita_error, rows)); });
  r.centre_error_interval = bootstrap(n, seed, "centre", [&](const auto& rows) { return median(taken(centre, rows)); });
  if (judges.segment) {
    ControlResult::Judged j;
    std::vector<double> judged_iou, judged_area, area_error, judged_centre;
    for (const ControlSample& s : r.samples) {
      const Seen seen = s.judged.value_or(Seen{});
      judged_iou.push_back(seen.iou);
      judged_area.push_back(seen.area);
      area_error.push_back(std::abs(seen.area - s.area_asked) / s.area_asked);
      judged_centre.push_back(seen.centre_error);
      j.nothing_seen += seen.area == 0;
    }
    j.iou_median = median(judged_iou);
    j.area_rank_correlation = spearman(area_asked, judged_area);
    j.area_error_median = median(area_error);
    j.centre_error_median = median(judged_centre);
    const auto middle = [&](const char* name, const std::vector<double>& values) {
      return bootstrap(n, seed, name, [&](const auto& rows) { return median(taken(values, rows)); });
    };
    j.iou_interval = middle("judged iou", judged_iou);
    j.area_error_interval = middle("judged area error", area_error);
    j.centre_error_interval = middle("judged centre", judged_centre);
    j.area_rank_interval = bootstrap(n, seed, "judged area", [&](const auto& rows) {
      return spearman(taken(area_asked, rows), taken(judged_area, rows));
    });
    r.judged = j;
    r.segmenter = judges.segmenter;
    r.segmenter_sha256 = judges.segmenter_sha256;
  }
  if (judges.classify) {
    std::vector<std::string> wanted, seen, each;
    for (size_t i = 0; i < n; ++i) {
      wanted.push_back(r.samples[i].request.condition());
      seen.push_back(r.samples[i].condition_seen);
      each.push_back(std::to_string(i));
    }
    r.condition = condition_accuracy(wanted, seen, each, judges.conditions, seed);
    r.classifier = judges.classifier;
    r.classifier_sha256 = judges.classifier_sha256;
    r.classes = judges.conditions;
  }
  r.area_rank_interval = bootstrap(
      n, seed, "area", [&](const auto& rows) { return spearman(taken(area_asked, rows), taken(area_found, rows)); });
  r.by_condition = groups(r.samples, {}, [](const ControlSample& s) { return s.request.condition(); });
  const auto& tones = image::tone_names();
  r.by_tone = groups(r.samples, {tones.begin(), tones.end()},
                     [](const ControlSample& s) { return image::tone_of(s.ita_asked); });
  return r;
}

namespace {

/// What was measured of a sample, in numbers that go from one process to another; the request stays where it is known.
constexpr size_t kNumbers = 21;

std::array<double, kNumbers> numbers_of(const ControlSample& s, const Judges& judges) {
  const Seen seen = s.judged.value_or(Seen{});
  const auto condition = std::find(judges.conditions.begin(), judges.conditions.end(), s.condition_seen);
  return {s.skin.L,
          s.skin.a,
          s.skin.b,
          s.ita_asked,
          s.ita_measured,
          s.skin_error,
          s.region_iou,
          s.found_quality,
          s.area_asked,
          s.area_found,
          s.centre_error,
          s.found_x,
          s.found_y,
          s.lesion_contrast,
          s.judged ? 1.0 : 0.0,
          seen.iou,
          seen.area,
          seen.x,
          seen.y,
          seen.centre_error,
          condition == judges.conditions.end() ? 0.0 : static_cast<double>(condition - judges.conditions.begin() + 1)};
}

ControlSample sample_of(const double* n, const Judges& judges) {
  ControlSample s;
  s.skin = {n[0], n[1], n[2]};
  s.ita_asked = n[3], s.ita_measured = n[4], s.skin_error = n[5], s.region_iou = n[6], s.found_quality = n[7];
  s.area_asked = n[8], s.area_found = n[9], s.centre_error = n[10], s.found_x = n[11], s.found_y = n[12];
  s.lesion_contrast = n[13];
  if (n[14] > 0) s.judged = Seen{.iou = n[15], .area = n[16], .x = n[17], .y = n[18], .centre_error = n[19]};
  if (n[20] > 0) s.condition_seen = judges.conditions.at(static_cast<size_t>(n[20]) - 1);
  return s;
}

/// Samples of `count` images, of which this rank has measured those from `first` on, on all ranks.
std::vector<ControlSample> of_all_ranks(const std::vector<ControlSample>& mine, size_t first, size_t count,
                                        const Judges& judges, ranks::Group& group) {
  std::vector<double> numbers(count * kNumbers, 0.0);
  for (size_t i = 0; i < mine.size(); ++i) {
    const auto n = numbers_of(mine[i], judges);
    std::copy(n.begin(), n.end(), numbers.begin() + static_cast<std::ptrdiff_t>((first + i) * kNumbers));
  }
  group.sum(numbers);
  std::vector<ControlSample> all;
  for (size_t i = 0; i < count; ++i) all.push_back(sample_of(&numbers[i * kNumbers], judges));
  return all;
}

std::pair<size_t, size_t> part_of(size_t count, size_t chunk, const ranks::Group* group) {
  return group ? ranks::part_of(count, chunk, group->rank(), group->world()) : std::pair<size_t, size_t>{0, count};
}

std::string progress_label(const ranks::Group* group) { return group ? "control, this rank's part" : "control"; }

}  // namespace

ControlResult measure_control(generation::Engine& engine, size_t count, uint64_t seed, const Judges& judges,
                              ranks::Group* group) {
  if (count == 0) throw UsageError("control: 0 images were asked for, at least 1 is needed (200 give steady figures)");
  const std::vector<data::Request> requests =
      data::balanced_requests(count, {"condition", "tone", "size"}, engine.offer(), seed);
  std::vector<ControlSample> samples;
  const auto [begin, end] = part_of(count, kStreamed, group);
  Progress progress(progress_label(group), static_cast<double>(end - begin), "images");
  for (size_t start = begin; start < end; start += kChunk) {
    const std::vector<data::Request> chunk(
        requests.begin() + static_cast<std::ptrdiff_t>(start),
        requests.begin() + static_cast<std::ptrdiff_t>(std::min(start + kChunk, end)));
    std::vector<image::Image> images(chunk.size());
    engine.generate(chunk, [&](size_t i, image::Image image) {
      images[i] = std::move(image);
      progress.update(static_cast<double>(start - begin + i + 1));
    });
    std::vector<ControlSample> measured = measure_samples(chunk, images, judges);
    std::move(measured.begin(), measured.end(), std::back_inserter(samples));
  }
  progress.finish();
  if (group) {
    samples = of_all_ranks(samples, begin, count, judges, *group);
    for (size_t i = 0; i < count; ++i) samples[i].request = requests[i];
  }
  ControlResult result = summarise(std::move(samples), seed, judges);
  result.requests =
      "drawn at random within what the model has seen, balanced over condition, tone and size; irregular outlines, "
      "none of them a training map";
  result.recipe = engine.recipe_name();
  result.bundle_sha256 = engine.bundle_sha256();
  result.compute = engine.compute_text();
  return result;
}

ControlResult measure_control(const ImageSet& set, uint64_t seed, const Judges& judges, ranks::Group* group) {
  const auto without_mask = [](data::Request& request) {  // memory does not grow with the set
    for (data::Region& region : request.regions) region.mask = {};
  };
  const auto [begin, end] = part_of(set.size(), kStreamed, group);
  std::vector<size_t> rows(end - begin);
  std::iota(rows.begin(), rows.end(), begin);
  std::vector<ControlSample> samples;
  Progress progress(progress_label(group), static_cast<double>(rows.size()), "images");
  set.subset(rows).stream(
      [&, first_row = begin](size_t first, const std::vector<image::Image>& images) {
        std::vector<data::Request> requests(images.size());
        parallel_for(images.size(), [&](size_t i) { requests[i] = set.request(first_row + first + i); });
        std::vector<ControlSample> measured = measure_samples(requests, images, judges);
        for (ControlSample& sample : measured) {
          without_mask(sample.request);
          samples.push_back(std::move(sample));
        }
        progress.update(static_cast<double>(samples.size()));
      },
      kStreamed);
  progress.finish();
  if (group) {
    samples = of_all_ranks(samples, begin, set.size(), judges, *group);
    parallel_for(samples.size(), [&](size_t i) {
      samples[i].request = set.request(i);
      without_mask(samples[i].request);
    });
  }
  ControlResult result = summarise(std::move(samples), seed, judges);
  result.requests = "as the rows of " + set.name() + " say";
  const nlohmann::json generator = set.data().facts().value("generator", nlohmann::json::object());
  if (generator.is_object()) {
    result.recipe = generator.value("recipe", "");
    result.bundle_sha256 = generator.value("bundle_sha256", "");
  }
  return result;
}

ConditionAccuracy accuracy_on(const ImageSet& photographs, const Judges& judges, uint64_t seed) {
  if (!judges.classify) throw UsageError("condition accuracy: no classifier was given");
  std::vector<std::string> asked, seen;
  Progress progress("classifier on photographs", static_cast<double>(photographs.size()), "images");
  photographs.stream([&](size_t first, const std::vector<image::Image>& images) {
    const std::vector<std::vector<double>> probabilities = judges.classify(images);
    for (size_t i = 0; i < images.size(); ++i) {
      asked.push_back(photographs.items()[first + i].condition);
      seen.push_back(most_likely(probabilities.at(i), judges));
    }
    progress.update(static_cast<double>(asked.size()));
  });
  progress.finish();
  return condition_accuracy(asked, seen, photographs.patients(), judges.conditions, seed);
}

nlohmann::json to_json(const ConditionAccuracy& a) {
  return {{"count", a.count},
          {"accuracy", a.accuracy},
          {"accuracy_interval", json_of(a.accuracy_interval)},
          {"balanced_accuracy", a.balanced},
          {"balanced_accuracy_interval", json_of(a.balanced_interval)},
          {"chance", a.chance},
          {"conditions", a.conditions},
          {"confusion", a.confusion}};
}

nlohmann::json ControlResult::to_json() const {
  nlohmann::json json = {
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
      {"ita_error_median_interval", json_of(ita_error_interval)},
      {"centre_error_median", centre_error_median},
      {"centre_error_median_interval", json_of(centre_error_interval)},
      {"nothing_found", nothing_found},
      {"by_condition", json_of(by_condition)},
      {"by_tone", json_of(by_tone)},
      {"how_measured",
       {{"requests", requests},
        {"skin",
         "robust Lab colour of the pixels outside the asked region, artefacts left out, against the asked colour "
         "(CIEDE2000; ITA in degrees)"},
        {"region",
         "the asked region against the lesion that prepare's finder sees in the image, which is not told where to "
         "look"},
        {"interval", "95 %, percentile bootstrap over the images, 1000 resamples"},
        {"rank_correlation", "Spearman, asked against measured"}}},
  };
  if (judged) {
    json["segmenter"] = {{"name", segmenter},
                         {"sha256", segmenter_sha256},
                         {"region_iou_median", judged->iou_median},
                         {"region_iou_median_interval", json_of(judged->iou_interval)},
                         {"area_rank_correlation", judged->area_rank_correlation},
                         {"area_rank_correlation_interval", json_of(judged->area_rank_interval)},
                         {"area_error_median", judged->area_error_median},
                         {"area_error_median_interval", json_of(judged->area_error_interval)},
                         {"centre_error_median", judged->centre_error_median},
                         {"centre_error_median_interval", json_of(judged->centre_error_interval)},
                         {"nothing_seen", judged->nothing_seen}};
  }
  if (condition) {
    json["condition"] = {
        {"classifier", classifier}, {"sha256", classifier_sha256}, {"synthetic", evaluation::to_json(*condition)}};
    if (condition_real) {
      json["condition"]["photographs"] = evaluation::to_json(*condition_real);
      json["condition"]["photographs_of"] = condition_real_of;
    }
  }
  return json;
}

std::string ControlResult::to_csv() const {
  CsvTable table({"index", "condition", "seed", "extrapolated", "skin_asked", "skin_measured", "ita_asked",
                  "ita_measured", "skin_error", "area_asked", "area_found", "region_iou", "centre_error",
                  "found_quality", "lesion_contrast", "segmenter_area", "segmenter_iou", "segmenter_centre_error",
                  "condition_seen"});
  const auto text = [](double v) { return std::isfinite(v) ? number_text(std::round(v * 1e5) / 1e5) : std::string(); };
  for (size_t i = 0; i < samples.size(); ++i) {
    const ControlSample& s = samples[i];
    table.add_row({std::to_string(i), s.request.condition(), std::to_string(s.request.seed),
                   s.request.extrapolated ? "true" : "false", image::hex_of(image::rgb_of(s.request.skin)),
                   image::hex_of(image::rgb_of(s.skin)), text(s.ita_asked), text(s.ita_measured), text(s.skin_error),
                   text(s.area_asked), text(s.area_found), text(s.region_iou), text(s.centre_error),
                   text(s.found_quality), text(s.lesion_contrast), s.judged ? text(s.judged->area) : "",
                   s.judged ? text(s.judged->iou) : "", s.judged ? text(s.judged->centre_error) : "",
                   s.condition_seen});
  }
  return table.to_string();
}

}  // namespace derm::evaluation
