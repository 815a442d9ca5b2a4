#include "derm/serving/ask.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/base/text.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"

namespace derm::serving {
namespace {

using nlohmann::json;

constexpr uint64_t kLargestSeed = uint64_t{1} << 53;  // what JavaScript's numbers hold
constexpr size_t kLongestText = 100;                  // of a condition or a colour
constexpr double kFarthest = 10;                      // along a latent direction, in deviations

/// A value for a message, cut short.
std::string shown(const json& value) {
  return quote_text(value.dump(-1, ' ', false, json::error_handler_t::replace), 60);
}

void only_fields(const json& object, const std::vector<std::string>& known, const std::string& where) {
  if (!object.is_object()) throw UsageError("{} is {}, an object is expected", where, shown(object));
  for (const auto& item : object.items())
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      throw UsageError("{}: {} is not a field{}", where, quote_text(item.key()), did_you_mean(item.key(), known));
}

const json* field(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_field(const json& object, const char* name, const std::string& where) {
  const json* value = field(object, name);
  if (!value) return "";
  if (!value->is_string()) throw UsageError("{}: {} is {}, a text is expected", where, name, shown(*value));
  const std::string text = value->get<std::string>();
  if (text.empty()) throw UsageError("{}: {} is empty; give a value, or leave it out for the default", where, name);
  if (text.size() > kLongestText)
    throw UsageError("{}: {} is {} bytes long, at most {} are accepted", where, name, text.size(), kLongestText);
  return text;
}

std::string number_field(const json& object, const char* name, const std::string& where) {
  const json* value = field(object, name);
  if (!value) return "";
  if (!value->is_number()) throw UsageError("{}: {} is {}, a number is expected", where, name, shown(*value));
  return number_text(value->get<double>());
}

uint64_t whole_field(const json& object, const char* name, uint64_t fallback, uint64_t low, uint64_t high,
                     const std::string& where) {
  const json* value = field(object, name);
  if (!value) return fallback;
  // Values made in C++ are signed where those that were parsed are not.
  const bool whole = value->is_number_unsigned() || (value->is_number_integer() && value->get<int64_t>() >= 0);
  if (!whole || value->get<uint64_t>() < low || value->get<uint64_t>() > high)
    throw UsageError("{}: {} is {}, an integer from {} to {} is expected", where, name, shown(*value), low, high);
  return value->get<uint64_t>();
}

uint64_t drawn_seed() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return random() >> 33;  // short enough to be read and typed
}

image::Mask mask_of(const std::string& text, const AskLimits& limits, const std::string& where) {
  std::string_view coded = text;
  if (coded.starts_with("data:")) {
    const size_t comma = coded.find(";base64,");
    if (comma == std::string_view::npos || comma > 40)
      throw UsageError("{}: mask is a data: URL without ;base64,", where);
    coded.remove_prefix(comma + 8);
  }
  if (coded.size() / 4 * 3 > limits.max_mask_bytes)
    throw UsageError("{}: mask is larger than {} bytes", where, limits.max_mask_bytes);
  const std::string bytes = from_base64(coded, where + ": mask");
  const uint64_t side = static_cast<uint64_t>(limits.max_mask_px);
  const image::Image picture = image::decode_image(
      bytes, where + ": mask", {.max_file_bytes = limits.max_mask_bytes, .max_pixels = side * side});
  image::Mask mask(picture.width, picture.height, 1);
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    const uint8_t* p = picture.pixels.data() + i * static_cast<size_t>(picture.channels);
    const int luminance = picture.channels == 1 ? p[0] : (77 * p[0] + 150 * p[1] + 29 * p[2]) >> 8;
    mask.pixels[i] = luminance >= 128 ? 255 : 0;
  }
  return mask;
}

const std::vector<std::string>& region_fields() {
  static const std::vector<std::string> fields = {"condition", "size", "x", "y", "aspect", "shape", "mask"};
  return fields;
}

/// What of a request a field sets; "" for those that every model heeds.
std::string part_of(const std::string& field) {
  if (field == "condition" || field == "skin") return field;
  return field == "seed" || field == "count" || field == "directions" ? "" : "region";
}

void check_heeded(const json& object, const data::Offer& offer, const std::string& where) {
  for (const std::string& name : control_fields()) {
    const std::string part = part_of(name);
    if (part.empty() || offer.heeded(part) || !field(object, name.c_str())) continue;
    if (part == "condition" && offer.conditions.size() == 1) continue;  // the one that it was trained on
    throw UsageError("{}: {} is given, but this model heeds the {} alone; leave it out", where, name,
                     fmt::join(offer.heeds, " and the "));
  }
}

std::vector<double> directions_of(const json& object, const data::Offer& offer, const std::string& where) {
  const json* list = field(object, "directions");
  if (!list) return {};
  if (!list->is_array() || !std::all_of(list->begin(), list->end(), [](const json& v) { return v.is_number(); }))
    throw UsageError("{}: directions is {}, a list of numbers is expected", where, shown(*list));
  if (list->size() > offer.directions.size())
    throw UsageError("{}: directions has {} numbers, but the model has {} latent directions", where, list->size(),
                     offer.directions.size());
  const auto strengths = list->get<std::vector<double>>();
  for (const double strength : strengths)
    if (!(std::abs(strength) <= kFarthest))
      throw UsageError("{}: a direction's strength is {}, -{} to {} deviations are accepted", where, strength,
                       kFarthest, kFarthest);
  return strengths;
}

/// A request with the region that `object` describes.
data::Request base_request(const json& object, const data::Offer& offer, const AskLimits& limits,
                           const std::string& where) {
  data::Wish wish;
  wish.condition = text_field(object, "condition", where);
  wish.shape = text_field(object, "shape", where);
  wish.skin = text_field(object, "skin", where);
  if (!wish.skin.empty()) skin_of_text(wish.skin, offer.locus);  // refuses "like:"
  wish.size = number_field(object, "size", where);
  wish.x = number_field(object, "x", where);
  wish.y = number_field(object, "y", where);
  wish.aspect = number_field(object, "aspect", where);
  const json* drawn = field(object, "mask");
  if (!drawn) {
    if (wish.shape == "mask") throw UsageError("{}: shape is \"mask\", and no mask is given", where);
    return data::make_request(wish, offer);
  }
  if (!drawn->is_string()) throw UsageError("{}: mask is {}, the base64 of an image is expected", where, shown(*drawn));
  if (!wish.shape.empty() && wish.shape != "mask")
    throw UsageError("{}: a mask is given, so the shape cannot be \"{}\"; leave one of the two out", where, wish.shape);
  for (const char* name : {"size", "x", "y", "aspect"})
    if (field(object, name))
      throw UsageError("{}: a mask is given, which fixes {} already; leave one of the two out", where, name);
  wish.shape.clear();
  data::Request request = data::make_request(wish, offer);
  data::Region& region = request.regions.front();
  region.shape = data::Shape::mask;
  region.mask = mask_of(drawn->get_ref<const std::string&>(), limits, where);
  const image::Box box = image::mask_box(region.mask);
  const double side = std::max(region.mask.width, region.mask.height);
  region.x = (box.x + box.w / 2) / side, region.y = (box.y + box.h / 2) / side;
  region.w = box.w / side, region.h = box.h / side;
  return request;
}

void add_requests(const json& object, const data::Offer& offer, const AskLimits& limits, const std::string& where,
                  std::vector<data::Request>& requests) {
  check_heeded(object, offer, where);
  data::Request request = base_request(object, offer, limits, where);
  request.directions = directions_of(object, offer, where);
  if (const json* further = field(object, "regions")) {
    if (!further->is_array()) throw UsageError("{}: regions is {}, a list is expected", where, shown(*further));
    if (further->size() + 1 > limits.max_regions)
      throw UsageError("{}: {} further regions are given, at most {} are accepted", where, further->size(),
                       limits.max_regions - 1);
    for (size_t i = 0; i < further->size(); ++i) {
      const std::string here = fmt::format("{}: further region {}", where, i + 1);
      only_fields((*further)[i], region_fields(), here);
      request.regions.push_back(base_request((*further)[i], offer, limits, here).regions.front());
    }
  }
  try {
    data::validate(request, offer.conditions);
  } catch (const UsageError& error) {
    throw UsageError("{}: {}", where, error.what());
  }
  const uint64_t count = whole_field(object, "count", 1, 1, limits.max_images, where);
  if (requests.size() + count > limits.max_images)
    throw UsageError("{}: more than {} images are asked for; split them over several jobs", where, limits.max_images);
  const uint64_t seed = whole_field(object, "seed", drawn_seed(), 0, kLargestSeed, where);
  for (uint64_t i = 0; i < count; ++i) {
    requests.push_back(request);
    requests.back().seed = seed + i;
  }
}

}  // namespace

const std::vector<std::string>& control_fields() {
  static const std::vector<std::string> fields = {"condition", "skin", "size",    "x",          "y",    "aspect",
                                                  "shape",     "mask", "regions", "directions", "seed", "count"};
  return fields;
}

const std::vector<std::string>& job_fields() {
  static const std::vector<std::string> fields = {"model", "format", "measure", "wait_s", "requests"};
  return fields;
}

std::string from_base64(std::string_view text, const std::string& where) {
  static const std::array<int8_t, 256> values = [] {
    std::array<int8_t, 256> v{};
    v.fill(-1);
    const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < digits.size(); ++i) v[static_cast<uint8_t>(digits[i])] = static_cast<int8_t>(i);
    return v;
  }();
  if (text.size() % 4 != 0)
    throw DataError("{}: {} characters are no base64; a multiple of 4 is needed", where, text.size());
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const int padding = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int value = static_cast<int>(k) >= 4 - padding ? 0 : values[static_cast<uint8_t>(text[i + k])];
      if (value < 0) throw DataError("{}: character {} is no base64", where, i + k + 1);
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    for (int k = 0; k < 3 - padding; ++k) out += static_cast<char>(bits >> (16 - 8 * k) & 255);
  }
  return out;
}

image::Lab skin_of_text(const std::string& text, const data::SkinLocus& locus) {
  if (text.starts_with("like:"))
    throw UsageError(
        "skin \"like:...\" names a file, and no request may; upload the photograph to /v1/skin and send the colour it "
        "answers");
  return data::parse_skin(text, locus);
}

Ask parse_ask(const json& body, const std::function<const data::Offer&(const std::string&)>& offer_of,
              const AskLimits& limits) {
  std::vector<std::string> known = control_fields();
  known.insert(known.end(), job_fields().begin(), job_fields().end());
  only_fields(body, known, "the request");
  Ask ask;
  ask.model = text_field(body, "model", "the request");
  const data::Offer& offer = offer_of(ask.model);
  const std::string format = text_field(body, "format", "the request");
  if (!format.empty() && format != "png" && format != "dataset")
    throw UsageError("the request: format is {}, \"png\" or \"dataset\" is expected", quote_text(format));
  ask.format = format == "dataset" ? Format::dataset : Format::png;
  if (const json* measure = field(body, "measure")) {
    if (!measure->is_boolean())
      throw UsageError("the request: measure is {}, true or false is expected", shown(*measure));
    ask.measure = measure->get<bool>();
  }
  if (const json* wait = field(body, "wait_s")) {
    if (!wait->is_number() || wait->get<double>() < 0 || wait->get<double>() > 30)
      throw UsageError("the request: wait_s is {}, a number from 0 to 30 is expected", shown(*wait));
    ask.wait_s = wait->get<double>();
  }
  const json* list = field(body, "requests");
  if (!list) {
    add_requests(body, offer, limits, "the request", ask.requests);
    return ask;
  }
  for (const std::string& control : control_fields())
    if (field(body, control.c_str()))
      throw UsageError("the request: {} is given, and requests too; put it into each of those", control);
  if (!list->is_array() || list->empty())
    throw UsageError("the request: requests is {}, a list of at least one is expected", shown(*list));
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string where = fmt::format("request {} of {}", i + 1, list->size());
    only_fields((*list)[i], control_fields(), where);
    add_requests((*list)[i], offer, limits, where, ask.requests);
  }
  return ask;
}

nlohmann::ordered_json echo_of(const data::Request& request, const data::Offer& offer) {
  const auto rounded = [](double v) { return std::round(v * 1e6) / 1e6; };
  const auto region_json = [&](const data::Region& region) {
    nlohmann::ordered_json one = {{"condition", region.condition},
                                  {"size", rounded(region.size())},
                                  {"x", rounded(region.x)},
                                  {"y", rounded(region.y)},
                                  {"aspect", rounded(region.h > 0 ? region.w / region.h : 1)},
                                  {"shape", data::shape_name(region.shape)}};
    if (region.shape == data::Shape::mask) one["mask_px"] = region.mask.width;
    return one;
  };
  nlohmann::ordered_json echo = nlohmann::ordered_json::object();
  if (offer.heeded("region")) echo = region_json(request.regions.front());
  if (offer.heeded("condition")) echo["condition"] = request.condition();
  if (offer.heeded("skin")) {
    echo["skin"] = request.skin_text;
    echo["skin_hex"] = image::hex_of(image::rgb_of(request.skin));
    echo["ita_deg"] = rounded(image::ita_degrees(request.skin));
    echo["extrapolated"] = request.extrapolated;
  }
  if (!request.directions.empty()) echo["directions"] = request.directions;
  echo["seed"] = request.seed;
  if (request.regions.size() > 1) {
    echo["regions"] = nlohmann::ordered_json::array();
    for (size_t i = 1; i < request.regions.size(); ++i) echo["regions"].push_back(region_json(request.regions[i]));
  }
  return echo;
}

}  // namespace derm::serving
