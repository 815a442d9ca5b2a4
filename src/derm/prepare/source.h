#pragma once
// The public sets' layouts, read into one kind of row.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "derm/image/image.h"
#include "derm/prepare/prepare.h"

namespace derm::prepare {

/// One image as its source describes it.
struct SourceRow {
  fs::path image, mask;  ///< absolute; mask may be empty
  std::string condition, subject_id, lesion_id, split, fitzpatrick, source, license;
  std::vector<image::Box> boxes;             ///< in pixels of the source image
  std::map<std::string, std::string> extra;  ///< age, sex, site ...
};

struct Source {
  std::string layout;  ///< what it was read as
  std::vector<SourceRow> rows;
  std::vector<Refused> refused;  ///< rows without image, condition ...
};

/// @throws DataError: folder empty, no table that can be read, a needed column missing (with the columns that are there
/// and
///         how to name one).
Source read_source(const PrepareOptions& options);

/// "BCC" -> "basal_cell_carcinoma", "Melanocytic nevus" -> "nevus": known codes and spellings become one name, others
/// are lower-cased with underscores.
std::string condition_name(const std::string& text);

}  // namespace derm::prepare
