#pragma once
// What a client asks for, as JSON, to requests. Torch-free.
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/plan.h"
#include "derm/data/request.h"

namespace derm::serving {

enum class Format {
  png,     ///< each image by itself
  dataset  ///< one zip: images, masks, metadata.csv, dataset.json, requests.json
};

struct AskLimits {
  size_t max_images = 256;            ///< of one job
  size_t max_regions = 16;            ///< of one image
  size_t max_mask_bytes = 512 << 10;  ///< of a mask's PNG
  int max_mask_px = 1024;             ///< its side
};

struct Ask {
  std::string model;                    ///< "" for the first
  std::vector<data::Request> requests;  ///< validated against the model's offer
  Format format = Format::png;
  bool measure = false;  ///< the result of each control is measured too
  double wait_s = 0;     ///< how long the answer may wait for the job, 0 to 30
};

/// The fields of one image: condition, skin, size, x, y, aspect, shape, mask, regions, directions, seed, count.
const std::vector<std::string>& control_fields();
/// Further fields of a job: model, format, measure, wait_s, requests.
const std::vector<std::string>& job_fields();

/// Reads the body of POST /v1/generate. Masks come as base64 of a PNG or JPEG (white inside), skin colours as #rrggbb,
/// ita:25 or monk:6: nothing in it names a file. A seed that is not given is drawn.
/// @param offer_of  offer of a model by name; throws UsageError for an unknown one
/// @throws UsageError, also for a control that the model does not heed; DataError for a mask that is no image
Ask parse_ask(const nlohmann::json& json, const std::function<const data::Offer&(const std::string&)>& offer_of,
              const AskLimits& limits = {});

/// What an image was asked for, each control a field, the seed among them; masks only by their size. Of what the model
/// does not heed nothing is told.
nlohmann::ordered_json echo_of(const data::Request& request, const data::Offer& offer);

/// A skin colour by text. @throws UsageError for "like:", which would name a file of the server
image::Lab skin_of_text(const std::string& text, const data::SkinLocus& locus);

/// @throws DataError if it is not base64
std::string from_base64(std::string_view text, const std::string& where);

}  // namespace derm::serving
