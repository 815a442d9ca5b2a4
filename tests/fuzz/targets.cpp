#include "targets.h"

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/options.h"
#include "derm/data/request.h"
#include "derm/data/semantic_map.h"
#include "derm/image/codec.h"
#ifdef DERM_SERVING
#include "derm/http/message.h"
#include "derm/serving/ask.h"
#endif
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

#ifdef DERM_SERVING
/// Three lines: a request's target, a Host header, a body of JSON.
void http_target(std::string_view bytes) {
  const size_t first = std::min(bytes.find('\n'), bytes.size());
  const std::string_view rest = bytes.substr(std::min(first + 1, bytes.size()));
  const size_t second = std::min(rest.find('\n'), rest.size());
  http::host_name(rest.substr(0, second));
  http::Request request;
  request.headers["cookie"] = std::string(rest);
  request.cookie("a");
  try {
    http::parse_json(rest.substr(std::min(second + 1, rest.size())));
  } catch (const http::HttpError&) {
  }
  try {
    const http::Target target = http::parse_target(bytes.substr(0, first));
    if (("/" + target.path + "/").find("/../") != std::string::npos) throw std::logic_error("a path leaves its folder");
  } catch (const http::HttpError& error) {
    throw UsageError("{}", error.what());
  }
}

void ask_target(std::string_view bytes) {
  nlohmann::json json;
  try {
    json = http::parse_json(bytes);
  } catch (const http::HttpError& error) {
    throw UsageError("{}", error.what());
  }
  data::Offer offer;
  offer.conditions = {"melanoma", "nevus"};
  const serving::Ask ask = serving::parse_ask(json, [&](const std::string&) -> const data::Offer& { return offer; });
  if (ask.requests.empty() || ask.requests.size() > 256) throw std::logic_error("a job without a size");
  for (const data::Request& request : ask.requests) data::validate(request, offer.conditions);
}
#endif

}  // namespace

const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> all{
      {"image", image_target}, {"csv", csv_target},         {"toml", toml_target}, {"safetensors", safetensors_target},
      {"pth", pth_target},     {"request", request_target},
#ifdef DERM_SERVING
      {"http", http_target},   {"ask", ask_target},
#endif
  };
  return all;
}

}  // namespace derm::fuzz
