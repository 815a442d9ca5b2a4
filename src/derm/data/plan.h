#pragma once
// Many requests at once: sweeps, balanced draws, plan files.
#include <filesystem>
#include <string>
#include <vector>

#include "derm/data/dataset.h"
#include "derm/data/request.h"
#include "derm/data/skin_locus.h"

namespace derm::data {

/// The parts of a request that a model may heed.
inline const std::vector<std::string> kAllHeeded = {"condition", "region", "skin", "seed"};

/// A latent direction that a model's images vary along, named by what was measured along it.
struct LatentDirection {
  std::string name;
  double range = 2;  ///< it was measured from -range to range, in deviations of the space
};

/// What a bundle can be asked for; requests are checked against it before a model is touched.
struct Offer {
  std::vector<std::string> conditions;
  SkinLocus locus;
  Shape shape = Shape::blob;               ///< shape that suits how the model was trained
  double low_size = 0.1, high_size = 0.8;  ///< 5th to 95th percentile of the region sizes it has seen
  // Known once the bundle is opened, so not in its config:
  std::vector<std::string> heeds = kAllHeeded;  ///< what of a request reaches an image
  std::vector<LatentDirection> directions;      ///< none for most models
  bool heeded(const std::string& part) const;
  nlohmann::json to_json() const;
  static Offer from_json(const nlohmann::json& json);
};

/// What the usable training rows of a data set offer.
Offer offer_of(const DataSet& data);

/// A request as flags give it; what is "" or unset takes the default (first condition, locus at the median, centre,
/// 0.35).
struct Wish {
  std::string condition, skin, shape;
  std::string size, x, y, aspect;  ///< numbers as text, so that a sweep can stand in for any
  std::string mask_file;
  std::vector<std::string> regions;     ///< further regions: "condition=nevus,x=0.3,y=0.3,size=0.1,shape=ellipse"
  std::vector<std::string> directions;  ///< latent directions and how far to go: "1=2.5", the first by 2.5 deviations
  uint64_t seed = 0;
};
Request make_request(const Wish& wish, const Offer& offer);

/// One axis of a grid: `size=0.1..0.6:6`, `skin=ita:-20..50:5`, `skin=monk:1..10`, `condition=*`,
/// `condition=nevus,melanoma`, `x=0.3,0.5,0.7`, `seed=1..8`. A range of numbers without a count takes 6 steps, of
/// integers every one.
struct Sweep {
  std::string key;                  ///< condition, skin, size, x, y, aspect, shape or seed
  std::vector<std::string> values;  ///< each as the flag of that name would be given
};
/// @throws UsageError: unknown key (nearest offered), empty or backward range, more than 64 values.
Sweep parse_sweep(const std::string& text, const Offer& offer);
Wish with_value(Wish wish, const std::string& key, const std::string& value);

/// plan.csv: columns among condition, skin, shape, size, x, y, aspect, seed, mask, regions, count. Unknown columns are
/// refused.
std::vector<Request> read_plan(const std::filesystem::path& file, const Offer& offer);

/// `count` requests drawn at random within what the model has seen, balanced over `balance` (of condition, tone, size);
/// tone groups that the locus does not reach are left out.
std::vector<Request> balanced_requests(size_t count, const std::vector<std::string>& balance, const Offer& offer,
                                       uint64_t seed);

}  // namespace derm::data
