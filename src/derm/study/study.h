#pragma once
// What a study is on disk.
//
//   STUDY/study.json    what is shown and how; nothing in it tells the source of an image. Holds the key's SHA-256
//   STUDY/key.json      the sealed key: source, condition and tone of each image, its SHA-256, the seed, a salt
//   STUDY/codes.csv     the readers' codes, for whoever invites them
//   STUDY/images/       opaque names, one encoder, one length
//   STUDY/study.db      who sees what when, and the answers (SQLite)
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/study/design.h"

namespace derm::study {

/// What readers are asked, and how they see the images.
struct Settings {
  std::string title = "Real or synthetic?";
  int64_t viewing_ms = 0;  ///< 0: as long as they like; else the image goes after so long, and no answer is undone
  bool ask_condition = true, ask_ratings = true, ask_marks = true, ask_remark = true;
  bool practice_feedback = false;  ///< after each practice image its source is told
  void validate() const;           ///< throws UsageError
  nlohmann::ordered_json to_json() const;
  static Settings from_json(const nlohmann::json& json, const std::string& where);
};

/// study.json.
struct Description {
  Settings settings;
  std::string created;     ///< UTC, "2026-11-21T12:00:00Z"
  std::string key_sha256;  ///< of the bytes of key.json, salt and all
  std::vector<std::string> conditions;
  int size_px = 0;
  size_t image_bytes = 0;  ///< of every image
  int64_t images = 0, readers = 0, images_per_reader = 0, practice = 0, repeats = 0;
  nlohmann::ordered_json power;                         ///< the calculation, as it was shown
  std::map<std::string, std::string> practice_sources;  ///< image -> "real" or "synthetic"; with practice_feedback only
  std::string text() const;                             ///< the file
  static Description read(const std::filesystem::path& study);
};

/// An image in the key.
struct KeyImage {
  std::string image;  ///< "3f9c...jpg", below images/
  std::string sha256;
  std::string pool;  ///< "real" or the model's name
  bool real = false;
  std::string file_name;  ///< in the pool's data set
  std::string condition, tone, subject;
  std::string kind;  ///< practice, anchor, block
  int64_t block = 0;
};

struct KeyPool {
  std::string name, path, fingerprint;
  int64_t images = 0;  ///< that could have been drawn
};

/// key.json, opened.
struct Key {
  std::string salt;
  uint64_t seed = 0;
  std::vector<KeyPool> pools;  ///< real first
  std::vector<KeyImage> images;
  std::string text() const;
  static Key parse(const std::string& text, const std::string& where);
};

/// Opens the key and checks it against what was published: study.json, and what the database noted when it was made.
/// @throws DataError if it is not the sealed one, or an image is not the one that it lists
Key open_key(const std::filesystem::path& study, const std::filesystem::path& key_file);

struct PoolSource {
  std::string name;
  std::filesystem::path path;
};

struct NewStudy {
  std::filesystem::path out;
  std::filesystem::path real;
  std::vector<PoolSource> synthetic;
  std::string split = "test";  ///< of the real set: train, validation, test or all
  int64_t size_px = 0;         ///< 0: the smallest side of the images taken, at most 1024
  int64_t quality = 92;        ///< JPEG
  DesignOptions design;
  Settings settings;
  void validate() const;  ///< throws UsageError
};

struct MadeStudy {
  Description description;
  Design design;
  std::vector<std::pair<std::string, std::string>> codes;  ///< reader, code
  std::vector<std::string> notes;                          ///< what whoever runs the study should know
};

/// Makes a study: draws, encodes, seals. Appears whole or not at all.
/// @throws UsageError (options, pools too small), DataError (a set or image that cannot be read)
MadeStudy make_study(const NewStudy& wish);

/// Milliseconds since 1970, UTC.
int64_t now_ms();
std::string utc_text(int64_t ms);  ///< "2026-11-21T12:00:00Z"

}  // namespace derm::study
