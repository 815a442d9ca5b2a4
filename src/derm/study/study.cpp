#include "derm/study/study.h"

#include <chrono>
#include <ctime>
#include <set>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/text.h"
#include "derm/study/store.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "dermgan-study/1";
constexpr const char* kKeyFormat = "dermgan-study-key/1";
constexpr size_t kLongestTitle = 120;

/// A field of a file of ours. @throws DataError when it is missing or of another type
template <class T>
T field(const nlohmann::json& json, const char* name, const std::string& where) {
  const auto it = json.is_object() ? json.find(name) : json.end();
  if (!json.is_object() || it == json.end())
    throw DataError("{}: \"{}\" is missing; is this a study's file?", where, name);
  try {
    return it->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw DataError("{}: \"{}\" is of another type than expected", where, name);
  }
}

nlohmann::json parsed(const std::string& text, const std::string& where, const char* format) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw DataError("{}: is not JSON; a study's file is expected", where);
  const auto found = field<std::string>(json, "format", where);
  if (found != format) throw DataError("{}: its format is \"{}\", \"{}\" is expected", where, found, format);
  return json;
}

}  // namespace

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string utc_text(int64_t ms) {
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void Settings::validate() const {
  if (title.empty() || title.size() > kLongestTitle || find_non_utf8(title) != std::string::npos) {
    throw UsageError("--title {}: 1 to {} bytes of UTF-8 are expected", quote_text(title), kLongestTitle);
  }
  if (viewing_ms != 0 && (viewing_ms < 100 || viewing_ms > 600000)) {
    throw UsageError("--viewing-seconds {}: 0 (free) or 0.1 to 600 is expected",
                     static_cast<double>(viewing_ms) / 1000);
  }
}

Json Settings::to_json() const {
  return {{"title", title},
          {"viewing_ms", viewing_ms},
          {"ask_condition", ask_condition},
          {"ask_ratings", ask_ratings},
          {"ask_marks", ask_marks},
          {"ask_remark", ask_remark},
          {"practice_feedback", practice_feedback}};
}

Settings Settings::from_json(const nlohmann::json& json, const std::string& where) {
  Settings s;
  s.title = field<std::string>(json, "title", where);
  s.viewing_ms = field<int64_t>(json, "viewing_ms", where);
  s.ask_condition = field<bool>(json, "ask_condition", where);
  s.ask_ratings = field<bool>(json, "ask_ratings", where);
  s.ask_marks = field<bool>(json, "ask_marks", where);
  s.ask_remark = field<bool>(json, "ask_remark", where);
  s.practice_feedback = field<bool>(json, "practice_feedback", where);
  return s;
}

std::string Description::text() const {
  Json json = {{"format", kFormat},
               {"created", created},
               {"key_sha256", key_sha256},
               {"settings", settings.to_json()},
               {"conditions", conditions},
               {"size_px", size_px},
               {"image_bytes", image_bytes},
               {"images", images},
               {"readers", readers},
               {"images_per_reader", images_per_reader},
               {"practice", practice},
               {"repeats", repeats},
               {"power", power}};
  if (!practice_sources.empty()) json["practice_sources"] = practice_sources;
  return json.dump(2) + "\n";
}

Description Description::read(const std::filesystem::path& study) {
  const fs::path file = study / "study.json";
  const std::string where = file.string();
  if (!fs::exists(file)) {
    throw UsageError("{}: there is no study.json in it; give the folder that dermgan study new made", study.string());
  }
  const nlohmann::json json = parsed(read_file(file, 16 << 20), where, kFormat);
  Description d;
  d.created = field<std::string>(json, "created", where);
  d.key_sha256 = field<std::string>(json, "key_sha256", where);
  d.settings = Settings::from_json(field<nlohmann::json>(json, "settings", where), where);
  d.conditions = field<std::vector<std::string>>(json, "conditions", where);
  d.size_px = field<int>(json, "size_px", where);
  d.image_bytes = field<size_t>(json, "image_bytes", where);
  d.images = field<int64_t>(json, "images", where);
  d.readers = field<int64_t>(json, "readers", where);
  d.images_per_reader = field<int64_t>(json, "images_per_reader", where);
  d.practice = field<int64_t>(json, "practice", where);
  d.repeats = field<int64_t>(json, "repeats", where);
  d.power = Json::parse(field<nlohmann::json>(json, "power", where).dump());
  if (json.contains("practice_sources")) {
    d.practice_sources = field<std::map<std::string, std::string>>(json, "practice_sources", where);
  }
  return d;
}

std::string Key::text() const {
  Json sources = Json::array(), rows = Json::array();
  for (const KeyPool& p : pools) {
    sources.push_back({{"name", p.name}, {"path", p.path}, {"fingerprint", p.fingerprint}, {"images", p.images}});
  }
  for (const KeyImage& i : images) {
    rows.push_back({{"image", i.image},
                    {"sha256", i.sha256},
                    {"source", i.real ? "real" : "synthetic"},
                    {"pool", i.pool},
                    {"file_name", i.file_name},
                    {"condition", i.condition},
                    {"tone", i.tone},
                    {"subject", i.subject},
                    {"kind", i.kind},
                    {"block", i.block}});
  }
  // The salt comes first and is long: without it the text could be guessed from the data and tried against the hash.
  return Json{{"format", kKeyFormat}, {"salt", salt}, {"seed", seed}, {"pools", sources}, {"images", rows}}.dump(1) +
         "\n";
}

Key Key::parse(const std::string& text, const std::string& where) {
  const nlohmann::json json = parsed(text, where, kKeyFormat);
  Key key;
  key.salt = field<std::string>(json, "salt", where);
  key.seed = field<uint64_t>(json, "seed", where);
  for (const nlohmann::json& p : field<std::vector<nlohmann::json>>(json, "pools", where)) {
    key.pools.push_back({field<std::string>(p, "name", where), field<std::string>(p, "path", where),
                         field<std::string>(p, "fingerprint", where), field<int64_t>(p, "images", where)});
  }
  if (key.pools.size() < 2)
    throw DataError("{}: it names {} sources, at least two are expected", where, key.pools.size());
  for (const nlohmann::json& i : field<std::vector<nlohmann::json>>(json, "images", where)) {
    KeyImage image;
    image.image = field<std::string>(i, "image", where);
    image.sha256 = field<std::string>(i, "sha256", where);
    image.pool = field<std::string>(i, "pool", where);
    image.real = field<std::string>(i, "source", where) == "real";
    image.file_name = field<std::string>(i, "file_name", where);
    image.condition = field<std::string>(i, "condition", where);
    image.tone = field<std::string>(i, "tone", where);
    image.subject = field<std::string>(i, "subject", where);
    image.kind = field<std::string>(i, "kind", where);
    image.block = field<int64_t>(i, "block", where);
    key.images.push_back(std::move(image));
  }
  return key;
}

Key open_key(const std::filesystem::path& study, const std::filesystem::path& key_file) {
  const Description description = Description::read(study);
  const std::string text = read_file(key_file, 256 << 20), hash = sha256_hex(text);
  if (hash != description.key_sha256) {
    throw DataError(
        "{}: its SHA-256 is {}, study.json published {}: this is not the key that was sealed before the study began",
        key_file.string(), hash, description.key_sha256);
  }
  const std::string noted = Store(study / "study.db").key_sha256();
  if (noted != hash) {
    throw DataError("{}: the database was made for the key {}, study.json publishes {}: study.json was changed",
                    (study / "study.db").string(), noted, hash);
  }
  Key key = Key::parse(text, key_file.string());
  for (const KeyImage& image : key.images) {
    const fs::path file = resolve_inside(study / "images", image.image);
    if (const std::string found = sha256_file(file); found != image.sha256) {
      throw DataError("{}: its SHA-256 is {}, the key lists {}: the image was changed after the study was made",
                      file.string(), found, image.sha256);
    }
  }
  return key;
}

}  // namespace derm::study
