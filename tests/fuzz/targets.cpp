#include "targets.h"

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/options.h"
#include "derm/data/request.h"
#include "derm/data/semantic_map.h"
#include "derm/image/codec.h"
#include "derm/tensor/pth.h"
#include "derm/tensor/safetensors.h"

namespace derm::fuzz {

namespace {

struct AllKinds {
  bool flag = false;
  int64_t whole = 1;
  double number = 0.5;
  std::string text = "a";
  std::vector<int64_t> wholes;
  std::vector<std::string> texts;
  void bind(Options& o) {
    o.add("flag", flag, "");
    o.add("whole", whole, "");
    o.add("number", number, "");
    o.add("text", text, "");
    o.add("wholes", wholes, "");
    o.add("texts", texts, "");
  }
};

void image_target(std::string_view bytes) {
  const image::Limits limits{.max_file_bytes = 1 << 20, .max_pixels = 1 << 20};
  const image::Image picture = image::decode_image(bytes, "fuzz", limits);
  if (picture.pixels.size() != static_cast<size_t>(picture.width) * picture.height * picture.channels)
    throw std::logic_error("pixels");
}

void csv_target(std::string_view bytes) {
  const CsvTable table = CsvTable::parse(bytes, "fuzz");
  // What was read can be written and read again.
  const CsvTable again = CsvTable::parse(table.to_string(), "again");
  if (again.size() != table.size() || again.header() != table.header())
    throw std::logic_error("csv does not round-trip");
}

void toml_target(std::string_view bytes) {
  AllKinds kinds, inner;
  Options options;
  kinds.bind(options);
  options.section("inner", inner);
  options.read_toml(bytes, "fuzz");
  const std::string written = options.to_toml();
  options.read_toml(written, "again");
  if (options.to_toml() != written) throw std::logic_error("options do not round-trip");
}

void safetensors_target(std::string_view bytes) { tensor::parse_safetensors(bytes, "fuzz"); }

void pth_target(std::string_view bytes) { tensor::parse_pth(bytes, "fuzz"); }

void request_target(std::string_view bytes) {
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, false);
  if (json.is_discarded()) return;
  const data::Request request = data::request_from_json(json);
  const std::vector<std::string> conditions{"melanoma", "nevus"};
  data::validate(request, conditions);
  data::encode_map(request, {.conditions = conditions, .size_px = 32});
}

}  // namespace

const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> all{{"image", image_target}, {"csv", csv_target},
                                                 {"toml", toml_target},   {"safetensors", safetensors_target},
                                                 {"pth", pth_target},     {"request", request_target}};
  return all;
}

}  // namespace derm::fuzz
