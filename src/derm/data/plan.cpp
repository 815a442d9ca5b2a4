#include "derm/data/plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"

namespace derm::data {

namespace {

constexpr size_t kMostSweepValues = 64;
constexpr int kSweepSteps = 6;
constexpr int64_t kMostRequests = 10'000'000;

const std::vector<std::string>& sweep_keys() {
  static const std::vector<std::string> keys = {"condition", "skin", "size", "x", "y", "aspect", "shape", "seed"};
  return keys;
}

std::vector<std::string> split_text(const std::string& text, char by) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (;;) {
    const size_t to = text.find(by, from);
    parts.push_back(text.substr(from, to - from));
    if (to == std::string::npos) return parts;
    from = to + 1;
  }
}

std::optional<double> number_in(const std::string& text) {
  try {
    return parse_number(text, "");
  } catch (const DataError&) {
    return std::nullopt;
  }
}

double number_of(const std::string& key, const std::string& text) {
  if (const auto value = number_in(text)) return *value;
  throw UsageError("{}: '{}' is not a number", key, text);
}

uint64_t seed_of(const std::string& text) {
  if (text.empty() || text.size() > 19 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
    throw UsageError("seed: '{}' is not an integer from 0 up", text);
  return std::stoull(text);
}

bool is_integer(const std::string& text) {
  const size_t from = !text.empty() && text[0] == '-' ? 1 : 0;
  return text.size() > from && text.size() < 16 &&
         std::all_of(text.begin() + static_cast<ptrdiff_t>(from), text.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

// Sides from the long side and width over height.
void set_sides(Region& region, double size, double aspect) {
  if (!(aspect > 0) || !std::isfinite(aspect))
    throw UsageError("aspect: {} is not above 0; it is width over height", aspect);
  region.w = aspect >= 1 ? size : size * aspect;
  region.h = aspect >= 1 ? size / aspect : size;
}

Region further_region(const std::string& text, const Offer& offer) {
  static const std::vector<std::string> keys = {"condition", "x", "y", "size", "aspect", "shape"};
  Region region;
  region.condition = offer.conditions.front();
  region.shape = offer.shape == Shape::mask ? Shape::blob : offer.shape;
  double size = 0.2, aspect = 1;
  for (const std::string& part : split_text(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos)
      throw UsageError("region: '{}' is not of the form key=value; for example condition=nevus,x=0.3,y=0.3,size=0.1",
                       part);
    const std::string key = part.substr(0, equals), value = part.substr(equals + 1);
    if (key == "condition")
      region.condition = value;
    else if (key == "x")
      region.x = number_of(key, value);
    else if (key == "y")
      region.y = number_of(key, value);
    else if (key == "size")
      size = number_of(key, value);
    else if (key == "aspect")
      aspect = number_of(key, value);
    else if (key == "shape")
      region.shape = shape_from_name(value);
    else
      throw UsageError("region: \"{}\" is not known{}", key, did_you_mean(key, keys));
  }
  if (region.shape == Shape::mask)
    throw UsageError("region: a further region cannot be a mask; use box, ellipse or blob");
  set_sides(region, size, aspect);
  return region;
}

/// "2=-1.5": that far along the second direction.
void add_direction(Request& request, const std::string& text, const Offer& offer) {
  if (offer.directions.empty())
    throw UsageError(
        "direction: '{}' was asked for, but this model has no directions; `dermgan explore directions --into-bundle` "
        "finds them for models that start from noise",
        text);
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw UsageError("direction: '{}' is not of the form NUMBER=STRENGTH; for example 1=2.5", text);
  const std::string number = text.substr(0, equals);
  if (!is_integer(number) || std::stoll(number) < 1 || std::stoull(number) > offer.directions.size())
    throw UsageError("direction: '{}' is not one of 1 to {}", number, offer.directions.size());
  const auto place = static_cast<size_t>(std::stoull(number)) - 1;
  request.directions.resize(std::max(request.directions.size(), place + 1));
  request.directions[place] = number_of("direction", text.substr(equals + 1));
}

double middle_ita(const SkinLocus& locus) { return locus.known() ? (locus.low_ita() + locus.high_ita()) / 2 : 28.0; }

// low..high or low..high:count, else nothing.
struct Range {
  std::string low, high, count;
};
std::optional<Range> range_in(const std::string& text) {
  const size_t dots = text.find("..");
  if (dots == std::string::npos) return std::nullopt;
  const size_t colon = text.find(':', dots);
  Range range{text.substr(0, dots), text.substr(dots + 2, colon == std::string::npos ? colon : colon - dots - 2), ""};
  if (colon != std::string::npos) {
    range.count = text.substr(colon + 1);
    if (range.count.empty()) range.count = "?";
  }
  return range;
}

void add_range(std::vector<std::string>& values, const std::string& sweep, const Range& range,
               const std::string& prefix, bool integers) {
  const auto low = number_in(range.low), high = number_in(range.high);
  if (!low || !high) throw UsageError("sweep {}: '{}..{}' is not a range of numbers", sweep, range.low, range.high);
  if (*high < *low)
    throw UsageError("sweep {}: the range runs backward, from {} to {}; write the smaller first", sweep, range.low,
                     range.high);
  if (integers && (!is_integer(range.low) || !is_integer(range.high)))
    throw UsageError("sweep {}: '{}..{}' is not a range of integers", sweep, range.low, range.high);
  int64_t count = kSweepSteps;
  if (!range.count.empty()) {
    if (!is_integer(range.count) || std::stoll(range.count) < 1)
      throw UsageError("sweep {}: the count '{}' is not an integer from 1 up; a range is LOW..HIGH:COUNT", sweep,
                       range.count);
    count = std::stoll(range.count);
  } else if (integers) {
    count = static_cast<int64_t>(*high - *low) + 1;
  }
  if (integers) count = std::min(count, static_cast<int64_t>(*high - *low) + 1);
  if (*low == *high) count = 1;
  if (count > static_cast<int64_t>(kMostSweepValues))
    throw UsageError("sweep {}: {} values are more than the {} that one axis may have", sweep, count, kMostSweepValues);
  for (int64_t i = 0; i < count; ++i) {
    const double value =
        count == 1 ? *low : *low + (*high - *low) * static_cast<double>(i) / static_cast<double>(count - 1);
    if (integers)
      values.push_back(prefix + std::to_string(std::llround(value)));
    else
      values.push_back(prefix + number_text(std::round(value * 1e6) / 1e6));
  }
}

}  // namespace

nlohmann::json Offer::to_json() const {
  return {{"conditions", conditions},
          {"skin_locus", locus.to_json()},
          {"shape", shape_name(shape)},
          {"low_size", low_size},
          {"high_size", high_size}};
}

Offer Offer::from_json(const nlohmann::json& json) {
  Offer offer;
  try {
    offer.conditions = json.at("conditions").get<std::vector<std::string>>();
    offer.locus = SkinLocus::from_json(json.at("skin_locus"));
    offer.shape = shape_from_name(json.at("shape").get<std::string>());
    offer.low_size = json.at("low_size").get<double>();
    offer.high_size = json.at("high_size").get<double>();
  } catch (const nlohmann::json::exception& error) {
    throw DataError("offer: {}; it holds conditions, skin_locus, shape, low_size and high_size", error.what());
  } catch (const UsageError& error) {
    throw DataError("offer: {}", error.what());
  }
  if (offer.conditions.empty()) throw DataError("offer: it names no condition; at least one is expected");
  if (!(offer.low_size > 0 && offer.low_size <= offer.high_size && offer.high_size <= 1))
    throw DataError("offer: the sizes {} to {} are not a range within 0 to 1", offer.low_size, offer.high_size);
  return offer;
}

Offer offer_of(const DataSet& data) {
  const std::vector<size_t> rows = data.usable("train");
  if (rows.empty())
    throw DataError(
        "{}: no row of the train split can be trained on (it needs condition, box or mask, skin_rgb, and quality of at "
        "least {}); `dermgan prepare` fills them in",
        data.root().string(), data.min_quality());
  Offer offer;
  std::set<std::string> conditions;
  std::vector<image::Lab> colours;
  std::vector<double> sizes;
  size_t masks = 0;
  for (const size_t i : rows) {
    const Record& r = data.records()[i];
    conditions.insert(r.condition);
    colours.push_back(image::lab_of(*r.skin_rgb));
    if (!r.mask_file_name.empty()) ++masks;
    double side = data.size_px();
    image::Box box;
    if (!r.boxes.empty()) {
      box = r.boxes.front();
      if (side <= 0) {
        const image::Image picture = image::read_image(data.path_of(r.file_name));
        side = std::max(picture.width, picture.height);
      }
    } else {
      const image::Mask mask = image::read_mask(data.path_of(r.mask_file_name));
      box = image::mask_box(mask);
      side = std::max(mask.width, mask.height);
    }
    if (box.w > 0) sizes.push_back(std::min(1.0, std::max(box.w, box.h) / side));
  }
  offer.conditions.assign(conditions.begin(), conditions.end());
  offer.locus = SkinLocus::fit(colours);
  // An irregular outline stands for masks best; boxes alone say no more than an ellipse does.
  offer.shape = masks * 2 >= rows.size() ? Shape::blob : Shape::ellipse;
  if (!sizes.empty()) {
    std::sort(sizes.begin(), sizes.end());
    const auto at = [&](double share) {
      return sizes[static_cast<size_t>(share * static_cast<double>(sizes.size() - 1) + 0.5)];
    };
    offer.low_size = at(0.05);
    offer.high_size = at(0.95);
  }
  return offer;
}

bool Offer::heeded(const std::string& part) const { return std::find(heeds.begin(), heeds.end(), part) != heeds.end(); }

Request make_request(const Wish& wish, const Offer& offer) {
  if (offer.conditions.empty()) throw DataError("offer: it names no condition; at least one is expected");
  Request request;
  request.seed = wish.seed;
  request.skin_text =
      wish.skin.empty() ? "ita:" + number_text(std::round(middle_ita(offer.locus) * 10) / 10) : wish.skin;
  request.skin = parse_skin(request.skin_text, offer.locus);
  request.extrapolated = offer.locus.extrapolated(request.skin);

  Region region;
  region.condition = wish.condition.empty() ? offer.conditions.front() : wish.condition;
  if (!wish.mask_file.empty()) {
    if (!wish.shape.empty() && wish.shape != "mask")
      throw UsageError("shape: a mask is given, so the shape cannot be \"{}\"; leave one of the two out", wish.shape);
    for (const auto& [key, text] :
         {std::pair{"size", wish.size}, {"x", wish.x}, {"y", wish.y}, {"aspect", wish.aspect}})
      if (!text.empty())
        throw UsageError("{}: a mask is given, which fixes the region already; leave one of the two out", key);
    region.shape = Shape::mask;
    region.mask = image::read_mask(wish.mask_file);
    const image::Box box = image::mask_box(region.mask);
    const double side = std::max(region.mask.width, region.mask.height);
    region.x = (box.x + box.w / 2) / side, region.y = (box.y + box.h / 2) / side;
    region.w = box.w / side, region.h = box.h / side;
  } else {
    region.shape =
        wish.shape.empty() ? (offer.shape == Shape::mask ? Shape::blob : offer.shape) : shape_from_name(wish.shape);
    if (region.shape == Shape::mask) throw UsageError("shape: \"mask\" needs a mask file; give one with --mask");
    const double size =
        wish.size.empty() ? std::clamp(0.35, offer.low_size, offer.high_size) : number_of("size", wish.size);
    const double aspect = wish.aspect.empty() ? 1.0 : number_of("aspect", wish.aspect);
    set_sides(region, size, aspect);
    if (!wish.x.empty()) region.x = number_of("x", wish.x);
    if (!wish.y.empty()) region.y = number_of("y", wish.y);
  }
  request.regions.push_back(std::move(region));
  for (const std::string& text : wish.regions) request.regions.push_back(further_region(text, offer));
  for (const std::string& text : wish.directions) add_direction(request, text, offer);
  validate(request, offer.conditions);
  return request;
}

Sweep parse_sweep(const std::string& text, const Offer& offer) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals + 1 == text.size())
    throw UsageError("sweep: '{}' is not of the form KEY=VALUES; for example size=0.1..0.6:6", text);
  Sweep sweep;
  sweep.key = text.substr(0, equals);
  const std::string list = text.substr(equals + 1);
  if (std::find(sweep_keys().begin(), sweep_keys().end(), sweep.key) == sweep_keys().end())
    throw UsageError("sweep: \"{}\" is not known{}", sweep.key, did_you_mean(sweep.key, sweep_keys()));
  const bool numeric = sweep.key != "condition" && sweep.key != "skin" && sweep.key != "shape";
  if (list == "*" && sweep.key == "condition") {
    sweep.values = offer.conditions;
  } else if (list == "*" && sweep.key == "shape") {
    sweep.values = {"box", "ellipse", "blob"};
  } else {
    std::string prefix;  // "ita:10,20,30" means three angles
    for (std::string item : split_text(list, ',')) {
      if (item.empty()) throw UsageError("sweep {}: '{}' holds an empty value", sweep.key, list);
      if (sweep.key == "skin") {
        const size_t colon = item.find(':');
        const std::string own = colon == std::string::npos ? "" : item.substr(0, colon + 1);
        if (own == "ita:" || own == "monk:") {
          prefix = own;
          item = item.substr(colon + 1);
        } else if (prefix.empty() || !(number_in(item) || range_in(item))) {
          prefix.clear();
          parse_skin(item, offer.locus);
          sweep.values.push_back(item);
          continue;
        }
        if (const auto range = range_in(item))
          add_range(sweep.values, sweep.key, *range, prefix, prefix == "monk:");
        else
          sweep.values.push_back(prefix + item);
      } else if (const auto range = numeric ? range_in(item) : std::nullopt) {
        add_range(sweep.values, sweep.key, *range, "", sweep.key == "seed");
      } else {
        sweep.values.push_back(item);
      }
    }
  }
  if (sweep.values.size() > kMostSweepValues)
    throw UsageError("sweep {}: {} values are more than the {} that one axis may have", sweep.key, sweep.values.size(),
                     kMostSweepValues);
  for (const std::string& value : sweep.values) {
    if (sweep.key == "seed")
      seed_of(value);
    else if (numeric)
      number_of("sweep " + sweep.key, value);
    else if (sweep.key == "shape")
      shape_from_name(value);
    else if (sweep.key == "skin")
      parse_skin(value, offer.locus);
    else if (std::find(offer.conditions.begin(), offer.conditions.end(), value) == offer.conditions.end())
      throw UsageError("sweep: the condition \"{}\" is not known{}", value, did_you_mean(value, offer.conditions));
  }
  return sweep;
}

Wish with_value(Wish wish, const std::string& key, const std::string& value) {
  if (key == "condition")
    wish.condition = value;
  else if (key == "skin")
    wish.skin = value;
  else if (key == "size")
    wish.size = value;
  else if (key == "x")
    wish.x = value;
  else if (key == "y")
    wish.y = value;
  else if (key == "aspect")
    wish.aspect = value;
  else if (key == "shape")
    wish.shape = value;
  else if (key == "seed")
    wish.seed = seed_of(value);
  else
    throw UsageError("sweep: \"{}\" is not known{}", key, did_you_mean(key, sweep_keys()));
  return wish;
}

std::vector<Request> read_plan(const std::filesystem::path& file, const Offer& offer) {
  static const std::vector<std::string> known = {"condition", "skin", "shape", "size",    "x",    "y",
                                                 "aspect",    "seed", "mask",  "regions", "count"};
  const CsvTable table = CsvTable::read(file);
  for (const std::string& column : table.header())
    if (std::find(known.begin(), known.end(), column) == known.end())
      throw DataError("{}: \"{}\" is not a column of a plan{}", file.string(), column, did_you_mean(column, known));
  if (table.size() == 0) throw DataError("{}: it has a header but no rows", file.string());
  std::vector<Request> requests;
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string where = fmt::format("{}, row {}", file.string(), row + 2);
    try {
      Wish wish;
      for (const char* key : {"condition", "skin", "shape", "size", "x", "y", "aspect"})
        if (const std::string& value = table.get(row, key); !value.empty()) wish = with_value(wish, key, value);
      if (const std::string& mask = table.get(row, "mask"); !mask.empty())
        wish.mask_file = (file.parent_path() / mask).string();
      if (const std::string& regions = table.get(row, "regions"); !regions.empty())
        wish.regions = split_text(regions, ';');
      const std::string& count_text = table.get(row, "count");
      const int64_t count = count_text.empty() ? 1 : parse_integer(count_text, where + ", column count");
      if (count < 1 || count > kMostRequests - static_cast<int64_t>(requests.size()))
        throw UsageError("the count {} is not from 1 to {}", count, kMostRequests);
      const std::string& seed = table.get(row, "seed");
      // Without a seed each request takes its place in the plan, so that no two images are drawn alike.
      const uint64_t first = seed.empty() ? requests.size() : seed_of(seed);
      const Request request = make_request(wish, offer);
      for (int64_t i = 0; i < count; ++i) {
        requests.push_back(request);
        requests.back().seed = first + static_cast<uint64_t>(i);
      }
    } catch (const UsageError& error) {
      throw DataError("{}: {}", where, error.what());
    }
  }
  return requests;
}

std::vector<Request> balanced_requests(size_t count, const std::vector<std::string>& balance, const Offer& offer,
                                       uint64_t seed) {
  static const std::vector<std::string> axes = {"condition", "tone", "size"};
  for (const std::string& axis : balance)
    if (std::find(axes.begin(), axes.end(), axis) == axes.end())
      throw UsageError("balance: \"{}\" is not known{}", axis, did_you_mean(axis, axes));
  if (offer.conditions.empty()) throw DataError("offer: it names no condition; at least one is expected");
  const auto has = [&](const char* axis) { return std::find(balance.begin(), balance.end(), axis) != balance.end(); };

  struct Span {
    double low, high;
  };
  const double low = offer.locus.known() ? offer.locus.low_ita() : -60,
               high = offer.locus.known() ? offer.locus.high_ita() : 70;
  std::vector<Span> tones;
  // A sliver of a group would be filled with one colour only, so it takes two degrees to count as reached.
  constexpr std::array<Span, 6> groups = {{{55, 90}, {41, 55}, {28, 41}, {10, 28}, {-30, 10}, {-90, -30}}};
  if (has("tone"))
    for (const Span& g : groups)
      if (std::min(g.high, high) - std::max(g.low, low) >= 2)
        tones.push_back({std::max(g.low, low), std::min(g.high, high)});
  if (tones.empty()) tones = {{low, high}};
  std::vector<Span> sizes = {{offer.low_size, offer.high_size}};
  if (has("size")) {
    const double third = (offer.high_size - offer.low_size) / 3;
    sizes.clear();
    for (int i = 0; i < 3; ++i) sizes.push_back({offer.low_size + third * i, offer.low_size + third * (i + 1)});
  }
  const size_t conditions = offer.conditions.size();
  const size_t cells = conditions * tones.size() * sizes.size();

  // Whole rounds over the cells, each in an order of its own, so that any count is balanced to within one.
  std::vector<size_t> order(cells);
  std::vector<Request> requests;
  requests.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (i % cells == 0) {
      for (size_t k = 0; k < cells; ++k) order[k] = k;
      Rng(mix_seed(seed, hash_text("round") + i / cells)).shuffle(order);
    }
    const size_t cell = order[i % cells];
    Rng rng(mix_seed(seed, i));
    Request request;
    request.seed = rng.next() >> 1;  // fits a signed 64-bit column of other programs
    Region region;
    region.condition =
        has("condition") ? offer.conditions[cell % conditions]
                         : offer.conditions[static_cast<size_t>(rng.integer(0, static_cast<int64_t>(conditions) - 1))];
    const Span tone = tones[cell / conditions % tones.size()], size = sizes[cell / conditions / tones.size()];
    region.shape = offer.shape == Shape::mask ? Shape::blob : offer.shape;
    set_sides(region, rng.uniform(size.low, size.high), std::exp(rng.uniform(-0.3, 0.3)));
    // The mean of two draws: more often near the middle, as in photographs of lesions.
    const auto centre = [&](double side) { return side / 2 + (1 - side) * (rng.uniform() + rng.uniform()) / 2; };
    region.x = centre(region.w);
    region.y = centre(region.h);

    const double ita = rng.uniform(tone.low, tone.high);
    const image::Lab point = offer.locus.at(ita);
    const std::string group = image::tone_of(ita);
    image::Lab lab = point;
    bool found = false;
    for (int attempt = 0; attempt < 12 && !found; ++attempt) {
      const double spread = (attempt < 8 ? 0.35 : 0.0) * offer.locus.reach();
      // a* moves freely; L* and b* move on the ray of the same ITA.
      const double ray = 1 + 0.5 * spread * rng.normal() / std::max(4.0, std::hypot(point.L - 50, point.b));
      const image::Lab tried{50 + (point.L - 50) * ray, point.a + spread * rng.normal(), point.b * ray};
      if (!image::in_gamut(tried)) continue;
      lab = image::lab_of(image::rgb_of(tried));  // so that asking for the same #rrggbb gives the same request
      found =
          image::tone_of(image::ita_degrees(lab)) == group && (!offer.locus.known() || !offer.locus.extrapolated(lab));
    }
    if (!found) lab = point;
    request.skin = lab;
    request.skin_text = found ? image::hex_of(image::rgb_of(lab)) : "ita:" + number_text(ita);
    request.extrapolated = offer.locus.extrapolated(request.skin);
    request.regions.push_back(std::move(region));
    validate(request, offer.conditions);
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace derm::data
