#pragma once
// Small studies for tests, from made skin alone.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "derm/base/random.h"
#include "derm/phantom/phantom.h"
#include "derm/study/store.h"
#include "derm/study/study.h"

namespace derm::study::testing_shop {

namespace fs = std::filesystem;

/// A folder that goes away with its object.
class Folder {
 public:
  explicit Folder(const std::string& name)
      : path_(fs::temp_directory_path() / ("derm-" + name + "-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Phantoms of two conditions, made once a process: "real", and two "models".
inline const fs::path& pools() {
  static const Folder folder("study-pools");
  static const bool made = [] {
    uint64_t seed = 1;
    for (const auto& [name, count] : {std::pair{"real", 72}, std::pair{"a", 48}, std::pair{"b", 48}}) {
      phantom::PhantomOptions o;
      o.out = folder.path() / name;
      o.count = count;
      o.size_px = 64;
      o.seed = seed++;
      o.conditions = {phantom::condition_names()[0], phantom::condition_names()[1]};
      phantom::write_phantoms(o);
    }
    return true;
  }();
  (void)made;
  return folder.path();
}

/// Three readers in two groups, two models, 16 images each; some anchors, two blocks, practice, repeats.
inline NewStudy small_study(const fs::path& out) {
  NewStudy wish;
  wish.out = out;
  wish.real = pools() / "real";
  wish.synthetic = {{"model-a", pools() / "a"}, {"model-b", pools() / "b"}};
  wish.split = "all";
  wish.design.groups = {{"dermatologists", 2}, {"lay", 1}};
  wish.design.images_per_reader = 16;
  wish.design.blocks = 2;
  wish.design.blocks_per_reader = 1;
  wish.design.practice = 2;
  wish.design.repeats = 4;
  wish.design.by_tone = false;
  wish.design.seed = 3;
  return wish;
}

/// Answers of a made reader: right with probability `skill`, the more certain the more often right. Twice the same for
/// the same seed.
inline Answer made_answer(Rng& rng, bool real, double skill, const std::vector<std::string>& conditions) {
  static int64_t serial = 0;
  Answer a;
  const bool right = rng.chance(skill);
  a.id = "answer-" + std::to_string(++serial);
  a.verdict = right == real ? "real" : "synthetic";
  a.confidence = std::clamp<int64_t>(rng.integer(1, 5) + (right ? 1 : -1), 1, 5);
  const int64_t pick = rng.integer(0, static_cast<int64_t>(conditions.size()));
  a.condition = pick == static_cast<int64_t>(conditions.size()) ? "unsure" : conditions[static_cast<size_t>(pick)];
  a.realism = a.verdict == "real" ? rng.integer(3, 5) : rng.integer(1, 4);
  a.artefacts = 6 - *a.realism;
  if (a.verdict == "synthetic" && rng.chance(0.5)) {
    a.marks = R"([{"reason":"texture","x":0.25,"y":0.5,"w":0.25,"h":0.25},{"reason":"colour"}])";
  }
  a.response_ms = rng.integer(900, 20000);
  a.viewed_ms = a.response_ms;
  return a;
}

/// Every reader answers as many showings as `limit` allows (all of them: -1), by the database alone.
inline void answer_all(const fs::path& study, double skill, uint64_t seed, int64_t limit = -1) {
  const Key key = open_key(study, study / "key.json");
  const Description description = Description::read(study);
  std::map<std::string, bool> real;
  for (const KeyImage& i : key.images) real[i.image] = i.real;
  Store store(study / "study.db");
  for (const Reader& reader : store.readers()) {
    Rng rng(mix_seed(seed, static_cast<uint64_t>(reader.id)));
    for (int64_t i = 0; limit < 0 || i < limit; ++i) {
      const auto current = store.current(reader.id);
      if (!current) break;
      store.note("viewed", reader.id, current->id);
      store.accept(reader.id, current->id, made_answer(rng, real.at(current->image), skill, description.conditions));
    }
  }
}

}  // namespace derm::study::testing_shop
