#pragma once
// A data set written row by row.
#include <memory>

#include "derm/data/dataset.h"

namespace derm::data {

/// The set that write_data_set writes, row by row for one too large for memory: what stays is three numbers a training
/// row. The files of a row stand under `root` when it is added; the folder is a new one (NewDirectory), since the table
/// grows in place.
class DataSetWriter {
 public:
  /// @param extra_columns  every name that a row's `extra` may hold
  DataSetWriter(const fs::path& root, const std::vector<std::string>& extra_columns, const nlohmann::json& facts);
  ~DataSetWriter();
  /// @throws UsageError: files not in ascending order of their names, a column that was not announced
  void add(const Record& record);
  void finish();  ///< fingerprint and dataset.json. @throws DataError: no row, a full disk

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::data
