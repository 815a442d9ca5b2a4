#pragma once
// What a generator has seen, and that it is nothing that classifiers are tested on. No libtorch.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "derm/data/dataset.h"

namespace derm::utility {

/// By what one photograph, or its patient, is known again in another data set: its patient and lesion together with the
/// source that named them, and its file's bytes.
std::vector<std::string> marks_of(const data::DataSet& data, const data::Record& record);

/// The data that a generator learned from.
struct Provenance {
  bool known = false;
  std::string missing;                      ///< what is not known, a sentence; "" if all is
  std::vector<std::string> learned;         ///< one a data set: folder and fingerprint, for the report
  std::map<std::string, std::string> seen;  ///< marks of all photographs seen, and where each stands
};

/// Follows a generator's data fingerprint, and that of the model it started from (and so on), to data sets.
/// @param training  a bundle's training facts, or what a generated set says of its generator's
/// @param what      names the generator, for messages
/// @param known     data sets that may be those it learned from. All but their test split counts as seen: training rows
///                  were learned from, and validation rows chose the best weights
Provenance provenance_of(const nlohmann::json& training, const std::string& what,
                         const std::vector<const data::DataSet*>& known);

/// @param what    who may have seen them: the generator, or the data set that classifiers learn from
/// @param rows    of `photographs`: what must not have been seen
/// @param where   what the rows are: "fold 2's test photographs"
/// @param advice  ends the message
/// @throws DataError naming a photograph of `rows` that was seen, itself or its patient
void check_unseen(const Provenance& provenance, const std::string& what, const data::DataSet& photographs,
                  const std::vector<size_t>& rows, const std::string& where, const std::string& advice);

/// The training photographs of one fold as a data set of their own, for a generator to learn from: splits train and
/// validation, files linked where the file system can. Made once; a later call finds it.
void write_fold_set(const data::DataSet& data, const std::vector<size_t>& train, const std::vector<size_t>& validation,
                    const std::filesystem::path& folder);

}  // namespace derm::utility
