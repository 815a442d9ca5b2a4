#include "targets.h"

#include <filesystem>

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
#include "derm/serving/zip.h"
#endif
#ifdef DERM_STUDY
#include "derm/study/blinding.h"
#include "derm/study/results.h"
#include "derm/study/service.h"
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

/// A line is the name of a file: what is taken stays in the folder that it is unpacked into.
void zip_target(std::string_view bytes) {
  serving::ZipWriter zip;
  for (size_t at = 0; at <= bytes.size();) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    const std::string name(bytes.substr(at, end - at));
    at = end + 1;
    const size_t before = zip.files();
    try {
      zip.add(name, name);
    } catch (const UsageError&) {
      if (zip.files() != before) throw std::logic_error("a name was refused and taken");
      continue;
    }
    const std::filesystem::path inside = (std::filesystem::path("folder") / name).lexically_normal();
    if (*inside.begin() != "folder" || name.find('\0') != std::string::npos)
      throw std::logic_error("a name leaves its folder");
  }
  const size_t files = zip.files();
  const std::string archive = zip.finish();
  // The number of files stands 12 bytes before the end, twice before that.
  const auto noted = static_cast<uint8_t>(archive.at(archive.size() - 12)) +
                     256u * static_cast<uint8_t>(archive.at(archive.size() - 11));
  if (noted != files) throw std::logic_error("the directory counts other files");
  if (files == 0) throw UsageError("no name is one");
}
#endif

#ifdef DERM_STUDY
/// A reader's answer as JSON, of a study that asks for everything and of one that asks for the verdict alone.
void answer_target(std::string_view bytes) {
  study::normalised_code(bytes);
  study::guard_formula(bytes);
  study::Description all, least;
  all.conditions = least.conditions = {"melanoma", "nevus"};
  least.settings.ask_condition = least.settings.ask_ratings = least.settings.ask_marks = least.settings.ask_remark =
      false;
  std::string refusal;
  bool taken = false;
  for (const study::Description* description : {&all, &least}) {
    try {
      const study::Answer answer = study::parse_answer(http::parse_json(bytes, 6), *description);
      taken = true;
      if ((answer.verdict != "real" && answer.verdict != "synthetic") || answer.confidence < 1 || answer.confidence > 5)
        throw std::logic_error("an answer that is none");
      if (answer.id.size() < 8 || answer.id.size() > 64 || answer.remark.size() > 8000 || answer.response_ms < 0)
        throw std::logic_error("an answer beyond its limits");
      const nlohmann::json marks = nlohmann::json::parse(answer.marks);
      if (!marks.is_array() || marks.size() > 20) throw std::logic_error("marks that are none");
      if (!study::guard_formula(answer.remark).empty() &&
          std::string("=+-@\t\r\n").find(study::guard_formula(answer.remark).front()) != std::string::npos)
        throw std::logic_error("a remark starts a formula");
    } catch (const http::HttpError& error) {
      if (error.status() != 400) throw std::logic_error("an answer is refused otherwise than by 400");
      refusal = error.what();
    }
  }
  if (!taken) throw UsageError("{}", refusal);
}

void key_target(std::string_view bytes) {
  const study::Key key = study::Key::parse(std::string(bytes), "fuzz");
  if (study::Key::parse(key.text(), "again").text() != key.text()) throw std::logic_error("a key does not round-trip");
}
#endif

}  // namespace

const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> all{
      {"image", image_target},   {"csv", csv_target},
      {"toml", toml_target},     {"safetensors", safetensors_target},
      {"pth", pth_target},       {"request", request_target},
#ifdef DERM_SERVING
      {"http", http_target},     {"ask", ask_target},
      {"zip", zip_target},
#endif
#ifdef DERM_STUDY
      {"answer", answer_target}, {"key", key_target},
#endif
  };
  return all;
}

}  // namespace derm::fuzz
