#include "derm/data/dataset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <set>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/data/dataset_writer.h"
#include "derm/data/skin_locus.h"
#include "derm/image/mask.h"

namespace derm::data {

namespace {

const std::vector<std::string>& split_names() {
  static const std::vector<std::string> names = {"train", "validation", "test"};
  return names;
}

const std::vector<std::string>& own_columns() {
  static const std::vector<std::string> names = {"file_name",      "condition", "split",   "subject_id", "lesion_id",
                                                 "box_x",          "box_y",     "box_w",   "box_h",      "boxes",
                                                 "mask_file_name", "skin_rgb",  "ita_deg", "tone",       "fitzpatrick",
                                                 "source",         "license",   "quality"};
  return names;
}

struct PixelSize {
  int width = 0, height = 0;
};

unsigned big_endian(const unsigned char* p, int bytes) {
  unsigned value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | p[i];
  return value;
}

// Whether an Exif segment says that rows and columns are exchanged (orientation 5 to 8).
bool exif_turns(const std::vector<unsigned char>& s) {
  if (s.size() < 14 || std::string(s.begin(), s.begin() + 4) != "Exif") return false;
  const bool little = s[6] == 'I';
  const auto number = [&](size_t at, int bytes) {
    if (at + static_cast<size_t>(bytes) > s.size()) return 0u;
    unsigned value = 0;
    for (int i = 0; i < bytes; ++i)
      value |= static_cast<unsigned>(s[at + static_cast<size_t>(i)]) << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  const size_t directory = 6 + static_cast<size_t>(number(10, 4));
  const unsigned entries = number(directory, 2);
  for (unsigned i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > s.size()) break;
    if (number(entry, 2) == 0x0112) return number(entry + 8, 2) >= 5;
  }
  return false;
}

// Width and height from the header alone, since a data set's images are too many to decode for it. 0 x 0 if it is
// neither PNG nor JPEG; decoding it will say so then.
PixelSize header_size(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  unsigned char head[26];
  if (!in.read(reinterpret_cast<char*>(head), 4)) return {};
  if (head[0] == 0x89 && head[1] == 'P') {
    if (!in.read(reinterpret_cast<char*>(head + 4), 22)) return {};
    return {static_cast<int>(big_endian(head + 16, 4)), static_cast<int>(big_endian(head + 20, 4))};
  }
  if (head[0] != 0xff || head[1] != 0xd8) return {};
  in.seekg(2);
  bool turned = false;
  for (;;) {
    unsigned char mark[4];
    if (!in.read(reinterpret_cast<char*>(mark), 2) || mark[0] != 0xff) return {};
    if (mark[1] == 0xff) {
      in.seekg(-1, std::ios::cur);
      continue;
    }
    if (!in.read(reinterpret_cast<char*>(mark + 2), 2)) return {};
    const unsigned length = big_endian(mark + 2, 2);
    if (length < 2) return {};
    const int m = mark[1];
    if (m >= 0xc0 && m <= 0xcf && m != 0xc4 && m != 0xc8 && m != 0xcc) {
      unsigned char frame[5];
      if (!in.read(reinterpret_cast<char*>(frame), 5)) return {};
      const int height = static_cast<int>(big_endian(frame + 1, 2)), width = static_cast<int>(big_endian(frame + 3, 2));
      return turned ? PixelSize{height, width} : PixelSize{width, height};
    }
    if (m == 0xda || m == 0xd9) return {};
    if (m == 0xe1) {
      std::vector<unsigned char> segment(length - 2);
      if (!in.read(reinterpret_cast<char*>(segment.data()), static_cast<std::streamsize>(segment.size()))) return {};
      turned = turned || exif_turns(segment);
    } else {
      in.seekg(length - 2, std::ios::cur);
    }
  }
}

std::vector<image::Box> boxes_from_json(const std::string& text, const std::string& where) {
  std::vector<image::Box> boxes;
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array()) throw DataError("{}: '{}' is not a JSON list of boxes [[x, y, w, h], ...]", where, text);
  for (const nlohmann::json& one : json) {
    if (!one.is_array() || one.size() != 4 ||
        !std::all_of(one.begin(), one.end(), [](const auto& v) { return v.is_number(); }))
      throw DataError("{}: {} is not a box of four numbers [x, y, w, h]", where, one.dump());
    boxes.push_back({one[0].get<double>(), one[1].get<double>(), one[2].get<double>(), one[3].get<double>()});
  }
  return boxes;
}

std::string box_text(const image::Box& b) { return fmt::format("x {}, y {}, w {}, h {}", b.x, b.y, b.w, b.h); }

// Runs on absolute pixel numbers, so a wrong box is told with the numbers that stand in the table.
void check_box(const image::Box& box, const PixelSize& size, const std::string& where) {
  if (!(box.w > 0) || !(box.h > 0))
    throw DataError("{}: the box ({}) has no area; w and h must be above 0", where, box_text(box));
  const bool beyond = size.width > 0 && (box.x + box.w > size.width + 0.5 || box.y + box.h > size.height + 0.5);
  if (box.x < -0.5 || box.y < -0.5 || beyond)
    throw DataError("{}: the box ({}) leaves the image{}; boxes are in pixels of the stored image", where,
                    box_text(box),
                    size.width > 0 ? fmt::format(" of {} x {} pixels", size.width, size.height) : std::string());
}

Record record_of_row(const CsvTable& table, size_t row, const std::string& file) {
  const auto where = [&](const char* column) { return fmt::format("{}, row {}, column {}", file, row + 2, column); };
  const auto number = [&](const char* column) -> std::optional<double> {
    const std::string& text = table.get(row, column);
    if (text.empty()) return std::nullopt;
    return parse_number(text, where(column));
  };
  Record r;
  r.file_name = table.get(row, "file_name");
  if (r.file_name.empty()) throw DataError("{}: it is empty; each row names its image", where("file_name"));
  r.condition = table.get(row, "condition");
  if (const std::string& split = table.get(row, "split"); !split.empty()) {
    const auto& names = split_names();
    if (std::find(names.begin(), names.end(), split) == names.end())
      throw DataError("{}: '{}' is not a split; it is one of train, validation, test{}", where("split"), split,
                      nearest_name(split, names).empty() ? std::string() : did_you_mean(split, names));
    r.split = split;
  }
  r.subject_id = table.get(row, "subject_id");
  r.lesion_id = table.get(row, "lesion_id");
  const std::array<std::optional<double>, 4> box = {number("box_x"), number("box_y"), number("box_w"), number("box_h")};
  const auto given = std::count_if(box.begin(), box.end(), [](const auto& v) { return v.has_value(); });
  if (given == 4) r.boxes.push_back({*box[0], *box[1], *box[2], *box[3]});
  if (given > 0 && given < 4)
    throw DataError("{}: only {} of box_x, box_y, box_w, box_h are filled; give all four or none", where("box_x"),
                    given);
  if (const std::string& more = table.get(row, "boxes"); !more.empty()) {
    const std::vector<image::Box> further = boxes_from_json(more, where("boxes"));
    r.boxes.insert(r.boxes.end(), further.begin(), further.end());
  }
  r.mask_file_name = table.get(row, "mask_file_name");
  if (const std::string& colour = table.get(row, "skin_rgb"); !colour.empty()) {
    r.skin_rgb = image::rgb_from_hex(colour);
    if (!r.skin_rgb) throw DataError("{}: '{}' is not a colour like #c68642", where("skin_rgb"), colour);
  }
  r.ita_deg = number("ita_deg");
  if (!r.ita_deg && r.skin_rgb) r.ita_deg = image::ita_degrees(image::lab_of(*r.skin_rgb));
  r.tone = table.get(row, "tone");
  if (r.tone.empty() && r.ita_deg) r.tone = image::tone_of(*r.ita_deg);
  r.fitzpatrick = table.get(row, "fitzpatrick");
  r.source = table.get(row, "source");
  r.license = table.get(row, "license");
  r.quality = number("quality");
  if (r.quality && (*r.quality < 0 || *r.quality > 1))
    throw DataError("{}: {} is not from 0 to 1", where("quality"), *r.quality);
  for (size_t c = 0; c < table.header().size(); ++c) {
    const std::string& name = table.header()[c];
    if (std::find(own_columns().begin(), own_columns().end(), name) == own_columns().end())
      r.extra[name] = table.row(row)[c];
  }
  return r;
}

// The fields of a row in the order of own_columns().
std::vector<std::string> fields_of(const Record& r) {
  std::array<std::string, 4> box;
  if (!r.boxes.empty()) {
    const image::Box& b = r.boxes.front();
    box = {number_text(b.x), number_text(b.y), number_text(b.w), number_text(b.h)};
  }
  std::string further;
  if (r.boxes.size() > 1) {
    nlohmann::json list = nlohmann::json::array();
    for (size_t i = 1; i < r.boxes.size(); ++i)
      list.push_back({r.boxes[i].x, r.boxes[i].y, r.boxes[i].w, r.boxes[i].h});
    further = list.dump();
  }
  const auto number = [](const std::optional<double>& v) { return v ? number_text(*v) : std::string(); };
  return {r.file_name,
          r.condition,
          r.split,
          r.subject_id,
          r.lesion_id,
          box[0],
          box[1],
          box[2],
          box[3],
          further,
          r.mask_file_name,
          r.skin_rgb ? image::hex_of(*r.skin_rgb) : std::string(),
          number(r.ita_deg),
          r.tone,
          r.fitzpatrick,
          r.source,
          r.license,
          number(r.quality)};
}

std::vector<std::string> header_of(const std::set<std::string>& extra) {
  std::vector<std::string> header = own_columns();
  header.insert(header.end(), extra.begin(), extra.end());
  return header;
}

std::vector<std::string> row_of(const Record& r, const std::set<std::string>& extra) {
  std::vector<std::string> row = fields_of(r);
  for (const std::string& name : extra) {
    const auto found = r.extra.find(name);
    row.push_back(found == r.extra.end() ? std::string() : found->second);
  }
  return row;
}

CsvTable table_of(const std::vector<Record>& records) {
  std::set<std::string> extra;
  for (const Record& r : records)
    for (const auto& [name, value] : r.extra) extra.insert(name);
  for (const std::string& name : own_columns()) extra.erase(name);
  CsvTable table(header_of(extra));
  for (const Record& r : records) table.add_row(row_of(r, extra));
  return table;
}

bool complete(const Record& r) {
  return !r.condition.empty() && (!r.boxes.empty() || !r.mask_file_name.empty()) && r.skin_rgb;
}

// A row as the fingerprint takes it. Rows are sorted by this text, which begins with the file's name.
std::string fingerprint_row(const Record& r) {
  std::string row;
  for (const std::string& field : fields_of(r)) row += field + '\x1f';
  for (const auto& [name, value] : r.extra)
    if (!value.empty()) row += name + '=' + value + '\x1f';
  return row + '\n';
}

std::string fingerprint_file(const std::string& name, const std::string& sum) { return name + '\0' + sum + '\n'; }

// What dataset.json counts, row after row.
class Tally {
 public:
  explicit Tally(const nlohmann::json& facts) : json_(facts.is_object() ? facts : nlohmann::json::object()) {
    const auto least = json_.find("min_quality");
    if (least != json_.end() && least->is_number()) least_ = least->get<double>();
    for (const std::string& tone : image::tone_names()) tones_[tone] = 0;
  }

  void add(const Record& r, const PixelSize& size) {
    if (!r.condition.empty()) {
      conditions_.insert(r.condition);
      count(counts_[r.condition], r.split);
    }
    count(splits_, r.split);
    if (!r.tone.empty()) count(tones_, r.tone);
    const bool good = complete(r) && (!r.quality || *r.quality >= least_);
    usable_ += good;
    if (good && r.split == "train") colours_.push_back(image::lab_of(*r.skin_rgb));
    if (rows_++ == 0) side_ = size.width;
    one_size_ = one_size_ && size.width == side_ && size.height == side_;
  }

  size_t rows() const { return rows_; }

  nlohmann::json json(const std::string& fingerprint) {
    json_["format"] = "dermgan data set";
    json_["format_version"] = 1;
    json_["images"] = rows_;
    json_["usable"] = usable_;
    json_["conditions"] = std::vector<std::string>(conditions_.begin(), conditions_.end());
    json_["counts"] = counts_;
    json_["splits"] = splits_;
    json_["tones"] = tones_;
    json_["image_size_px"] = one_size_ ? side_ : 0;
    json_["skin_locus"] = SkinLocus::fit(colours_).to_json();
    json_["fingerprint"] = fingerprint;
    return json_;
  }

 private:
  static void count(nlohmann::json& in, const std::string& key) {
    nlohmann::json& number = in[key];
    number = number.is_null() ? 1 : number.get<int>() + 1;
  }

  nlohmann::json json_;
  nlohmann::json counts_ = nlohmann::json::object(), tones_ = nlohmann::json::object(),
                 splits_ = nlohmann::json::object();
  std::set<std::string> conditions_;
  std::vector<image::Lab> colours_;
  double least_ = 0;
  size_t rows_ = 0, usable_ = 0;
  int side_ = 0;
  bool one_size_ = true;
};

}  // namespace

DataSet DataSet::only(const std::vector<std::string>& conditions) const {
  if (conditions.empty()) throw UsageError("{}: no condition is named; name at least one", root_.string());
  for (const std::string& condition : conditions)
    if (std::find(conditions_.begin(), conditions_.end(), condition) == conditions_.end())
      throw UsageError("{}: the data set has no condition \"{}\"{}", root_.string(), condition,
                       did_you_mean(condition, conditions_));
  const auto unwanted = [&](const std::string& condition) {
    return std::find(conditions.begin(), conditions.end(), condition) == conditions.end();
  };
  DataSet kept = *this;
  std::erase_if(kept.records_, [&](const Record& record) { return unwanted(record.condition); });
  std::erase_if(kept.conditions_, unwanted);
  return kept;
}

fs::path DataSet::path_of(const std::string& relative) const { return resolve_inside(root_, relative); }

DataSet DataSet::open(const fs::path& root) {
  DataSet set;
  set.root_ = root;
  const fs::path table_path = root / "metadata.csv";
  if (!fs::is_directory(root))
    throw DataError("{}: there is no such folder; a data set is a folder with metadata.csv", root.string());
  if (!fs::exists(table_path))
    throw DataError("{}: metadata.csv is missing; `dermgan prepare {}` makes a data set of what is there",
                    root.string(), root.string());
  const CsvTable table = CsvTable::read(table_path);
  for (const char* needed : {"file_name", "condition"}) table.column(needed);
  if (table.size() == 0)
    throw DataError("{}: it has a header but no rows; at least one image is needed", table_path.string());

  if (const fs::path facts = root / "dataset.json"; fs::exists(facts)) {
    set.facts_ = nlohmann::json::parse(read_file(facts), nullptr, false);
    if (!set.facts_.is_object())
      throw DataError("{}: it is not a JSON object; remove it or prepare the set again", facts.string());
    const auto field = [&](const char* key, auto fallback, bool good) {
      if (!set.facts_.contains(key)) return fallback;
      if (!good)
        throw DataError("{}: \"{}\" is {}, which is of the wrong kind", facts.string(), key, set.facts_[key].dump());
      return set.facts_[key].template get<decltype(fallback)>();
    };
    const auto& f = set.facts_;
    if (field("format_version", 1, f.contains("format_version") && f["format_version"].is_number_integer()) > 1)
      throw DataError("{}: its format version is {}, this program reads up to 1; use a newer one", facts.string(),
                      f["format_version"].dump());
    set.fingerprint_ = field("fingerprint", std::string(), f.contains("fingerprint") && f["fingerprint"].is_string());
    set.min_quality_ = field("min_quality", 0.0, f.contains("min_quality") && f["min_quality"].is_number());
    set.size_px_ = field("image_size_px", 0, f.contains("image_size_px") && f["image_size_px"].is_number_integer());
  } else {
    set.facts_ = nlohmann::json::object();
  }

  std::set<std::string> conditions, names;
  set.records_.reserve(table.size());
  const bool size_known = set.facts_.contains("image_size_px") && set.size_px_ > 0;
  bool one_size = true;
  PixelSize common;
  for (size_t row = 0; row < table.size(); ++row) {
    Record r = record_of_row(table, row, table_path.string());
    const auto where = [&](const char* column) {
      return fmt::format("{}, row {}, column {}", table_path.string(), row + 2, column);
    };
    if (!names.insert(r.file_name).second)
      throw DataError("{}: '{}' stands in an earlier row too; each image has one row", where("file_name"), r.file_name);
    for (const auto& [column, name] : {std::pair{"file_name", r.file_name}, {"mask_file_name", r.mask_file_name}}) {
      if (name.empty()) continue;
      fs::path path;
      try {
        path = set.path_of(name);
      } catch (const DataError& error) {
        throw DataError("{}: {}", where(column), error.what());
      }
      if (!fs::is_regular_file(path))
        throw DataError("{}: there is no file '{}' in {}", where(column), name, root.string());
    }
    PixelSize size{set.size_px_, set.size_px_};
    if (!size_known && (row < 16 || !r.boxes.empty())) {
      size = header_size(root / r.file_name);
      if (row == 0) common = size;
      if (size.width != common.width || size.height != common.height) one_size = false;
    }
    for (const image::Box& box : r.boxes) check_box(box, size, where("box_x"));
    if (!r.condition.empty()) conditions.insert(r.condition);
    set.records_.push_back(std::move(r));
  }
  if (!size_known) set.size_px_ = one_size && common.width == common.height ? common.width : 0;
  if (conditions.empty())
    throw DataError("{}, column condition: it is empty in every row; each image needs the condition that it shows",
                    table_path.string());
  set.conditions_.assign(conditions.begin(), conditions.end());
  return set;
}

std::vector<size_t> DataSet::usable(const std::string& split) const {
  std::vector<size_t> out;
  for (const size_t i : of_split(split))
    if (complete(records_[i]) && (!records_[i].quality || *records_[i].quality >= min_quality_)) out.push_back(i);
  return out;
}

std::vector<size_t> DataSet::of_split(const std::string& split) const {
  const auto& names = split_names();
  if (std::find(names.begin(), names.end(), split) == names.end())
    throw UsageError("split: \"{}\" is not known; it is one of train, validation, test", split);
  std::vector<size_t> out;
  for (size_t i = 0; i < records_.size(); ++i)
    if (records_[i].split == split) out.push_back(i);
  return out;
}

Request request_of(const Record& record, const image::Mask& mask, int image_size_px, Shape shape) {
  if (!record.skin_rgb) throw DataError("{}: its row has no skin_rgb; `dermgan prepare` measures it", record.file_name);
  if (image_size_px < 1)
    throw UsageError("request_of: the image size is {} px, which must be at least 1", image_size_px);
  Request request;
  request.skin = image::lab_of(*record.skin_rgb);
  request.skin_text = image::hex_of(*record.skin_rgb);
  request.seed = hash_text(record.file_name);
  const bool has_mask = !mask.empty() && image::mask_area(mask) > 0;
  if (!mask.empty() && (mask.width != mask.height || mask.channels != 1))
    throw DataError("{}: its mask has {} x {} pixels and {} channel(s); a square one with one channel is expected",
                    record.mask_file_name, mask.width, mask.height, mask.channels);

  const auto add = [&](const image::Box& box, double side, Shape drawn) {
    // Boxes that stick out by a rounded pixel are trimmed to the image.
    const double x0 = std::clamp(box.x / side, 0.0, 1.0), x1 = std::clamp((box.x + box.w) / side, 0.0, 1.0);
    const double y0 = std::clamp(box.y / side, 0.0, 1.0), y1 = std::clamp((box.y + box.h) / side, 0.0, 1.0);
    Region region;
    region.condition = record.condition;
    region.shape = drawn;
    region.x = (x0 + x1) / 2, region.y = (y0 + y1) / 2;
    region.w = x1 - x0, region.h = y1 - y0;
    if (drawn == Shape::mask) region.mask = mask;
    request.regions.push_back(std::move(region));
  };
  if (has_mask && (shape == Shape::mask || record.boxes.empty())) {
    add(image::mask_box(mask), mask.width, shape);
  } else {
    for (const image::Box& box : record.boxes) add(box, image_size_px, shape == Shape::mask ? Shape::blob : shape);
  }
  if (request.regions.empty())
    throw DataError("{}: its row has neither a box nor a mask with pixels set; `dermgan prepare` finds the region",
                    record.file_name);
  return request;
}

std::string data_set_fingerprint(const fs::path& root, const std::vector<Record>& records) {
  std::vector<std::string> files;
  for (const Record& r : records) {
    files.push_back(r.file_name);
    if (!r.mask_file_name.empty()) files.push_back(r.mask_file_name);
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  std::vector<std::string> sums(files.size());
  parallel_for(files.size(), [&](size_t i) { sums[i] = sha256_file(resolve_inside(root, files[i])); });
  Sha256 all;
  for (size_t i = 0; i < files.size(); ++i) all.update(fingerprint_file(files[i], sums[i]));
  std::vector<std::string> rows;
  for (const Record& r : records) rows.push_back(fingerprint_row(r));
  std::sort(rows.begin(), rows.end());  // so that the order of the table does not matter
  for (const std::string& row : rows) all.update(row);
  return all.hex();
}

void write_data_set(const fs::path& root, const std::vector<Record>& records, const nlohmann::json& facts) {
  if (records.empty())
    throw DataError("{}: there is not one image to write; a data set has at least one row", root.string());
  std::vector<PixelSize> sizes(records.size());
  parallel_for(records.size(), [&](size_t i) { sizes[i] = header_size(resolve_inside(root, records[i].file_name)); });
  Tally tally(facts);
  for (size_t i = 0; i < records.size(); ++i) tally.add(records[i], sizes[i]);
  const nlohmann::json json = tally.json(data_set_fingerprint(root, records));
  write_file(root / "metadata.csv", table_of(records).to_string());
  write_file(root / "dataset.json", json.dump(2) + "\n");
}

struct DataSetWriter::Impl {
  fs::path root;
  std::set<std::string> extra;
  Tally tally;
  std::ofstream table;
  // What the fingerprint is made of, in its order: kept beside the set until it is finished.
  std::array<fs::path, 3> parts;  // names of images, names of masks, rows
  std::array<std::ofstream, 3> out;
  std::string last_image, last_mask;

  Impl(const fs::path& at, const std::vector<std::string>& columns, const nlohmann::json& facts)
      : root(at),
        extra(columns.begin(), columns.end()),
        tally(facts),
        table(at / "metadata.csv", std::ios::binary),
        parts{at / ".images", at / ".masks", at / ".rows"} {
    for (size_t i = 0; i < parts.size(); ++i) out[i].open(parts[i], std::ios::binary);
    table << CsvTable(header_of(extra)).to_string();
  }

  static void in_order(std::string& last, const std::string& name) {
    if (name.find('\n') != std::string::npos) throw UsageError("DataSetWriter: a file's name holds a line break");
    if (!last.empty() && name <= last)
      throw UsageError("DataSetWriter: '{}' comes after '{}'; rows are added in ascending order of their files", name,
                       last);
    last = name;
  }
};

DataSetWriter::DataSetWriter(const fs::path& root, const std::vector<std::string>& extra_columns,
                             const nlohmann::json& facts)
    : impl_(std::make_unique<Impl>(root, extra_columns, facts)) {}
DataSetWriter::~DataSetWriter() = default;

void DataSetWriter::add(const Record& record) {
  Impl::in_order(impl_->last_image, record.file_name);
  for (const auto& [name, value] : record.extra)
    if (!impl_->extra.contains(name))
      throw UsageError("DataSetWriter: '{}' has a column '{}' that was not announced", record.file_name, name);
  impl_->table << CsvTable(row_of(record, impl_->extra)).to_string();  // a header is written as any row
  impl_->out[0] << record.file_name << '\n';
  if (!record.mask_file_name.empty()) {
    Impl::in_order(impl_->last_mask, record.mask_file_name);
    impl_->out[1] << record.mask_file_name << '\n';
  }
  impl_->out[2] << fingerprint_row(record);
  impl_->tally.add(record, header_size(resolve_inside(impl_->root, record.file_name)));
}

void DataSetWriter::finish() {
  Impl& w = *impl_;
  if (w.tally.rows() == 0)
    throw DataError("{}: there is not one image to write; a data set has at least one row", w.root.string());
  if (!w.last_mask.empty() &&
      w.last_mask.substr(0, w.last_mask.find('/')) <= w.last_image.substr(0, w.last_image.find('/')))
    throw UsageError("DataSetWriter: masks stand in a folder whose name comes after that of the images");
  w.table.close();
  bool written = !w.table.fail();
  for (std::ofstream& out : w.out) {
    out.close();
    written = written && !out.fail();
  }
  if (!written) throw DataError("{}: its table could not be written; is the disk full?", w.root.string());
  Sha256 all;
  for (size_t i = 0; i < 2; ++i) {
    std::ifstream in(w.parts[i], std::ios::binary);
    for (std::string name; std::getline(in, name);)
      all.update(fingerprint_file(name, sha256_file(resolve_inside(w.root, name))));
  }
  std::ifstream rows(w.parts[2], std::ios::binary);
  std::string block(size_t{1} << 16, '\0');
  while (rows.read(block.data(), static_cast<std::streamsize>(block.size())), rows.gcount() > 0)
    all.update(block.data(), static_cast<size_t>(rows.gcount()));
  write_file(w.root / "dataset.json", w.tally.json(all.hex()).dump(2) + "\n");
  for (const fs::path& part : w.parts) fs::remove(part);
}

}  // namespace derm::data
