#pragma once
// Sets that the tests of this folder share.
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "derm/base/files.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "derm/phantom/phantom.h"

namespace derm::evaluation::testing {

namespace fs = std::filesystem;

/// A folder that goes away.
class Folder {
 public:
  explicit Folder(const std::string& name)
      : root_(fs::temp_directory_path() / ("derm-" + name + "-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~Folder() { fs::remove_all(root_); }
  fs::path operator/(const std::string& name) const { return root_ / name; }

 private:
  fs::path root_;
};

inline std::shared_ptr<const data::DataSet> open(const fs::path& root) {
  return std::make_shared<data::DataSet>(data::DataSet::open(root));
}

/// A data set of phantoms; 70/15/15, every image its own subject.
inline std::shared_ptr<const data::DataSet> phantoms(const fs::path& root, int64_t count, int64_t size_px,
                                                     uint64_t seed) {
  phantom::PhantomOptions options;
  options.out = root;
  options.count = count;
  options.size_px = size_px;
  options.seed = seed;
  phantom::write_phantoms(options);
  return open(root);
}

/// A set of the images that `change` makes of these rows, as if a generator had made them: PNG, or JPEG of `quality`.
inline std::shared_ptr<const data::DataSet> derived(
    const data::DataSet& source, const std::vector<size_t>& rows, const fs::path& root,
    const std::function<image::Image(const image::Image&, size_t)>& change, int quality = 0) {
  fs::create_directories(root / "images");
  std::vector<data::Record> records;
  for (size_t i = 0; i < rows.size(); ++i) {
    data::Record record = source.records()[rows[i]];
    const image::Image made = change(image::read_image(source.path_of(record.file_name)), i);
    record.file_name = "images/made" + std::to_string(i) + (quality > 0 ? ".jpg" : ".png");
    record.subject_id = record.lesion_id = record.mask_file_name = "";
    record.split = "train";
    write_file(root / record.file_name, quality > 0 ? image::encode_jpeg(made, quality) : image::encode_png(made));
    records.push_back(std::move(record));
  }
  data::write_data_set(root, records, {});
  return open(root);
}

}  // namespace derm::evaluation::testing
