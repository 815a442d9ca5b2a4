#pragma once
// A data set: an image folder that anyone can read, with metadata.csv (Hugging Face imagefolder) and dataset.json.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/request.h"
#include "derm/image/colour.h"
#include "derm/image/image.h"

namespace derm::data {

namespace fs = std::filesystem;

/// One row of metadata.csv.
struct Record {
  std::string file_name;  ///< relative to the data set, "images/..."
  std::string condition;
  std::string split = "train";  ///< train, validation or test
  std::string subject_id, lesion_id;
  std::vector<image::Box> boxes;  ///< pixels of the stored image; the first is box_x .. box_h, further ones are JSON
  std::string mask_file_name;     ///< "" if there is none
  std::optional<image::Rgb> skin_rgb;
  std::optional<double> ita_deg;
  std::string tone;
  std::string fitzpatrick;  ///< given by a person, never guessed; "" if unknown
  std::string source, license;
  std::optional<double> quality;             ///< of the lesion region, 0 to 1
  std::map<std::string, std::string> extra;  ///< further columns, requested_* of a generated set among them
};

class DataSet {
 public:
  /// Reads metadata.csv and dataset.json (the latter may be missing: any imagefolder with a `condition` column will
  /// do).
  /// @throws DataError naming file, line and column: missing column, unknown split, box outside the image, a path that
  ///         leaves the folder, a file that is not there, no rows.
  static DataSet open(const fs::path& root);

  const fs::path& root() const { return root_; }
  const std::vector<Record>& records() const { return records_; }
  const std::vector<std::string>& conditions() const { return conditions_; }  ///< sorted
  int size_px() const { return size_px_; }                                    ///< 0 if the images differ in size
  const std::string& fingerprint() const { return fingerprint_; }  ///< SHA-256 over names and content; "" if unknown
  double min_quality() const { return min_quality_; }              ///< rows below it are left out of training
  const nlohmann::json& facts() const { return facts_; }           ///< dataset.json

  /// Indices into records(): of the split, fit for training (condition, box or mask, skin colour there; quality
  /// enough).
  std::vector<size_t> usable(const std::string& split) const;
  std::vector<size_t> of_split(const std::string& split) const;

  /// The rows of these conditions alone. Root, facts and fingerprint stay those of the whole set.
  /// @throws UsageError for a condition that no row has (the nearest is offered), or for none
  DataSet only(const std::vector<std::string>& conditions) const;

  fs::path path_of(const std::string& relative) const;  ///< checked to stay inside

 private:
  fs::path root_;
  std::vector<Record> records_;
  std::vector<std::string> conditions_;
  int size_px_ = 0;
  std::string fingerprint_;
  double min_quality_ = 0;
  nlohmann::json facts_;
};

/// The request that a row of a data set stands for: its regions (the mask where there is one and `shape` is
/// Shape::mask, else its boxes drawn as `shape`) and its measured skin colour.
/// @param mask  the row's mask, empty if it has none
Request request_of(const Record& record, const image::Mask& mask, int image_size_px, Shape shape);

/// Writes metadata.csv and dataset.json of a set whose images (and masks) already stand under `root`, computing counts
/// and the fingerprint. `facts` is merged into dataset.json; `min_quality` in it is what open() reads back as
/// min_quality().
void write_data_set(const fs::path& root, const std::vector<Record>& records, const nlohmann::json& facts);

/// SHA-256 over the sorted (file name, SHA-256 of content) pairs of images and masks, and the rows.
std::string data_set_fingerprint(const fs::path& root, const std::vector<Record>& records);

}  // namespace derm::data
