#pragma once
// Small studies for tests, from made skin alone.
#include <unistd.h>

#include <filesystem>
#include <string>

#include "derm/phantom/phantom.h"
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

}  // namespace derm::study::testing_shop
