#include "derm/study/results.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;

std::string optional_text(const std::optional<int64_t>& v) { return v ? std::to_string(*v) : ""; }

}  // namespace

Results open_results(const std::filesystem::path& study, const std::filesystem::path& key_file) {
  Results r;
  r.description = Description::read(study);
  r.key = open_key(study, key_file);
  std::map<std::string, const KeyImage*> image_of;
  for (const KeyImage& image : r.key.images) image_of[image.image] = &image;

  Store store(study / "study.db");
  store.note("unsealed", 0, 0, true);
  r.unsealed_at = store.unsealed_at();
  r.readers = store.readers();
  std::map<int64_t, std::pair<size_t, Presentation>> presentation_of;
  for (size_t i = 0; i < r.readers.size(); ++i) {
    const std::vector<Presentation> all = store.presentations(r.readers[i].id);
    int64_t due = 0;
    for (const Presentation& p : all) {
      due += p.kind != "practice";
      presentation_of[p.id] = {i, p};
    }
    r.due.push_back(due);
    r.done.push_back(0);
  }
  for (StoredAnswer& stored : store.answers()) {
    const auto& [reader, p] = presentation_of.at(stored.presentation);
    const auto known = image_of.find(p.image);
    if (known == image_of.end()) {
      throw DataError("{}: the database shows the image {}, which is not in the key", (study / "study.db").string(),
                      p.image);
    }
    const KeyImage& image = *known->second;
    Row row;
    row.reader = r.readers[reader].name;
    row.group = r.readers[reader].group;
    row.position = p.position + 1;
    row.image = p.image;
    row.kind = p.kind;
    row.block = image.block;
    row.repeat = p.repeat;
    row.real = image.real;
    row.pool = image.pool;
    row.condition = image.condition;
    row.tone = image.tone;
    row.answer = std::move(stored.answer);
    row.views = stored.views;
    row.answered_at = stored.answered_at;
    row.withdrawn = stored.withdrawn_at != 0;
    row.after_unsealing = stored.answered_at > r.unsealed_at;
    if (!row.withdrawn && p.kind != "practice") ++r.done[reader];
    r.rows.push_back(std::move(row));
  }
  return r;
}

std::string guard_formula(std::string_view text) {
  if (text.empty()) return "";
  // What spreadsheets take for the beginning of a formula, their full-width forms too.
  const bool plain = std::string_view("=+-@\t\r\n").find(text.front()) != std::string_view::npos;
  bool wide = false;
  for (const std::string_view sign : {"\uff1d", "\uff0b", "\uff0d", "\uff20"}) wide = wide || text.starts_with(sign);
  return (plain || wide ? "'" : "") + std::string(text);
}

CsvTable answers_table(const Results& results) {
  CsvTable table({"reader",         "group",     "position",        "image",  "kind",       "block",       "repeat",
                  "source",         "model",     "condition",       "tone",   "verdict",    "correct",     "confidence",
                  "said_condition", "realism",   "artefacts",       "marks",  "remark",     "response_ms", "viewed_ms",
                  "views",          "withdrawn", "after_unsealing", "scored", "answered_at"});
  const auto yes = [](bool b) { return std::string(b ? "1" : "0"); };
  for (const Row& r : results.rows) {
    table.add_row({guard_formula(r.reader),
                   guard_formula(r.group),
                   std::to_string(r.position),
                   r.image,
                   r.kind,
                   std::to_string(r.block),
                   yes(r.repeat),
                   r.real ? "real" : "synthetic",
                   guard_formula(r.real ? "" : r.pool),
                   guard_formula(r.condition),
                   guard_formula(r.tone),
                   r.answer.verdict,
                   yes(r.correct()),
                   std::to_string(r.answer.confidence),
                   guard_formula(r.answer.condition),
                   optional_text(r.answer.realism),
                   optional_text(r.answer.artefacts),
                   r.answer.marks,
                   guard_formula(r.answer.remark),
                   std::to_string(r.answer.response_ms),
                   std::to_string(r.answer.viewed_ms),
                   std::to_string(r.views),
                   yes(r.withdrawn),
                   yes(r.after_unsealing),
                   yes(r.scored()),
                   utc_text(r.answered_at)});
  }
  return table;
}

Feedback export_feedback(const std::filesystem::path& study, const Results& results, const std::filesystem::path& out) {
  NewDirectory directory(out);
  fs::create_directory(directory.path() / "images");
  std::map<std::string, std::vector<const Row*>> by_image;
  for (const Row& row : results.rows) {
    if (!row.withdrawn) by_image[row.image].push_back(&row);
  }
  Feedback count;
  std::string lines;
  CsvTable table({"file_name", "source", "model", "source_file_name", "condition", "tone", "reader", "group", "verdict",
                  "confidence", "realism", "artefacts", "reason", "box_x", "box_y", "box_w", "box_h", "remark"});
  const int size = results.description.size_px;
  for (const KeyImage& image : results.key.images) {
    const auto found = by_image.find(image.image);
    if (found == by_image.end()) continue;
    // Photographs of patients stay where they are; what readers held against them is worth knowing all the same.
    const std::string file = image.real ? "" : "images/" + image.image;
    if (!image.real) write_file(directory.path() / file, read_file(resolve_inside(study / "images", image.image)));
    ++count.images;
    Json readers = Json::array();
    for (const Row* row : found->second) {
      const Answer& a = row->answer;
      const Json marks = Json::parse(a.marks);
      Json reader = {{"reader", row->reader},
                     {"group", row->group},
                     {"verdict", a.verdict},
                     {"confidence", a.confidence},
                     {"realism", a.realism ? Json(*a.realism) : Json()},
                     {"artefacts", a.artefacts ? Json(*a.artefacts) : Json()},
                     {"condition", a.condition},
                     {"marks", marks},
                     {"remark", a.remark},
                     {"repeat", row->repeat},
                     {"practice", row->kind == "practice"}};
      readers.push_back(std::move(reader));
      for (const Json& mark : marks) {
        const auto pixels = [&](const char* name) {
          return mark.contains(name) ? number_text(std::round(mark.at(name).get<double>() * size * 100) / 100) : "";
        };
        table.add_row({file, image.real ? "real" : "synthetic", guard_formula(image.real ? "" : image.pool),
                       guard_formula(image.file_name), guard_formula(image.condition), guard_formula(image.tone),
                       row->reader, guard_formula(row->group), a.verdict, std::to_string(a.confidence),
                       optional_text(a.realism), optional_text(a.artefacts), mark.at("reason").get<std::string>(),
                       pixels("x"), pixels("y"), pixels("w"), pixels("h"), guard_formula(a.remark)});
        ++count.marks;
      }
    }
    lines += Json{{"file_name", file},
                  {"source", image.real ? "real" : "synthetic"},
                  {"model", image.real ? "" : image.pool},
                  {"source_file_name", image.file_name},
                  {"condition", image.condition},
                  {"tone", image.tone},
                  {"size_px", size},
                  {"readers", readers}}
                 .dump(-1, ' ', false, Json::error_handler_t::replace) +
             "\n";
  }
  write_file(directory.path() / "feedback.jsonl", lines);
  write_file(directory.path() / "metadata.csv", table.to_string());
  write_file(directory.path() / "dataset.json", Json{{"format", "dermgan-feedback/1"},
                                                     {"study", results.description.settings.title},
                                                     {"key_sha256", results.description.key_sha256},
                                                     {"images", count.images},
                                                     {"marks", count.marks},
                                                     {"size_px", size},
                                                     {"readers", results.readers.size()}}
                                                        .dump(2) +
                                                    "\n");
  directory.commit();
  return count;
}

}  // namespace derm::study
