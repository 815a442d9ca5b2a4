#include <algorithm>
#include <cmath>
#include <limits>

#include "derm/base/error.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/evaluation/control.h"
#include "derm/image/colour.h"

namespace derm::evaluation {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Values from low to high, both ends included.
double along(double low, double high, size_t step, size_t steps) {
  return low + (high - low) * static_cast<double>(step) / static_cast<double>(steps - 1);
}

double range_of(const std::vector<double>& values) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  return low <= high ? high - low : kNaN;
}

/// What is read off an image, whoever looked.
struct Reading {
  double area, x, y;
};
Reading reading(const ControlSample& s, bool judged) {
  if (judged) return {s.judged->area > 0 ? s.judged->area : kNaN, s.judged->x, s.judged->y};
  return {s.area_found > 0 ? s.area_found : kNaN, s.found_x, s.found_y};
}

}  // namespace

Drift measure_drift(generation::Engine& engine, size_t sweeps, size_t steps, uint64_t seed, const Judges& judges) {
  if (sweeps < 1 || steps < 2)
    throw UsageError("drift: {} sweeps of {} images were asked for; at least 1 of 2 are needed", sweeps, steps);
  const data::Offer& offer = engine.offer();
  Drift drift;
  drift.controls = {"size", "x", "y", "skin"};
  if (offer.conditions.size() > 1) drift.controls.insert(drift.controls.begin(), "condition");
  drift.quantities = {"ITA", "skin colour", "area", "x", "y"};
  drift.units = {"degrees", "CIEDE2000", "share of the image", "share of the side", "share of the side"};
  if (judges.classify) {
    drift.quantities.push_back("condition seen");
    drift.units.push_back("share of sweeps in which it changes");
  }
  drift.sweeps = sweeps;
  drift.steps = steps;
  const bool judged = static_cast<bool>(judges.segment);
  drift.region_by = judged ? judges.segmenter : "prepare's finder";

  const double low_size = offer.low_size, high_size = std::min(offer.high_size, 0.9);
  const double low_ita = offer.locus.known() ? offer.locus.low_ita() : 0,
               high_ita = offer.locus.known() ? offer.locus.high_ita() : 50;
  // The starting points leave room for the lesion to move; they are the same for every control.
  std::vector<data::Wish> bases;
  Rng rng(mix_seed(seed, hash_text("drift")));
  const double size = std::clamp(0.3, low_size, std::min(high_size, 0.6)), room = std::max(0.0, 0.5 - size / 2 - 0.02);
  for (size_t b = 0; b < sweeps; ++b) {
    data::Wish wish;
    wish.condition = offer.conditions[b % offer.conditions.size()];
    wish.skin = fmt::format("ita:{:.3f}", rng.uniform(low_ita, std::max(low_ita, high_ita)));
    wish.size = fmt::format("{:.4f}", size);
    wish.x = fmt::format("{:.4f}", 0.5 + rng.uniform(-room, room) / 2);
    wish.y = fmt::format("{:.4f}", 0.5 + rng.uniform(-room, room) / 2);
    wish.seed = mix_seed(seed, b) >> 16;
    bases.push_back(std::move(wish));
  }

  Progress progress("drift", static_cast<double>(drift.controls.size() * sweeps), "sweeps");
  size_t done = 0;
  for (const std::string& control : drift.controls) {
    std::vector<std::vector<double>> ranges(drift.quantities.size());
    for (const data::Wish& base : bases) {
      std::vector<data::Request> requests;
      const size_t count = control == "condition" ? std::min(steps, offer.conditions.size()) : steps;
      for (size_t i = 0; i < count; ++i) {
        std::string value;
        if (control == "condition") {
          value = offer.conditions[i * offer.conditions.size() / count];
        } else if (control == "size") {
          // As large as fits where the lesion stands.
          const double x = std::stod(base.x), y = std::stod(base.y);
          const double fits = 2 * std::min({x, 1 - x, y, 1 - y}) - 0.02;
          value = fmt::format("{:.4f}", along(low_size, std::max(low_size, std::min(high_size, fits)), i, count));
        } else if (control == "skin") {
          value = fmt::format("ita:{:.3f}", along(low_ita, high_ita, i, count));
        } else {
          value = fmt::format("{:.4f}", along(0.5 - room, 0.5 + room, i, count));
        }
        requests.push_back(data::make_request(data::with_value(base, control, value), offer));
      }
      std::vector<image::Image> images(requests.size());
      engine.generate(requests, [&](size_t i, image::Image image) { images[i] = std::move(image); });
      const std::vector<ControlSample> samples = measure_samples(requests, images, judges);
      std::vector<double> ita, area, x, y;
      double colours = 0;
      bool changes = false;
      for (size_t i = 0; i < samples.size(); ++i) {
        const Reading r = reading(samples[i], judged);
        ita.push_back(samples[i].ita_measured);
        area.push_back(r.area);
        x.push_back(r.x);
        y.push_back(r.y);
        for (size_t j = 0; j < i; ++j) colours = std::max(colours, image::ciede2000(samples[i].skin, samples[j].skin));
        changes = changes || samples[i].condition_seen != samples[0].condition_seen;
      }
      const std::vector<double> of_sweep = {range_of(ita), colours,     range_of(area),
                                            range_of(x),   range_of(y), changes ? 1.0 : 0.0};
      for (size_t q = 0; q < drift.quantities.size(); ++q) ranges[q].push_back(of_sweep[q]);
      progress.update(static_cast<double>(++done));
    }
    std::vector<double> row;
    std::vector<Interval> intervals;
    for (size_t q = 0; q < drift.quantities.size(); ++q) {
      std::vector<double> there = ranges[q];
      std::erase_if(there, [](double v) { return std::isnan(v); });
      row.push_back(mean(there));
      intervals.push_back(bootstrap(there.size(), seed, (control + drift.quantities[q]).c_str(), [&](const auto& rows) {
        double sum = 0;
        for (const size_t r : rows) sum += there[r];
        return sum / static_cast<double>(rows.size());
      }));
    }
    drift.range.push_back(std::move(row));
    drift.interval.push_back(std::move(intervals));
  }
  progress.finish();
  return drift;
}

nlohmann::json Drift::to_json() const {
  nlohmann::json json = {{"sweeps_of_each_control", sweeps},
                         {"images_in_a_sweep", steps},
                         {"region_by", region_by},
                         {"interval", "95 %, percentile bootstrap over the sweeps"}};
  for (size_t c = 0; c < controls.size(); ++c) {
    for (size_t q = 0; q < quantities.size(); ++q) {
      json["range"][controls[c]][quantities[q]] = {
          {"mean", range[c][q]}, {"interval", {interval[c][q].low, interval[c][q].high}}, {"unit", units[q]}};
    }
  }
  return json;
}

}  // namespace derm::evaluation
