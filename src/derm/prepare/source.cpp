#include "derm/prepare/source.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <set>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"

namespace derm::prepare {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string trimmed(const std::string& text) {
  const auto from = text.find_first_not_of(" \t\r\n"), to = text.find_last_not_of(" \t\r\n");
  return from == std::string::npos ? "" : text.substr(from, to - from + 1);
}

std::string joined(const std::vector<std::string>& names, size_t most = 30) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > most ? text + ", ..." : text;
}

using Names = std::vector<std::string>;

/// What other people call our columns, in order of preference; all in lower case.
const std::map<std::string, Names>& aliases() {
  static const std::map<std::string, Names> known = {
      {"file_name",
       {"file_name", "filename", "file", "image_file", "image_path", "path", "img_path", "image_id", "image_name",
        "isic_id", "img_id", "image", "img", "md5hash", "name", "id"}},
      {"condition",
       {"condition", "diagnosis", "diagnostic", "dx", "label", "disease", "class", "target_name", "lesion_type",
        "diagnosis_1"}},
      {"split", {"split", "partition", "subset"}},
      {"subject_id", {"subject_id", "patient_id", "group", "patient", "subject", "person_id", "case_id"}},
      {"lesion_id", {"lesion_id", "lesion"}},
      {"mask_file_name", {"mask_file_name", "mask", "mask_path", "segmentation"}},
      {"license", {"license", "licence", "copyright_license", "copyright_licence"}},
      {"source", {"source", "dataset", "attribution"}},
      {"fitzpatrick",
       {"fitzpatrick", "fitspatrick", "fitzpatrick_skin_type", "fitzpatrick_scale", "fitzpatrick_type", "skin_type"}},
      {"box_x", {"box_x", "bbox_x", "xmin", "x_min", "left"}},
      {"box_y", {"box_y", "bbox_y", "ymin", "y_min", "top"}},
      {"box_w", {"box_w", "bbox_w", "bbox_width", "box_width"}},
      {"box_h", {"box_h", "bbox_h", "bbox_height", "box_height"}},
      {"box_right", {"xmax", "x_max", "right"}},
      {"box_bottom", {"ymax", "y_max", "bottom"}},
      {"boxes", {"boxes", "bboxes"}},
      {"age", {"age", "age_approx", "age_approximate", "age_group"}},
      {"sex", {"sex", "gender", "sex_at_birth"}},
      {"site",
       {"site", "localization", "anatom_site_general_challenge", "anatom_site_general", "anatom_site", "region",
        "body_part"}},
      {"source_id", {"source_id"}},
      {"confirmed_by", {"confirmed_by", "dx_type", "diagnosis_confirm_type"}},
      {"biopsied", {"biopsied", "biopsed"}},
      {"three_partition_label", {"three_partition_label"}}};
  return known;
}

const Names& extra_columns() {
  static const Names names = {"age", "sex", "site", "source_id", "confirmed_by", "biopsied", "three_partition_label"};
  return names;
}

/// Columns of one-hot tables (ISIC 2017 and 2018 on).
const std::map<std::string, std::string>& one_hot_columns() {
  static const std::map<std::string, std::string> known = {{"mel", "melanoma"},
                                                           {"nv", "nevus"},
                                                           {"bcc", "basal_cell_carcinoma"},
                                                           {"ak", "actinic_keratosis"},
                                                           {"akiec", "actinic_keratosis"},
                                                           {"bkl", "benign_keratosis"},
                                                           {"df", "dermatofibroma"},
                                                           {"vasc", "vascular_lesion"},
                                                           {"scc", "squamous_cell_carcinoma"},
                                                           {"melanoma", "melanoma"},
                                                           {"seborrheic_keratosis", "seborrheic_keratosis"}};
  return known;
}

bool is_image_name(const fs::path& path) {
  const std::string ext = lower(path.extension().string());
  return ext == ".png" || ext == ".jpg" || ext == ".jpeg";
}

bool is_foreign_image_name(const fs::path& path) {
  static const std::set<std::string> known = {".bmp", ".tif", ".tiff", ".webp", ".gif", ".heic", ".dcm"};
  return known.count(lower(path.extension().string())) > 0;
}

std::string without_mask_suffix(const std::string& stem) {
  for (const char* suffix : {"_segmentation", "_mask", "-mask", "_seg"}) {
    if (lower(stem).ends_with(suffix)) return stem.substr(0, stem.size() - std::string(suffix).size());
  }
  return stem;
}

bool is_mask_folder(const std::string& name) {
  const std::string text = lower(name);
  return text.find("mask") != std::string::npos || text.find("segmentation") != std::string::npos ||
         text.find("part1_groundtruth") != std::string::npos;
}

bool is_mask_path(const fs::path& relative) {
  for (const fs::path& part : relative.parent_path()) {
    if (is_mask_folder(part.string())) return true;
  }
  return without_mask_suffix(relative.stem().string()) != relative.stem().string();
}

/// Files by what a table may call them: path below the folder, file name, name without ending. All in lower case.
class FileIndex {
 public:
  void add(const fs::path& root, const fs::path& path, bool mask) {
    const fs::path relative = path.lexically_relative(root);
    insert(relative.generic_string(), path);
    insert(path.filename().string(), path);
    const std::string stem = path.stem().string();
    insert(stem, path);
    if (mask && without_mask_suffix(stem) != stem) insert(without_mask_suffix(stem), path);
  }
  fs::path find(const std::string& name) const {
    const fs::path wanted(name);
    for (const std::string& key :
         {wanted.lexically_normal().generic_string(), wanted.filename().string(),
          is_image_name(wanted) || is_foreign_image_name(wanted) ? wanted.stem().string()
                                                                 : wanted.filename().string()}) {
      const auto at = paths_.find(lower(key));
      if (at != paths_.end()) return at->second;
    }
    return {};
  }
  bool empty() const { return paths_.empty(); }

 private:
  void insert(const std::string& key, const fs::path& path) { paths_.try_emplace(lower(key), path); }
  std::unordered_map<std::string, fs::path> paths_;
};

struct Tree {
  fs::path root;
  std::vector<fs::path> images, masks, tables, foreign;  ///< absolute, sorted
  FileIndex image_index, mask_index;
};

/// All files below a folder, in the order of their names; hidden ones and links to folders are passed over.
std::vector<fs::path> files_below(const fs::path& root) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator it(root, fs::directory_options::skip_permission_denied, error), end;
  if (error)
    throw DataError("{}: the folder cannot be read ({}); check its name and permissions", root.string(),
                    error.message());
  while (it != end) {
    throw_if_interrupted();
    const bool hidden = it->path().filename().string().starts_with(".");
    if (hidden && it->is_directory(error)) it.disable_recursion_pending();
    if (!hidden && it->is_regular_file(error)) files.push_back(it->path());
    it.increment(error);
    if (error)
      throw DataError("{}: the folder cannot be read ({}); check its permissions", root.string(), error.message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

fs::path found_folder(const fs::path& given, const fs::path& root, const char* what) {
  for (const fs::path& candidate : {given, root / given}) {
    if (fs::is_directory(candidate)) return fs::absolute(candidate).lexically_normal();
  }
  throw DataError("{}: there is no such folder, here or in {}; say where the {} are", given.string(), root.string(),
                  what);
}

Tree read_tree(const PrepareOptions& options) {
  Tree tree;
  const fs::path source = fs::absolute(options.source).lexically_normal();
  tree.root = fs::is_directory(source) ? source : source.parent_path();
  if (!tree.root.has_filename() && tree.root.has_parent_path() && tree.root != tree.root.root_path())
    tree.root = tree.root.parent_path();
  const bool own_images = !options.images.empty(), own_masks = !options.masks.empty();
  const fs::path image_root = own_images ? found_folder(options.images, tree.root, "images") : tree.root;
  const fs::path mask_root = own_masks ? found_folder(options.masks, tree.root, "masks") : tree.root;
  const auto below = [](const fs::path& path, const fs::path& root) {
    const fs::path relative = path.lexically_relative(root);
    return !relative.empty() && *relative.begin() != "..";
  };
  for (const fs::path& path : files_below(tree.root)) {
    const std::string ext = lower(path.extension().string());
    const fs::path relative = path.lexically_relative(tree.root);
    const bool table = ext == ".csv" || ext == ".tsv" || path.filename() == "HAM10000_metadata";
    if (table) tree.tables.push_back(path);
    if (is_image_name(path)) {
      const bool in_masks = own_masks ? below(path, mask_root) : is_mask_path(relative);
      const bool superpixels = lower(path.stem().string()).ends_with("_superpixels");
      if (superpixels || (in_masks && own_masks) || (!in_masks && own_images)) continue;
      (in_masks ? tree.masks : tree.images).push_back(path);
    } else if (!own_images && is_foreign_image_name(path) && relative.begin() != relative.end()) {
      tree.foreign.push_back(path);
    }
  }
  if (own_images) {
    for (const fs::path& path : files_below(image_root)) {
      if (!is_image_name(path)) continue;
      if (own_masks && below(path, mask_root) && mask_root != image_root) continue;
      if (without_mask_suffix(path.stem().string()) != path.stem().string()) continue;
      tree.images.push_back(path);
    }
  }
  if (own_masks) {
    for (const fs::path& path : files_below(mask_root)) {
      const bool superpixels = lower(path.stem().string()).ends_with("_superpixels");
      if (is_image_name(path) && !superpixels) tree.masks.push_back(path);
    }
  }
  for (const fs::path& path : tree.images) tree.image_index.add(own_images ? image_root : tree.root, path, false);
  // Foreign formats are indexed too, so that their rows are refused for what they are and not as missing.
  for (const fs::path& path : tree.foreign) tree.image_index.add(tree.root, path, false);
  for (const fs::path& path : tree.masks) tree.mask_index.add(own_masks ? mask_root : tree.root, path, true);
  return tree;
}

Names header_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string line;
  if (!std::getline(in, line) || line.size() > 1000000) return {};
  try {
    Names names = CsvTable::parse(line + "\n", path.string()).header();
    for (std::string& name : names) name = lower(trimmed(name));
    return names;
  } catch (const Error&) {
    return {};
  }
}

bool has(const Names& header, const std::string& name) {
  return std::find(header.begin(), header.end(), name) != header.end();
}

bool has_one_of(const Names& header, const std::string& field) {
  const Names& names = aliases().at(field);
  return std::any_of(names.begin(), names.end(), [&](const std::string& n) { return has(header, n); });
}

bool is_one_hot(const Names& header) {
  int found = 0;
  for (const auto& [column, condition] : one_hot_columns()) found += has(header, column);
  return found >= 2;
}

bool isic_key(const Names& header) {
  return has(header, "image_id") || has(header, "image_name") || has(header, "isic_id") || has(header, "image");
}

bool is_layout(const std::string& layout, const Names& h) {
  if (layout == "scin") return has(h, "case_id") && has(h, "image_1_path");
  if (layout == "pad-ufes-20") return has(h, "img_id") && has(h, "diagnostic");
  if (layout == "ham10000") return has(h, "image_id") && has(h, "dx");
  if (layout == "fitzpatrick17k") return has(h, "md5hash") && has(h, "label");
  if (layout == "isic") {
    return isic_key(h) && (is_one_hot(h) || has(h, "diagnosis") || has(h, "diagnosis_1") || has(h, "benign_malignant"));
  }
  if (layout == "csv") return has_one_of(h, "file_name") && has_one_of(h, "condition");
  return false;
}

const Names& layout_names() {
  static const Names names = {"auto", "folder", "isic", "ham10000", "pad-ufes-20", "fitzpatrick17k", "scin", "csv"};
  return names;
}

/// Rows of one or several tables as fields by lower-case column.
struct Fields {
  std::vector<std::unordered_map<std::string, std::string>> rows;
  Names columns;  ///< lower case, in order of first sight
  std::string where;

  const std::string& get(size_t row, const std::string& column) const {
    static const std::string none;
    const auto at = rows[row].find(column);
    return at == rows[row].end() ? none : at->second;
  }
};

/// Adds a table. Rows whose `key` is known already gain the columns they lack; others are appended if `outer`.
void add_table(Fields& fields, const fs::path& path, const std::function<std::string(const CsvTable&, size_t)>& key,
               bool outer, std::unordered_map<std::string, size_t>& known) {
  const CsvTable table = CsvTable::read(path);
  Names names;
  for (const std::string& name : table.header()) {
    names.push_back(lower(trimmed(name)));
    if (!has(fields.columns, names.back())) fields.columns.push_back(names.back());
  }
  fields.where += (fields.where.empty() ? "" : " and ") + path.filename().string();
  for (size_t r = 0; r < table.size(); ++r) {
    if (r % 4096 == 0) throw_if_interrupted();
    const std::string id = key ? key(table, r) : "";
    size_t at = fields.rows.size();
    if (key && !id.empty()) {
      const auto found = known.find(id);
      if (found != known.end()) {
        at = found->second;
      } else if (outer) {
        known.emplace(id, at);
      } else {
        continue;
      }
    } else if (!outer) {
      continue;
    }
    if (at == fields.rows.size()) fields.rows.emplace_back();
    for (size_t c = 0; c < names.size(); ++c) {
      const std::string value = trimmed(table.row(r)[c]);
      if (!value.empty()) fields.rows[at].try_emplace(names[c], value);
    }
  }
}

/// "['a', 'b']" or "{'a': 0.4, 'b': 0.6}" as Python prints them: name and weight (1 where there is none).
std::vector<std::pair<std::string, double>> python_names(const std::string& text) {
  std::vector<std::pair<std::string, double>> result;
  for (size_t i = 0; i < text.size();) {
    const char quote = text[i];
    if (quote != '\'' && quote != '"') {
      ++i;
      continue;
    }
    std::string name;
    for (++i; i < text.size() && text[i] != quote; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      name += text[i];
    }
    ++i;
    double weight = 1;
    const size_t colon = text.find_first_not_of(' ', i);
    if (colon != std::string::npos && text[colon] == ':') weight = std::strtod(text.c_str() + colon + 1, nullptr);
    result.emplace_back(name, weight);
  }
  return result;
}

/// "FST3", "III", "3.0" -> "3"; "" for unknown (-1, 0, empty, NONE).
std::string fitzpatrick_of(const std::string& text) {
  static const Names roman = {"i", "ii", "iii", "iv", "v", "vi"};
  const std::string t = lower(trimmed(text));
  for (size_t i = 0; i < roman.size(); ++i) {
    if (t == roman[i] || t == "fst" + std::to_string(i + 1) || t == "type " + roman[i] || t == std::to_string(i + 1) ||
        t == std::to_string(i + 1) + ".0") {
      return std::to_string(i + 1);
    }
  }
  return "";
}

class Reader {
 public:
  Reader(const PrepareOptions& options, Tree tree) : options_(options), tree_(std::move(tree)) {}

  Source read() {
    Source source;
    source.layout = options_.layout;
    const fs::path given = fs::absolute(options_.source).lexically_normal();
    const bool file = fs::is_regular_file(given);
    if (!file && tree_.images.empty() && tree_.foreign.empty() && tree_.tables.empty()) {
      throw DataError(
          "{}: the folder holds no image and no table; give a folder with PNG or JPEG files, or a CSV beside them",
          options_.source.string());
    }
    if (file) {
      if (!is_table_name(given)) {
        throw DataError("{}: a folder or a CSV table was expected; give the folder that holds the images",
                        options_.source.string());
      }
      main_ = {given};
      if (source.layout == "auto") source.layout = layout_of_header(given);
    } else if (source.layout != "folder") {
      pick_tables(source.layout);
    }
    if (source.layout == "folder") {
      read_folder(source);
    } else {
      if (source.layout == "scin") {
        read_scin(source);
      } else {
        read_table(source);
      }
    }
    settle_splits(source);
    return source;
  }

 private:
  static bool is_table_name(const fs::path& path) {
    const std::string ext = lower(path.extension().string());
    return ext == ".csv" || ext == ".tsv" || ext == ".txt" || ext.empty();
  }

  std::string layout_of_header(const fs::path& table) const {
    if (!options_.columns.empty()) return "csv";
    const Names header = header_of(table);
    for (const char* layout : {"scin", "pad-ufes-20", "ham10000", "fitzpatrick17k"}) {
      if (is_layout(layout, header)) return layout;
    }
    if (has(header, "file_name") || has(header, "file")) return "csv";
    return is_layout("isic", header) ? "isic" : "csv";
  }

  /// Which of the folder's tables to read, and as what.
  void pick_tables(std::string& layout) {
    if (layout == "auto" && options_.columns.empty()) {
      // A table that names files and conditions in our own words comes first: it is what this program writes.
      for (const fs::path& path : tree_.tables) {
        const Names header = header_of(path);
        if ((has(header, "file_name") || has(header, "file")) && has(header, "condition")) {
          layout = "csv";
          main_ = {path};
          return;
        }
      }
      for (const char* name : {"scin", "pad-ufes-20", "ham10000", "fitzpatrick17k", "isic", "csv"}) {
        for (const fs::path& path : tree_.tables) {
          if (is_layout(name, header_of(path))) main_.push_back(path);
          if (!main_.empty() && std::string(name) != "isic") break;
        }
        if (main_.empty()) continue;
        layout = name;
        if (layout == "isic") add_isic_companions();
        return;
      }
      layout = "folder";
      return;
    }
    if (layout == "auto") layout = "csv";
    for (const fs::path& path : tree_.tables) {
      const Names header = header_of(path);
      const bool fits =
          layout == "csv" && !options_.columns.empty() ? names_given_columns(header) : is_layout(layout, header);
      if (!fits) continue;
      main_.push_back(path);
      if (layout != "isic") break;
    }
    if (layout == "isic") add_isic_companions();
    if (!main_.empty()) return;
    if (tree_.tables.size() == 1) {
      main_ = tree_.tables;  // what it lacks is said when it is read
      return;
    }
    std::string seen;
    for (const fs::path& path : tree_.tables) {
      seen += fmt::format("{}{} ({})", seen.empty() ? "" : "; ", path.lexically_relative(tree_.root).string(),
                          joined(header_of(path), 12));
    }
    throw DataError(
        "{}: no table there reads as {}; {}; give the table itself, or name its columns (file_name=..., condition=...)",
        options_.source.string(), layout, seen.empty() ? "the folder holds no CSV" : "its tables are " + seen);
  }

  bool names_given_columns(const Names& header) const {
    return std::all_of(options_.columns.begin(), options_.columns.end(),
                       [&](const auto& c) { return has(header, lower(c.second)); });
  }

  void add_isic_companions() {
    if (main_.empty()) return;
    for (const fs::path& path : tree_.tables) {
      const Names header = header_of(path);
      if (isic_key(header) && std::find(main_.begin(), main_.end(), path) == main_.end()) main_.push_back(path);
    }
  }

  /// The image's name without folder and ending: what tables are joined by.
  static std::string join_key(const std::string& name) {
    const fs::path path(trimmed(name));
    return lower(is_image_name(path) || is_foreign_image_name(path) ? path.stem().string() : path.filename().string());
  }

  /// The column that a field stands in, "" if none. A column that the user named must be there.
  std::string column_of(const Names& columns, const std::string& field, const std::string& where) const {
    const auto given = options_.columns.find(field);
    if (given != options_.columns.end()) {
      const std::string name = lower(given->second);
      if (!has(columns, name)) {
        throw DataError("{}: there is no column \"{}\" (asked for as {}){}", where, given->second, field,
                        did_you_mean(name, columns));
      }
      return name;
    }
    for (const std::string& name : aliases().at(field)) {
      if (has(columns, name)) return name;
    }
    return "";
  }

  Fields joined_tables(const std::string& layout) {
    Fields fields;
    std::unordered_map<std::string, size_t> known;
    const auto key_in = [&](const fs::path& path) {
      const std::string column = column_of_file(path);
      if (column.empty()) {
        throw DataError("{}: no column names the image; the columns are {}; say which it is (file_name=COLUMN)",
                        path.string(), joined(header_of(path)));
      }
      return [column](const CsvTable& table, size_t row) {
        for (size_t c = 0; c < table.header().size(); ++c) {
          if (lower(trimmed(table.header()[c])) == column) return join_key(table.row(row)[c]);
        }
        return std::string();
      };
    };
    const bool by_name = layout == "isic" || !options_.csv.empty();
    for (size_t i = 0; i < main_.size(); ++i) {
      add_table(fields, main_[i],
                by_name ? std::function<std::string(const CsvTable&, size_t)>(key_in(main_[i])) : nullptr, true, known);
    }
    for (const std::string& name : options_.csv) {
      fs::path path = name;
      if (!fs::is_regular_file(path)) path = tree_.root / name;
      if (!fs::is_regular_file(path)) {
        throw DataError("{}: there is no such table, here or in {}; check its name", name, tree_.root.string());
      }
      if (std::find(main_.begin(), main_.end(), fs::absolute(path).lexically_normal()) != main_.end()) continue;
      add_table(fields, path, key_in(path), false, known);
    }
    return fields;
  }

  std::string column_of_file(const fs::path& path) const {
    const Names header = header_of(path);
    const auto given = options_.columns.find("file_name");
    if (given != options_.columns.end() && has(header, lower(given->second))) return lower(given->second);
    for (const std::string& name : aliases().at("file_name")) {
      if (has(header, name)) return name;
    }
    return "";
  }

  void read_table(Source& source) {
    const Fields fields = joined_tables(source.layout);
    for (const auto& [field, column] : options_.columns) {
      if (aliases().count(field) == 0) {
        Names known;
        for (const auto& entry : aliases()) known.push_back(entry.first);
        throw UsageError("columns: \"{}\" is not a column of a data set{}", field, did_you_mean(field, known));
      }
    }
    std::map<std::string, std::string> at;
    for (const auto& entry : aliases()) at[entry.first] = column_of(fields.columns, entry.first, fields.where);
    if (at["file_name"].empty()) {
      throw DataError("{}: no column names the image; the columns are {}; say which it is (file_name=COLUMN)",
                      fields.where, joined(fields.columns));
    }
    const bool one_hot =
        options_.columns.count("condition") == 0 && is_one_hot(fields.columns) && at["condition"] != "condition";
    const bool target = has(fields.columns, "benign_malignant");
    if (at["condition"].empty() && !one_hot && !target) {
      const std::string near = nearest_name("condition", fields.columns);
      throw DataError("{}: no column says the condition; the columns are {}{}; say which it is (condition=COLUMN)",
                      fields.where, joined(fields.columns), near.empty() ? "" : fmt::format("; \"{}\" is near", near));
    }
    if (source.layout == "fitzpatrick17k")
      at["condition"] = options_.columns.count("condition") ? at["condition"] : "label";
    if (fields.rows.empty())
      throw DataError("{}: the table has a header and no rows; give one with rows", fields.where);

    const bool isic2017 =
        has(fields.columns, "seborrheic_keratosis") && has(fields.columns, "melanoma") && !has(fields.columns, "mel");
    for (size_t r = 0; r < fields.rows.size(); ++r) {
      const auto get = [&](const char* field) -> const std::string& { return fields.get(r, at[field]); };
      SourceRow row;
      const std::string name = get("file_name");
      const std::string shown = name.empty() ? fmt::format("{}, row {}", fields.where, r + 2) : name;
      const auto refuse = [&](const std::string& reason) { source.refused.push_back({shown, reason}); };
      if (name.empty()) {
        refuse("the row names no image");
        continue;
      }
      row.image = tree_.image_index.find(name);
      if (row.image.empty()) {
        refuse("there is no image of that name");
        continue;
      }
      std::string problem;
      row.condition = one_hot ? one_hot_condition(fields, r, isic2017, problem) : condition_name(get("condition"));
      if (row.condition.empty() && target) row.condition = condition_name(fields.get(r, "benign_malignant"));
      if (row.condition.empty()) {
        refuse(problem.empty() ? get("condition").empty() ? "the condition is empty"
                                                          : "the condition is unknown (" + get("condition") + ")"
                               : problem);
        continue;
      }
      row.subject_id = get("subject_id");
      row.lesion_id = get("lesion_id");
      row.split = get("split");
      row.license = get("license");
      row.source = get("source");
      row.fitzpatrick = fitzpatrick_of(get("fitzpatrick"));
      for (const std::string& extra : extra_columns()) {
        if (const std::string& value = fields.get(r, at[extra]); !value.empty()) row.extra[extra] = value;
      }
      const std::string& mask = get("mask_file_name");
      row.mask = tree_.mask_index.find(mask.empty() ? row.image.stem().string() : mask);
      if (row.mask.empty() && !mask.empty()) row.mask = tree_.image_index.find(mask);
      if (!mask.empty() && row.mask.empty() && options_.regions != "found" && options_.regions != "box") {
        refuse("there is no mask of the name " + mask);
        continue;
      }
      if (row.mask == row.image) row.mask.clear();
      try {
        row.boxes = boxes_of(fields, r, at, shown);
      } catch (const DataError& error) {
        const std::string text = error.what();
        refuse(text.starts_with(shown + ": ") ? text.substr(shown.size() + 2) : text);
        continue;
      }
      source.rows.push_back(std::move(row));
    }
  }

  static std::vector<image::Box> boxes_of(const Fields& fields, size_t r, std::map<std::string, std::string>& at,
                                          const std::string& where) {
    std::vector<image::Box> boxes;
    const auto number = [&](const char* field) {
      return parse_number(fields.get(r, at[field]), where + ": " + at[field]);
    };
    const bool corner = !fields.get(r, at["box_x"]).empty() && !fields.get(r, at["box_y"]).empty();
    if (corner && !fields.get(r, at["box_w"]).empty() && !fields.get(r, at["box_h"]).empty()) {
      boxes.push_back({number("box_x"), number("box_y"), number("box_w"), number("box_h")});
    } else if (corner && !fields.get(r, at["box_right"]).empty() && !fields.get(r, at["box_bottom"]).empty()) {
      const double x = number("box_x"), y = number("box_y");
      boxes.push_back({x, y, number("box_right") - x, number("box_bottom") - y});
    }
    if (const std::string& text = fields.get(r, at["boxes"]); !text.empty()) {
      const auto json = nlohmann::json::parse(text, nullptr, false);
      if (!json.is_array()) throw DataError("{}: boxes '{}' are not a JSON list of [x, y, w, h]", where, text);
      for (const auto& box : json) {
        if (!box.is_array() || box.size() != 4 ||
            !std::all_of(box.begin(), box.end(), [](const auto& v) { return v.is_number(); })) {
          throw DataError("{}: boxes '{}' are not a JSON list of [x, y, w, h]", where, text);
        }
        boxes.push_back({box[0], box[1], box[2], box[3]});
      }
    }
    return boxes;
  }

  static std::string one_hot_condition(const Fields& fields, size_t r, bool isic2017, std::string& problem) {
    std::string condition;
    bool any_value = false;
    for (const auto& [column, name] : one_hot_columns()) {
      const std::string& text = fields.get(r, column);
      if (text.empty()) continue;
      any_value = true;
      char* end = nullptr;
      const double value = std::strtod(text.c_str(), &end);
      if (end == text.c_str()) {
        problem = fmt::format("the condition column {} holds '{}', not 0 or 1", column, text);
        return "";
      }
      if (value <= 0.5) continue;
      if (!condition.empty() && condition != name) {
        problem = fmt::format("two conditions at once ({} and {})", condition, name);
        return "";
      }
      condition = name;
    }
    if (condition.empty() && any_value && isic2017) return "nevus";  // 2017 asks of three; neither is the third
    if (condition.empty()) problem = any_value ? "none of the condition columns is 1" : "the condition is empty";
    return condition;
  }

  void read_scin(Source& source) {
    std::unordered_map<std::string, size_t> known;
    Fields fields;
    const auto key = [](const CsvTable& table, size_t row) { return trimmed(table.get(row, "case_id")); };
    for (const fs::path& path : main_) add_table(fields, path, key, true, known);
    std::vector<fs::path> labels;
    for (const fs::path& path : tree_.tables) {
      const Names header = header_of(path);
      if (has(header, "case_id") && !has(header, "image_1_path")) labels.push_back(path);
    }
    for (const std::string& name : options_.csv) {
      const fs::path path = fs::is_regular_file(name) ? fs::path(name) : tree_.root / name;
      if (!fs::is_regular_file(path))
        throw DataError("{}: there is no such table, here or in {}; check its name", name, tree_.root.string());
      if (std::find(labels.begin(), labels.end(), fs::absolute(path).lexically_normal()) == labels.end())
        labels.push_back(path);
    }
    for (const fs::path& path : labels) add_table(fields, path, key, false, known);
    const std::string weighted = "weighted_skin_condition_label", listed = "dermatologist_skin_condition_on_label_name";
    if (!has(fields.columns, weighted) && !has(fields.columns, listed)) {
      throw DataError("{}: no column says the condition ({} or {} was expected); put scin_labels.csv beside it",
                      fields.where, weighted, listed);
    }
    for (size_t r = 0; r < fields.rows.size(); ++r) {
      const std::string& case_id = fields.get(r, "case_id");
      std::string condition;
      double best = 0;
      for (const auto& [name, weight] : python_names(fields.get(r, weighted))) {
        if (weight > best) condition = name, best = weight;
      }
      if (condition.empty()) {
        const auto names = python_names(fields.get(r, listed));
        if (!names.empty()) condition = names.front().first;
      }
      std::string fitzpatrick = fitzpatrick_of(fields.get(r, "fitzpatrick_skin_type"));
      for (const char* column : {"dermatologist_fitzpatrick_skin_type_label_1", "fitzpatrick_skin_type_1"}) {
        if (fitzpatrick.empty()) fitzpatrick = fitzpatrick_of(fields.get(r, column));
      }
      for (const char* column : {"image_1_path", "image_2_path", "image_3_path"}) {
        const std::string& name = fields.get(r, column);
        if (name.empty()) continue;
        SourceRow row;
        row.image = tree_.image_index.find(name);
        row.condition = condition_name(condition);
        if (row.image.empty()) {
          source.refused.push_back({name, "there is no image of that name"});
          continue;
        }
        if (row.condition.empty()) {
          source.refused.push_back({name, "the condition is empty"});
          continue;
        }
        row.mask = tree_.mask_index.find(row.image.stem().string());
        row.subject_id = case_id;
        row.source = "SCIN";
        row.fitzpatrick = fitzpatrick;
        for (const auto& [ours, theirs] : {std::pair{"age", "age_group"}, std::pair{"sex", "sex_at_birth"}}) {
          if (const std::string& value = fields.get(r, theirs); !value.empty()) row.extra[ours] = value;
        }
        source.rows.push_back(std::move(row));
      }
    }
  }

  void read_folder(Source& source) {
    if (tree_.images.empty() && tree_.foreign.empty()) {
      throw DataError(
          "{}: the folder holds no image and no table that can be read; give a folder with PNG or JPEG files",
          options_.source.string());
    }
    for (const fs::path& path : tree_.foreign) {
      source.refused.push_back(
          {path.lexically_relative(tree_.root).generic_string(), "the format is not read; convert it to PNG or JPEG"});
    }
    static const std::map<std::string, std::string> splits = {
        {"train", "train"},           {"training", "train"}, {"val", "validation"}, {"valid", "validation"},
        {"validation", "validation"}, {"test", "test"},      {"testing", "test"}};
    const fs::path root = options_.images.empty() ? tree_.root : found_folder(options_.images, tree_.root, "images");
    size_t flat = 0;
    for (const fs::path& path : tree_.images) {
      const fs::path relative = path.lexically_relative(root);
      std::vector<std::string> parts;
      for (const fs::path& part : relative.parent_path()) parts.push_back(part.string());
      SourceRow row;
      row.image = path;
      if (!parts.empty() && splits.count(lower(parts.front())) > 0) {
        row.split = splits.at(lower(parts.front()));
        parts.erase(parts.begin());
      }
      if (!parts.empty() && lower(parts.front()) == "images") parts.erase(parts.begin());
      if (parts.empty()) {
        ++flat;
        source.refused.push_back({relative.generic_string(), "no sub-folder and no table says its condition"});
        continue;
      }
      row.condition = condition_name(parts.back());
      if (row.condition.empty()) {
        source.refused.push_back({relative.generic_string(), "the condition is unknown (" + parts.back() + ")"});
        continue;
      }
      row.mask = tree_.mask_index.find(path.stem().string());
      source.rows.push_back(std::move(row));
    }
    if (source.rows.empty() && flat > 0) {
      throw DataError(
          "{}: {} images lie flat and no table says their condition; put each condition into a folder of its name, or "
          "a "
          "metadata.csv with file_name and condition beside them",
          options_.source.string(), flat);
    }
  }

  /// Spellings of splits become ours; one split for all is none.
  static void settle_splits(Source& source) {
    static const std::map<std::string, std::string> known = {
        {"train", "train"},      {"training", "train"},        {"val", "validation"},
        {"valid", "validation"}, {"validation", "validation"}, {"dev", "validation"},
        {"test", "test"},        {"testing", "test"},          {"", ""}};
    std::set<std::string> seen;
    for (SourceRow& row : source.rows) {
      const auto at = known.find(lower(trimmed(row.split)));
      if (at == known.end()) {
        throw DataError("{}: the split '{}' is not one of train, validation, test; rename it, or leave the column out",
                        row.image.string(), row.split);
      }
      row.split = at->second;
      seen.insert(row.split);
    }
    if (seen.size() > 1) return;
    for (SourceRow& row : source.rows) row.split.clear();
  }

  const PrepareOptions& options_;
  Tree tree_;
  std::vector<fs::path> main_;
};

}  // namespace

std::string condition_name(const std::string& text) {
  static const std::map<std::string, std::string> known = {{"mel", "melanoma"},
                                                           {"malignant_melanoma", "melanoma"},
                                                           {"nv", "nevus"},
                                                           {"nev", "nevus"},
                                                           {"naevus", "nevus"},
                                                           {"nevi", "nevus"},
                                                           {"mole", "nevus"},
                                                           {"melanocytic_nevus", "nevus"},
                                                           {"melanocytic_naevus", "nevus"},
                                                           {"melanocytic_nevi", "nevus"},
                                                           {"bcc", "basal_cell_carcinoma"},
                                                           {"basal_cell_carcinomas", "basal_cell_carcinoma"},
                                                           {"scc", "squamous_cell_carcinoma"},
                                                           {"ack", "actinic_keratosis"},
                                                           {"ak", "actinic_keratosis"},
                                                           {"akiec", "actinic_keratosis"},
                                                           {"actinic_keratoses", "actinic_keratosis"},
                                                           {"solar_keratosis", "actinic_keratosis"},
                                                           {"sek", "seborrheic_keratosis"},
                                                           {"sk", "seborrheic_keratosis"},
                                                           {"seborrhoeic_keratosis", "seborrheic_keratosis"},
                                                           {"seborrheic_keratoses", "seborrheic_keratosis"},
                                                           {"bkl", "benign_keratosis"},
                                                           {"benign_keratosis_like_lesions", "benign_keratosis"},
                                                           {"pigmented_benign_keratosis", "benign_keratosis"},
                                                           {"df", "dermatofibroma"},
                                                           {"vasc", "vascular_lesion"},
                                                           {"vascular_lesions", "vascular_lesion"},
                                                           {"bod", "bowens_disease"},
                                                           {"bowen_disease", "bowens_disease"},
                                                           {"unk", ""},
                                                           {"unknown", ""},
                                                           {"nan", ""},
                                                           {"none", ""},
                                                           {"na", ""},
                                                           {"n_a", ""}};
  std::string name;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) || u >= 0x80) {
      name += static_cast<char>(u < 0x80 ? std::tolower(u) : c);
    } else if (c != '\'' && !name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (!name.empty() && name.back() == '_') name.pop_back();
  const auto at = known.find(name);
  return at == known.end() ? name : at->second;
}

Source read_source(const PrepareOptions& options) {
  if (std::find(layout_names().begin(), layout_names().end(), options.layout) == layout_names().end()) {
    throw UsageError("layout: \"{}\" is not a layout{}", options.layout, did_you_mean(options.layout, layout_names()));
  }
  if (!fs::exists(options.source)) {
    throw DataError("{}: there is no such folder or file; check the name", options.source.string());
  }
  Source source = Reader(options, read_tree(options)).read();
  if (options.conditions.empty()) return source;
  std::set<std::string> there, wanted;
  for (const SourceRow& row : source.rows) there.insert(row.condition);
  const std::vector<std::string> names(there.begin(), there.end());
  for (const std::string& text : options.conditions) {
    const std::string name = condition_name(text);
    if (there.count(name) == 0) {
      throw UsageError("conditions: {} has no image of \"{}\"{}", options.source.string(), text,
                       did_you_mean(name, names));
    }
    wanted.insert(name);
  }
  std::erase_if(source.rows, [&](const SourceRow& row) { return wanted.count(row.condition) == 0; });
  return source;
}

}  // namespace derm::prepare
