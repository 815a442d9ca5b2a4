#pragma once
// From what people have to a data set.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "derm/data/dataset.h"

namespace derm::prepare {

namespace fs = std::filesystem;

struct PrepareOptions {
  fs::path source;  ///< a folder, or a CSV beside its images
  fs::path out;
  int size_px = 256;
  std::string layout = "auto";   ///< auto, folder, isic, ham10000, pad-ufes-20, fitzpatrick17k, scin, csv
  fs::path images, masks;        ///< where they are, if not found by themselves
  std::vector<std::string> csv;  ///< further tables, joined by image name (ISIC ground truth beside metadata)
  std::map<std::string, std::string> columns;  ///< our name -> theirs: {"file_name": "img", "condition": "dx"}
  std::string regions = "auto";                ///< auto (mask, else box, else found), mask, box, found
  double min_quality = 0.35;                   ///< found regions below it are left out of training
  std::string crop = "centre";  ///< centre (square of the short side), lesion (square round the lesion), stretch
  double train = 0.70, validation = 0.15;  ///< the rest is test
  int near_duplicate_bits =
      20;  ///< of 256: hashes that differ by at most this are compared pixel by pixel. A JPEG of quality 70
           ///< differs from its source by up to 15 (99 of 100), pictures of two lesions by 35 and more
  std::vector<std::string> conditions;  ///< keep only these; empty: all
  int threads = 0;
  void validate() const;
};

struct Refused {
  std::string file, reason;
};

struct Summary {
  size_t read = 0, written = 0, below_quality = 0, duplicates = 0, near_duplicates = 0;
  std::vector<Refused> refused;
  std::map<std::string, std::map<std::string, size_t>> counts;  ///< condition -> split -> images
  std::string layout, fingerprint;
};

/// Reads the source (never changes it), and writes the data set to `options.out`, whole or not at all. refused.csv
/// beside metadata.csv lists what was left out and why; preview.png shows a sheet with found outlines and measured skin
/// colours.
Summary prepare(const PrepareOptions& options);

}  // namespace derm::prepare
