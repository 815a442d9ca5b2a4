#include "derm/utility/provenance.h"

#include <algorithm>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/recipe/bundle.h"

namespace derm::utility {
namespace {

constexpr int kLongestChain = 16;

std::string text_of(const nlohmann::json& facts, const char* name) {
  if (!facts.is_object()) return "";
  const auto found = facts.find(name);
  return found != facts.end() && found->is_string() ? found->get<std::string>() : "";
}

/// Training facts of what a model was started from: a bundle, a run or a checkpoint. Null for anything else.
nlohmann::json facts_of(const fs::path& start) {
  if (!fs::is_directory(start)) return nullptr;
  try {
    return recipe::read_bundle_config(recipe::find_bundle(start)).training;
  } catch (const Error&) {
    return nullptr;  // the caller says that it is not known
  }
}

}  // namespace

std::vector<std::string> marks_of(const data::DataSet& data, const data::Record& record) {
  std::vector<std::string> marks = {"bytes " + sha256_file(data.path_of(record.file_name))};
  // Numbers of patients mean something within one source alone, and those of lesions, where patients are known, within
  // one patient (PAD-UFES-20 has the lesion 285 of two patients).
  if (!record.subject_id.empty())
    marks.push_back("subject " + record.subject_id + " of " + record.source);
  else if (!record.lesion_id.empty())
    marks.push_back("lesion " + record.lesion_id + " of " + record.source);
  return marks;
}

Provenance provenance_of(const nlohmann::json& training, const std::string& what,
                         const std::vector<const data::DataSet*>& known) {
  Provenance result;
  nlohmann::json facts = training;
  std::string who = what;
  for (int link = 0; link < kLongestChain; ++link) {
    const std::string fingerprint = text_of(facts, "data_fingerprint");
    if (fingerprint.empty()) {
      result.missing = who + " does not say which data it learned from";
      return result;
    }
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const data::DataSet* set) { return set->fingerprint() == fingerprint; });
    if (found == known.end()) {
      const std::string name = text_of(facts, "data");
      result.missing =
          fmt::format("{} learned from data with the fingerprint {}{}, and no data set that is at hand has it", who,
                      fingerprint.substr(0, 12), name.empty() ? "" : " (\"" + name + "\")");
      return result;
    }
    const data::DataSet& data = **found;
    result.learned.push_back(fmt::format("{}, fingerprint {}", data.root().string(), fingerprint.substr(0, 12)));
    for (const data::Record& record : data.records()) {
      if (record.split == "test") continue;
      for (const std::string& mark : marks_of(data, record))
        result.seen.emplace(mark, (data.root().filename() / record.file_name).string());
    }
    const std::string start = text_of(facts, "init_from");
    if (start.empty()) {
      result.known = true;
      return result;
    }
    who = fmt::format("the model that {} started from ({})", what, start);
    facts = facts_of(start);
  }
  result.missing = fmt::format("{} has more than {} models before it", what, kLongestChain);
  return result;
}

void check_unseen(const Provenance& provenance, const std::string& what, const data::DataSet& photographs,
                  const std::vector<size_t>& rows, const std::string& where, const std::string& advice) {
  for (const size_t row : rows) {
    const data::Record& record = photographs.records()[row];
    for (const std::string& mark : marks_of(photographs, record)) {
      const auto found = provenance.seen.find(mark);
      if (found == provenance.seen.end()) continue;
      throw DataError("{} has seen {} of {} ({}, the same {}); {}", what, record.file_name, where, found->second,
                      mark.substr(0, mark.find(' ')), advice);
    }
  }
}

void write_fold_set(const data::DataSet& data, const std::vector<size_t>& train, const std::vector<size_t>& validation,
                    const fs::path& folder) {
  if (fs::exists(folder / "dataset.json")) return;
  NewDirectory directory(folder);
  std::vector<data::Record> records;
  const auto link = [&](const std::string& name) {
    const fs::path from = data.path_of(name), to = directory.path() / name;
    fs::create_directories(to.parent_path());
    std::error_code other_disk;
    fs::create_hard_link(from, to, other_disk);
    if (other_disk) fs::copy_file(from, to);
  };
  for (const auto* part : {&train, &validation}) {
    for (const size_t row : *part) {
      data::Record record = data.records()[row];
      record.split = part == &train ? "train" : "validation";
      link(record.file_name);
      if (!record.mask_file_name.empty()) link(record.mask_file_name);
      records.push_back(std::move(record));
    }
  }
  data::write_data_set(directory.path(), records,
                       {{"made_by", "dermgan utility"}, {"min_quality", data.min_quality()}});
  directory.commit();
}

}  // namespace derm::utility
