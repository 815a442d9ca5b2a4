#include "derm/data/request.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "derm/base/error.h"
#include "derm/base/suggest.h"

namespace derm::data {

namespace {

constexpr double kSlack = 1e-6;  // boxes that touch the border come out a few ulps beyond it

const std::vector<std::string>& shape_names() {
  static const std::vector<std::string> names = {"box", "ellipse", "blob", "mask"};
  return names;
}

// [size, run of 0, run of 255, run of 0, ...]
nlohmann::json rle_of(const image::Mask& mask) {
  nlohmann::json runs = nlohmann::json::array({mask.width});
  bool inside = false;
  uint64_t run = 0;
  for (const uint8_t v : mask.pixels) {
    if ((v >= 128) != inside) {
      runs.push_back(run);
      inside = !inside;
      run = 0;
    }
    ++run;
  }
  runs.push_back(run);
  return runs;
}

image::Mask mask_of_rle(const nlohmann::json& runs) {
  if (!runs.is_array() || runs.size() < 2 || !runs[0].is_number_unsigned())
    throw UsageError("request: mask_rle is not a list [size, run of 0, run of 255, ...]");
  const uint64_t size = runs[0].get<uint64_t>();
  if (size < 1 || size > 8192)
    throw UsageError("request: mask_rle starts with the size {}, which must be from 1 to 8192", size);
  image::Mask mask(static_cast<int>(size), static_cast<int>(size), 1);
  uint64_t at = 0;
  for (size_t i = 1; i < runs.size(); ++i) {
    if (!runs[i].is_number_unsigned())
      throw UsageError("request: mask_rle holds {} where a run length stands", runs[i].dump());
    const uint64_t run = runs[i].get<uint64_t>();
    if (run > mask.pixels.size() - at)
      throw UsageError("request: the runs of mask_rle are longer than the {} x {} pixels of the mask", size, size);
    if (i % 2 == 0) std::fill_n(mask.pixels.begin() + static_cast<ptrdiff_t>(at), run, uint8_t{255});
    at += run;
  }
  if (at != mask.pixels.size())
    throw UsageError("request: the runs of mask_rle cover {} of the {} pixels of the mask", at, mask.pixels.size());
  return mask;
}

const nlohmann::json& member(const nlohmann::json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) throw UsageError("request: \"{}\" is missing", key);
  return json[key];
}

double number_of(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = member(json, key);
  if (!value.is_number()) throw UsageError("request: \"{}\" is {}, a number is expected", key, value.dump());
  return value.get<double>();
}

std::string text_of(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = member(json, key);
  if (!value.is_string()) throw UsageError("request: \"{}\" is {}, a text is expected", key, value.dump());
  return value.get<std::string>();
}

void only_keys(const nlohmann::json& json, const std::vector<std::string>& known, const char* where) {
  if (!json.is_object()) throw UsageError("{} is {}, an object is expected", where, json.dump());
  for (const auto& item : json.items())
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      throw UsageError("{}: \"{}\" is not known{}", where, item.key(), did_you_mean(item.key(), known));
}

void validate_side(const std::string& where, const char* name, double centre, double side) {
  if (!(side > 0) || side > 1 + kSlack)
    throw UsageError("{}: its {} is {:.4g} of the image's side, which must be above 0 and at most 1", where, name,
                     side);
  const bool horizontal = name[0] == 'w';
  if (centre - side / 2 < -kSlack || centre + side / 2 > 1 + kSlack)
    throw UsageError(
        "{}: with {} {:.4g} and {} {:.4g} its box reaches from {:.4g} to {:.4g} and leaves the image (0 to 1); "
        "keep {} between {:.4g} and {:.4g} or make it smaller",
        where, horizontal ? "x" : "y", centre, name, side, centre - side / 2, centre + side / 2, horizontal ? "x" : "y",
        side / 2, 1 - side / 2);
}

}  // namespace

std::string shape_name(Shape shape) { return shape_names()[static_cast<size_t>(shape)]; }

Shape shape_from_name(const std::string& name) {
  const auto& names = shape_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw UsageError("shape: \"{}\" is not known; it is one of box, ellipse, blob, mask", name);
  return static_cast<Shape>(found - names.begin());
}

void validate(const Request& request, const std::vector<std::string>& conditions) {
  if (request.regions.empty()) throw UsageError("request: it has no region; at least one is needed");
  for (size_t i = 0; i < request.regions.size(); ++i) {
    const Region& region = request.regions[i];
    const std::string where = request.regions.size() == 1 ? "region" : fmt::format("region {}", i + 1);
    if (std::find(conditions.begin(), conditions.end(), region.condition) == conditions.end())
      throw UsageError("{}: the condition \"{}\" is not known{}", where, region.condition,
                       did_you_mean(region.condition, conditions));
    for (const auto& [name, value] : {std::pair{"x", region.x}, {"y", region.y}, {"w", region.w}, {"h", region.h}})
      if (!std::isfinite(value)) throw UsageError("{}: {} is not a finite number", where, name);
    if (region.shape == Shape::mask) {
      const image::Mask& mask = region.mask;
      if (mask.empty()) throw UsageError("{}: its shape is \"mask\", but no mask is given", where);
      if (mask.width != mask.height || mask.channels != 1)
        throw UsageError("{}: its mask has {} x {} pixels and {} channel(s); a square one with one channel is needed",
                         where, mask.width, mask.height, mask.channels);
      if (std::none_of(mask.pixels.begin(), mask.pixels.end(), [](uint8_t v) { return v >= 128; }))
        throw UsageError("{}: its mask is empty; at least one pixel must be set", where);
      continue;
    }
    validate_side(where, "width", region.x, region.w);
    validate_side(where, "height", region.y, region.h);
  }
  if (!std::isfinite(request.skin.L) || !std::isfinite(request.skin.a) || !std::isfinite(request.skin.b))
    throw UsageError("request: the skin colour is not made of finite numbers");
  if (request.skin.L < 0 || request.skin.L > 100)
    throw UsageError("request: L* of the skin colour is {:.4g}, which must be from 0 to 100", request.skin.L);
  for (const double strength : request.directions)
    if (!std::isfinite(strength)) throw UsageError("request: a direction's strength is not a finite number");
}

nlohmann::json to_json(const Request& request) {
  nlohmann::json regions = nlohmann::json::array();
  for (const Region& region : request.regions) {
    nlohmann::json one = {{"condition", region.condition},
                          {"shape", shape_name(region.shape)},
                          {"x", region.x},
                          {"y", region.y},
                          {"w", region.w},
                          {"h", region.h}};
    if (region.shape == Shape::mask && !region.mask.empty()) one["mask_rle"] = rle_of(region.mask);
    regions.push_back(std::move(one));
  }
  nlohmann::json json = {{"regions", std::move(regions)},
                         {"skin", {{"L", request.skin.L}, {"a", request.skin.a}, {"b", request.skin.b}}},
                         {"skin_text", request.skin_text},
                         {"extrapolated", request.extrapolated},
                         {"seed", request.seed}};
  if (!request.directions.empty()) json["directions"] = request.directions;
  return json;
}

Request request_from_json(const nlohmann::json& json) {
  only_keys(json, {"regions", "skin", "skin_text", "extrapolated", "seed", "directions"}, "request");
  Request request;
  const nlohmann::json& regions = member(json, "regions");
  if (!regions.is_array()) throw UsageError("request: \"regions\" is {}, a list is expected", regions.dump());
  for (const nlohmann::json& one : regions) {
    only_keys(one, {"condition", "shape", "x", "y", "w", "h", "mask_rle"}, "region");
    Region region;
    region.condition = text_of(one, "condition");
    region.shape = shape_from_name(text_of(one, "shape"));
    region.x = number_of(one, "x");
    region.y = number_of(one, "y");
    region.w = number_of(one, "w");
    region.h = number_of(one, "h");
    if (one.contains("mask_rle")) region.mask = mask_of_rle(one["mask_rle"]);
    request.regions.push_back(std::move(region));
  }
  const nlohmann::json& skin = member(json, "skin");
  only_keys(skin, {"L", "a", "b"}, "request: \"skin\"");
  request.skin = {number_of(skin, "L"), number_of(skin, "a"), number_of(skin, "b")};
  if (json.contains("skin_text")) request.skin_text = text_of(json, "skin_text");
  if (json.contains("extrapolated")) {
    if (!json["extrapolated"].is_boolean())
      throw UsageError("request: \"extrapolated\" is {}, true or false is expected", json["extrapolated"].dump());
    request.extrapolated = json["extrapolated"].get<bool>();
  }
  if (json.contains("seed")) {
    if (!json["seed"].is_number_unsigned())
      throw UsageError("request: \"seed\" is {}, an integer from 0 up is expected", json["seed"].dump());
    request.seed = json["seed"].get<uint64_t>();
  }
  if (json.contains("directions")) {
    const nlohmann::json& strengths = json["directions"];
    if (!strengths.is_array() ||
        !std::all_of(strengths.begin(), strengths.end(), [](const auto& v) { return v.is_number(); }))
      throw UsageError("request: \"directions\" is {}, a list of numbers is expected", strengths.dump());
    request.directions = strengths.get<std::vector<double>>();
  }
  return request;
}

}  // namespace derm::data
