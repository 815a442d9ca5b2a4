#pragma once
// The answers beside the opened key.
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "derm/base/csv.h"
#include "derm/study/store.h"
#include "derm/study/study.h"

namespace derm::study {

/// One answer and what is true of its image.
struct Row {
  std::string reader, group;
  int64_t position = 0;  ///< in this reader's order, from 1, practice first
  std::string image, kind;
  int64_t block = 0;
  bool repeat = false, real = false;
  std::string pool;  ///< "real" or the model
  std::string condition, tone;
  Answer answer;
  int64_t views = 0, answered_at = 0;
  bool withdrawn = false, after_unsealing = false;

  bool said_real() const { return answer.verdict == "real"; }
  bool correct() const { return said_real() == real; }
  /// How strongly it was taken for real: confidence, negative for "synthetic".
  double score() const { return static_cast<double>(said_real() ? answer.confidence : -answer.confidence); }
  /// Counts for accuracy: stands, no practice, the first of two showings, given before the key was opened.
  bool scored() const { return !withdrawn && !repeat && !after_unsealing && kind != "practice"; }
};

struct Results {
  Description description;
  Key key;
  std::vector<Row> rows;  ///< every answer, in the order in which they came
  std::vector<Reader> readers;
  std::vector<int64_t> due, done;  ///< showings of each reader without practice, and how many have an answer
  int64_t unsealed_at = 0;
  bool finished() const { return due == done; }
};

/// Opens the key (checked against the published hash), notes in the database that it was opened, reads every answer.
/// @throws DataError as open_key(); another image than the key
Results open_results(const std::filesystem::path& study, const std::filesystem::path& key_file);

/// A text that a spreadsheet takes for text: what starts with = + - @, a tab or a line end gets an apostrophe before
/// it.
std::string guard_formula(std::string_view text);

/// Every answer, withdrawn ones, practice and repeats too.
CsvTable answers_table(const Results& results);

/// Readers' marks and judgements of synthetic images as a data set for alignment: images/ and feedback.jsonl (one image
/// a line: file, source file, model, condition, each reader's verdict, ratings, marks and remark) and metadata.csv (one
/// mark a row). Real images that were marked are listed without their pictures. @returns how many images, how many
/// marks
struct Feedback {
  int64_t images = 0, marks = 0;
};
Feedback export_feedback(const std::filesystem::path& study, const Results& results, const std::filesystem::path& out);

}  // namespace derm::study
