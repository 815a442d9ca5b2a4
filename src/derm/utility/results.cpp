#include "derm/utility/results.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "derm/base/csv.h"
#include "derm/base/random.h"

namespace derm::utility {
namespace {

constexpr const char* kMain = "test";

/// JSON has no NaN.
nlohmann::json number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }

/// "f1:melanoma" is the metric f1 of melanoma.
std::pair<std::string, std::string> parts_of(const std::string& figure) {
  const size_t colon = figure.find(':');
  if (colon == std::string::npos) return {figure, ""};
  return {figure.substr(0, colon), figure.substr(colon + 1)};
}

void add(nlohmann::json& row, const Estimate& e) {
  row["value"] = number(e.value);
  row["low"] = number(e.low);
  row["high"] = number(e.high);
  row["standard_error"] = number(e.error);
  row["error_of_patients"] = number(e.patients);
  row["error_of_training"] = number(e.trainings);
  row["degrees_of_freedom"] = number(e.df);
}

}  // namespace

nlohmann::json results_of(const Design& design, const std::vector<Slice>& slices) {
  const auto pairs = design.contrasts();
  nlohmann::json figures = nlohmann::json::array(), contrasts = nlohmann::json::array();
  for (const Slice& slice : slices) {
    const std::vector<std::string> names = figure_names(slice.conditions);
    // The same patients are drawn for all arms and regimes of a slice.
    const uint64_t seed = mix_seed(static_cast<uint64_t>(design.seed), hash_text("patients of " + slice.name));
    std::vector<std::vector<std::vector<Sample>>> samples(slice.asked.size());  // [regimes][arms][figures]
    size_t images = 0;
    std::set<std::string> patients;
    for (size_t r = 0; r < slice.asked.size(); ++r)
      for (const auto& runs : slice.asked[r])
        samples[r].push_back(samples_of(runs, slice.same_patients, design.bootstrap, seed));
    for (const auto& fold : slice.asked.front().front()) {
      if (!slice.same_patients || images == 0) images += fold.front().answers.size();
      patients.insert(fold.front().patient.begin(), fold.front().patient.end());
    }
    for (size_t f = 0; f < names.size(); ++f) {
      const std::pair<std::string, std::string> parts = parts_of(names[f]);
      const std::string &metric = parts.first, &condition = parts.second;
      if (std::find(design.metrics.begin(), design.metrics.end(), metric) == design.metrics.end()) continue;
      const auto head = [&](size_t regime) {
        return nlohmann::json{
            {"slice", slice.name}, {"regime", design.regimes[regime]}, {"metric", metric}, {"condition", condition}};
      };
      for (size_t r = 0; r < samples.size(); ++r) {
        for (size_t a = 0; a < design.arms.size(); ++a) {
          nlohmann::json row = head(r);
          row["arm"] = design.arms[a];
          Estimate e = estimate(samples[r][a][f]);
          e.low = std::max(e.low, 0.0), e.high = std::min(e.high, 1.0);  // of a share
          add(row, e);
          row["images"] = images;
          row["patients"] = patients.size();
          figures.push_back(row);
        }
      }
      std::vector<Estimate> estimates;
      for (size_t r = 0; r < samples.size(); ++r)
        for (const auto& [arm, control] : pairs)
          estimates.push_back(estimate(difference(samples[r][arm][f], samples[r][control][f])));
      std::vector<double> p;
      for (const Estimate& e : estimates) p.push_back(e.p);
      const std::vector<double> adjusted = holm(p);
      const double family =
          static_cast<double>(std::count_if(p.begin(), p.end(), [](double v) { return !std::isnan(v); }));
      for (size_t i = 0; i < estimates.size(); ++i) {
        const auto& [arm, control] = pairs[i % pairs.size()];
        nlohmann::json row = head(i / pairs.size());
        row["arm"] = design.arms[arm];
        row["control"] = design.arms[control];
        add(row, estimates[i]);
        row["p"] = number(estimates[i].p);
        row["p_holm"] = number(adjusted[i]);
        row["comparisons"] = family;
        row["smallest_effect"] = number(estimates[i].smallest);
        row["smallest_effect_corrected"] =
            number(smallest_effect(estimates[i].error, estimates[i].df, 0.05 / std::max(1.0, family)));
        row["better"] = better(metric);
        row["primary"] = slice.name == kMain && names[f] == design.primary;
        contrasts.push_back(row);
      }
    }
  }
  return {{"figures", figures}, {"contrasts", contrasts}};
}

std::string csv_of(const nlohmann::json& list) {
  if (list.empty()) return "";
  // Columns by name, in the one order that every row has.
  std::vector<std::string> header;
  for (const auto& [name, value] : list.front().items()) header.push_back(name);
  static const std::vector<std::string> first = {"slice",     "regime", "arm", "control", "metric",
                                                 "condition", "value",  "low", "high"};
  std::stable_sort(header.begin(), header.end(), [&](const std::string& a, const std::string& b) {
    return std::find(first.begin(), first.end(), a) < std::find(first.begin(), first.end(), b);
  });
  CsvTable table(header);
  for (const nlohmann::json& object : list) {
    std::vector<std::string> row;
    for (const std::string& name : header) {
      const nlohmann::json& value = object.at(name);
      row.push_back(value.is_null()           ? ""
                    : value.is_string()       ? value.get<std::string>()
                    : value.is_number_float() ? number_text(value.get<double>())
                                              : value.dump());
    }
    table.add_row(std::move(row));
  }
  return table.to_string();
}

std::string estimate_text(const nlohmann::json& row, bool sign) {
  if (row.at("value").is_null()) return "-";
  const double value = row.at("value").get<double>();
  std::string text = sign ? fmt::format("{:+.3f}", value) : fmt::format("{:.3f}", value);
  if (!row.at("low").is_null() && !row.at("high").is_null()) {
    const double low = row.at("low").get<double>(), high = row.at("high").get<double>();
    text += sign ? fmt::format(" [{:+.3f}, {:+.3f}]", low, high) : fmt::format(" [{:.3f}, {:.3f}]", low, high);
  }
  return text;
}

}  // namespace derm::utility
