#include "derm/prepare/prepare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <unordered_map>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/random.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/image/codec.h"
#include "derm/image/draw.h"
#include "derm/image/mask.h"
#include "derm/image/resize.h"
#include "derm/prepare/duplicates.h"
#include "derm/prepare/source.h"
#include "derm/prepare/split.h"
#include "derm/skin/lesion.h"
#include "derm/skin/skin_colour.h"

namespace derm::prepare {
namespace {

constexpr int kThumbnail = 64;

/// Why one image is left out. Caught for each image; everything else ends the run.
struct Refusal {
  std::string reason;
};

/// What is known of one image once it has been written.
struct Made {
  bool written = false;
  std::string refused;
  data::Record record;
  std::string pixels_sha256;
  image::Image thumbnail;  ///< grey, of the whole source picture
};

/// The part of the source that becomes the stored square (or, with "stretch", rectangle made square).
struct Window {
  int x = 0, y = 0, w = 0, h = 0;
};

Window centre_window(int width, int height) {
  const int side = std::min(width, height);
  return {(width - side) / 2, (height - side) / 2, side, side};
}

/// A square round the lesion with as much skin as lesion on either side together, inside the picture.
Window lesion_window(const image::Box& box, int width, int height) {
  const int most = std::min(width, height);
  const int side = std::clamp(static_cast<int>(std::lround(1.8 * std::max(box.w, box.h))), std::min(32, most), most);
  const auto place = [&](double from, double length, int limit) {
    return std::clamp(static_cast<int>(std::lround(from + length / 2 - side / 2.0)), 0, limit - side);
  };
  return {place(box.x, box.w, width), place(box.y, box.h, height), side, side};
}

image::Image taken(const image::Image& source, const Window& window, int size) {
  const bool whole = window.x == 0 && window.y == 0 && window.w == source.width && window.h == source.height;
  const image::Image part = whole ? source : image::crop(source, window.x, window.y, window.w, window.h);
  return part.width == size && part.height == size ? part : image::resize(part, size, size, image::Filter::lanczos);
}

image::Mask taken_mask(const image::Mask& source, const Window& window, int size) {
  image::Mask mask = image::crop(source, window.x, window.y, window.w, window.h);
  if (mask.width != size || mask.height != size) mask = image::resize(mask, size, size, image::Filter::box);
  for (uint8_t& v : mask.pixels) v = v >= 128 ? 255 : 0;
  return mask;
}

/// A box in the stored picture; no width if it lies outside the window.
image::Box taken_box(const image::Box& box, const Window& window, int size) {
  const double sx = static_cast<double>(size) / window.w, sy = static_cast<double>(size) / window.h;
  const double left = std::max(0.0, (box.x - window.x) * sx), top = std::max(0.0, (box.y - window.y) * sy);
  const double right = std::min<double>(size, (box.x + box.w - window.x) * sx);
  const double bottom = std::min<double>(size, (box.y + box.h - window.y) * sy);
  return right - left >= 1 && bottom - top >= 1 ? image::Box{left, top, right - left, bottom - top} : image::Box{};
}

image::Image thumbnail_of(const image::Image& rgb) {
  const image::Image small = image::resize(rgb, kThumbnail, kThumbnail, image::Filter::box);
  image::Image grey(kThumbnail, kThumbnail, 1);
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    const uint8_t* p = small.pixels.data() + 3 * i;
    grey.pixels[i] = static_cast<uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
  }
  return grey;
}

/// The message without the path that it begins with: refused.csv has that in a column of its own.
std::string reason_of(const Error& error, const fs::path& path) {
  std::string text = error.what();
  if (text.starts_with(path.string() + ": ")) text = text.substr(path.string().size() + 2);
  return text;
}

image::Box union_box(const std::vector<image::Box>& boxes) {
  double left = boxes[0].x, top = boxes[0].y, right = left + boxes[0].w, bottom = top + boxes[0].h;
  for (const image::Box& b : boxes) {
    left = std::min(left, b.x);
    top = std::min(top, b.y);
    right = std::max(right, b.x + b.w);
    bottom = std::max(bottom, b.y + b.h);
  }
  return {left, top, right - left, bottom - top};
}

double rounded(double v, double unit) { return std::round(v / unit) * unit; }

class Preparation {
 public:
  Preparation(const PrepareOptions& options, Source source, const fs::path& out)
      : options_(options), source_(std::move(source)), out_(out), made_(source_.rows.size()) {
    name_outputs();
  }

  void make_all() {
    fs::create_directories(out_ / "images");
    fs::create_directories(out_ / "masks");
    Progress progress("prepare", static_cast<double>(made_.size()), "images");
    std::mutex mutex;
    size_t done = 0;
    parallel_for(
        made_.size(),
        [&](size_t i) {
          throw_if_interrupted();
          try {
            make(source_.rows[i], made_[i]);
          } catch (const Refusal& refusal) {
            made_[i].refused = refusal.reason;
          }
          const std::lock_guard lock(mutex);
          progress.update(static_cast<double>(++done));
        },
        options_.threads);
    progress.finish();
  }

  Summary finish() {
    Summary summary;
    summary.layout = source_.layout;
    summary.read = made_.size() + source_.refused.size();
    summary.refused = source_.refused;
    drop_duplicates(summary);
    group_near_duplicates(summary);
    assign();
    std::vector<data::Record> records;
    for (size_t i = 0; i < made_.size(); ++i) {
      if (made_[i].written) {
        records.push_back(made_[i].record);
      } else {
        summary.refused.push_back({shown(source_.rows[i].image), made_[i].refused});
      }
    }
    if (records.empty()) {
      throw DataError("{}: none of the {} images can be used; the first, {}: {}", options_.source.string(),
                      summary.read, summary.refused.empty() ? "-" : summary.refused.front().file,
                      summary.refused.empty() ? "no row is left" : summary.refused.front().reason);
    }
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.file_name < b.file_name; });
    for (const data::Record& r : records) {
      ++summary.counts[r.condition][r.split];
      summary.below_quality += r.quality && *r.quality < options_.min_quality;
    }
    summary.written = records.size();
    data::write_data_set(out_, records, facts(summary, records));
    write_refused(summary.refused);
    write_preview(records);
    if (fs::is_empty(out_ / "masks")) fs::remove(out_ / "masks");
    const auto json = nlohmann::json::parse(read_file(out_ / "dataset.json"));
    summary.fingerprint = json.value("fingerprint", "");
    return summary;
  }

 private:
  std::string shown(const fs::path& path) const {
    const fs::path root =
        fs::absolute(fs::is_directory(options_.source) ? options_.source : options_.source.parent_path());
    const fs::path relative = path.lexically_relative(root.lexically_normal());
    return relative.empty() || *relative.begin() == ".." ? path.filename().string() : relative.generic_string();
  }

  /// NAME of images/NAME.png: the source's, in letters that every system takes; the first comer keeps it.
  void name_outputs() {
    std::set<std::string> taken;
    for (const SourceRow& row : source_.rows) {
      std::string name;
      for (const char c : row.image.stem().string()) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_' || c == '.';
        name += plain ? c : '_';
      }
      if (name.empty() || name[0] == '.') name = "image" + name;
      if (name.size() > 120) name.resize(120);
      const auto folded = [](std::string s) {
        for (char& c : s) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
        return s;
      };
      std::string unique = name;
      for (int n = 2; !taken.insert(folded(unique)).second; ++n) unique = name + "_" + std::to_string(n);
      names_.push_back(unique);
    }
  }

  image::Mask read_given_mask(const SourceRow& row, const image::Image& picture) const {
    image::Mask mask;
    try {
      mask = image::read_mask(row.mask);
    } catch (const DataError& error) {
      throw Refusal{"its mask: " + reason_of(error, row.mask)};
    }
    if (mask.width != picture.width || mask.height != picture.height) {
      throw Refusal{fmt::format("its mask is {}x{} pixels, the image {}x{}", mask.width, mask.height, picture.width,
                                picture.height)};
    }
    return mask;
  }

  void make(const SourceRow& row, Made& made) const {
    image::Image picture;
    try {
      picture = image::to_rgb(image::read_image(row.image));
    } catch (const DataError& error) {
      throw Refusal{reason_of(error, row.image)};
    }
    if (picture.width < 32 || picture.height < 32) {
      throw Refusal{fmt::format("the image is {}x{} pixels, 32x32 at least are needed", picture.width, picture.height)};
    }
    Sha256 sha;
    sha.update(fmt::format("{}x{}\n", picture.width, picture.height));
    sha.update(picture.pixels.data(), picture.pixels.size());
    made.pixels_sha256 = sha.hex();
    made.thumbnail = thumbnail_of(picture);

    for (const image::Box& box : row.boxes) {
      if (!(box.w > 0 && box.h > 0 && box.x >= -0.5 && box.y >= -0.5 && box.x + box.w <= picture.width + 0.5 &&
            box.y + box.h <= picture.height + 0.5)) {
        throw Refusal{fmt::format("its box (x {}, y {}, w {}, h {}) leaves the image of {}x{} pixels", box.x, box.y,
                                  box.w, box.h, picture.width, picture.height)};
      }
    }
    image::Mask mask;
    const bool want_mask = options_.regions == "auto" || options_.regions == "mask";
    const bool want_box = options_.regions == "auto" || options_.regions == "box";
    if (want_mask && !row.mask.empty()) mask = read_given_mask(row, picture);
    const bool has_mask = !mask.empty() && image::mask_area(mask) > 0;
    if (options_.regions == "mask" && !has_mask) throw Refusal{mask.empty() ? "it has no mask" : "its mask is empty"};
    const bool has_box = want_box && !row.boxes.empty() && !has_mask;
    if (options_.regions == "box" && !has_box) throw Refusal{"it has no box"};
    const std::string how = has_mask ? "mask" : has_box ? "box" : "found";

    Window window = centre_window(picture.width, picture.height);
    if (options_.crop == "stretch") window = {0, 0, picture.width, picture.height};
    if (options_.crop == "lesion") {
      image::Box box;
      if (has_mask) box = image::mask_box(mask);
      if (has_box) box = union_box(row.boxes);
      if (how == "found") box = skin::find_lesion(picture).box;
      if (box.w > 0) window = lesion_window(box, picture.width, picture.height);
    }
    const image::Image stored = taken(picture, window, options_.size_px);
    const skin::Artefacts artefacts = skin::find_artefacts(stored);

    data::Record& r = made.record;
    image::Mask region(options_.size_px, options_.size_px, 1);
    if (has_mask) {
      region = taken_mask(mask, window, options_.size_px);
      if (image::mask_area(region) == 0) throw Refusal{"its lesion lies outside the crop (crop = lesion keeps it)"};
      r.boxes = {image::mask_box(region)};
    } else if (has_box) {
      for (const image::Box& box : row.boxes) {
        const image::Box inside = taken_box(box, window, options_.size_px);
        if (inside.w <= 0) continue;
        r.boxes.push_back(
            {rounded(inside.x, 0.01), rounded(inside.y, 0.01), rounded(inside.w, 0.01), rounded(inside.h, 0.01)});
        for (int y = static_cast<int>(inside.y); y < std::ceil(inside.y + inside.h) && y < region.height; ++y) {
          for (int x = static_cast<int>(inside.x); x < std::ceil(inside.x + inside.w) && x < region.width; ++x)
            *region.at(x, y) = 255;
        }
      }
      if (r.boxes.empty()) throw Refusal{"its box lies outside the crop (crop = lesion keeps it)"};
    } else {
      const skin::Lesion lesion = skin::find_lesion(stored, artefacts);
      region = lesion.mask;
      r.quality = rounded(lesion.quality, 0.001);
      if (image::mask_area(region) > 0) r.boxes = {lesion.box};
    }
    const skin::SkinColour colour = skin::measure_skin(stored, region, artefacts);

    const std::string& name = names_[static_cast<size_t>(&made - made_.data())];
    r.file_name = "images/" + name + ".png";
    write_file(out_ / r.file_name, image::encode_png(stored));
    if (how != "box" && !r.boxes.empty()) {
      r.mask_file_name = "masks/" + name + ".png";
      write_file(out_ / r.mask_file_name, image::encode_png(region));
    }
    r.condition = row.condition;
    r.split = row.split;
    r.subject_id = row.subject_id;
    r.lesion_id = row.lesion_id;
    r.skin_rgb = colour.rgb;
    r.ita_deg = rounded(colour.ita_deg, 0.01);
    r.tone = colour.tone;
    r.fitzpatrick = row.fitzpatrick;
    r.source = row.source;
    r.license = row.license;
    r.extra = row.extra;
    r.extra["region_source"] = how;
    r.extra["skin_share"] = fmt::format("{:.3f}", colour.share);
    made.written = true;
  }

  /// The same pixels under several names: the first stays.
  void drop_duplicates(Summary& summary) {
    std::unordered_map<std::string, size_t> first;
    for (size_t i = 0; i < made_.size(); ++i) {
      if (!made_[i].written) continue;
      const auto [at, added] = first.try_emplace(made_[i].pixels_sha256, i);
      if (added) continue;
      const Made& kept = made_[at->second];
      made_[i].written = false;
      made_[i].refused = "duplicate: the same pixels as " + shown(source_.rows[at->second].image);
      if (kept.record.condition != made_[i].record.condition) {
        made_[i].refused += fmt::format(", there as {}, here as {}", kept.record.condition, made_[i].record.condition);
      }
      fs::remove(out_ / made_[i].record.file_name);
      if (!made_[i].record.mask_file_name.empty()) fs::remove(out_ / made_[i].record.mask_file_name);
      joins_.emplace_back(at->second, i);  // whoever shares a picture shares a split
      ++summary.duplicates;
    }
  }

  void group_near_duplicates(Summary& summary) {
    std::vector<image::Image> thumbnails;
    std::vector<size_t> index;
    for (size_t i = 0; i < made_.size(); ++i) {
      if (!made_[i].written) continue;
      thumbnails.push_back(std::move(made_[i].thumbnail));
      index.push_back(i);
    }
    for (const auto& group : near_duplicate_groups(thumbnails, options_.near_duplicate_bits)) {
      const std::string& leader = made_[index[group[0]]].record.file_name;
      for (size_t k = 0; k < group.size(); ++k) {
        made_[index[group[k]]].record.extra["near_duplicate_of"] = k == 0 ? "" : leader;
        if (k > 0) joins_.emplace_back(index[group[0]], index[group[k]]);
      }
      summary.near_duplicates += group.size() - 1;
    }
  }

  /// Groups that may not be torn: patient, else lesion, else image, joined by duplicates.
  void assign() {
    const size_t n = made_.size();
    std::vector<std::string> own(n);
    for (size_t i = 0; i < n; ++i) {
      const SourceRow& row = source_.rows[i];
      own[i] = !row.subject_id.empty()  ? "subject " + row.subject_id
               : !row.lesion_id.empty() ? "lesion " + row.lesion_id
                                        : "image " + row.image.stem().string();
    }
    std::map<std::string, std::string> parent;
    const auto root = [&](std::string name) {
      for (auto at = parent.find(name); at != parent.end() && at->second != name; at = parent.find(name))
        name = at->second;
      return name;
    };
    const auto join = [&](const std::string& one, const std::string& other) {
      const std::string x = root(one), y = root(other);
      if (x != y) parent[std::max(x, y)] = std::min(x, y);
    };
    for (const auto& [a, b] : joins_) join(own[a], own[b]);
    std::vector<SplitItem> items;
    std::vector<size_t> index;
    for (size_t i = 0; i < n; ++i) {
      if (!made_[i].written) continue;
      items.push_back({root(own[i]), made_[i].record.condition});
      index.push_back(i);
    }
    const auto splits = assign_splits(items, options_.train, options_.validation);
    // Splits that the source gives stand, unless they tear a group: then it goes to training, where it spoils no test.
    std::map<std::string, std::set<std::string>> given;
    for (size_t k = 0; k < items.size(); ++k) given[items[k].group].insert(made_[index[k]].record.split);
    size_t torn = 0;
    for (auto& [group, names] : given) {
      names.erase("");
      torn += names.size() > 1;
    }
    for (size_t k = 0; k < items.size(); ++k) {
      const auto& names = given[items[k].group];
      made_[index[k]].record.split = names.empty() ? splits[k] : names.size() == 1 ? *names.begin() : "train";
    }
    if (torn > 0) {
      log_warning(
          "{}: {} groups of one patient, lesion or picture lay in several of the given splits; they were put into "
          "train",
          options_.source.string(), torn);
    }
  }

  nlohmann::json facts(const Summary& summary, const std::vector<data::Record>& records) const {
    std::map<std::string, size_t> regions, licenses, sources, reasons;
    for (const data::Record& r : records) {
      ++regions[r.extra.at("region_source")];
      ++licenses[r.license.empty() ? "unknown" : r.license];
      ++sources[r.source.empty() ? "unknown" : r.source];
    }
    nlohmann::json json;
    json["min_quality"] = options_.min_quality;
    json["size_px"] = options_.size_px;
    json["licenses"] = licenses;
    json["sources"] = sources;
    json["prepare"] = {{"layout", summary.layout},
                       {"source", options_.source.filename().empty() ? options_.source.parent_path().filename().string()
                                                                     : options_.source.filename().string()},
                       {"regions", options_.regions},
                       {"region_sources", regions},
                       {"crop", options_.crop},
                       {"train", options_.train},
                       {"validation", options_.validation},
                       {"near_duplicate_bits", options_.near_duplicate_bits},
                       {"conditions", options_.conditions},
                       {"columns", options_.columns},
                       {"read", summary.read},
                       {"written", summary.written},
                       {"refused", summary.refused.size()},
                       {"duplicates", summary.duplicates},
                       {"near_duplicates", summary.near_duplicates},
                       {"below_quality", summary.below_quality},
                       {"version", version()}};
    return json;
  }

  void write_refused(const std::vector<Refused>& refused) const {
    CsvTable table({"file", "reason"});
    for (const Refused& r : refused) table.add_row({r.file, r.reason});
    write_file(out_ / "refused.csv", table.to_string());
  }

  /// A sheet of up to 48 images, conditions in turn, with outline, skin swatch and ITA.
  void write_preview(const std::vector<data::Record>& records) const {
    constexpr int kTile = 144, kCaption = 24, kColumns = 8;
    constexpr size_t kMost = 48;
    std::map<std::string, std::vector<const data::Record*>> by_condition;
    for (const data::Record& r : records) by_condition[r.condition].push_back(&r);
    for (auto& [condition, list] : by_condition) {
      std::sort(list.begin(), list.end(),
                [](const auto* a, const auto* b) { return hash_text(a->file_name) < hash_text(b->file_name); });
    }
    std::vector<const data::Record*> chosen;
    for (size_t k = 0; chosen.size() < std::min(kMost, records.size()); ++k) {
      for (const auto& [condition, list] : by_condition) {
        if (k < list.size() && chosen.size() < kMost) chosen.push_back(list[k]);
      }
    }
    const int rows = (static_cast<int>(chosen.size()) + kColumns - 1) / kColumns;
    image::Image sheet(kColumns * (kTile + 4) + 4, rows * (kTile + kCaption + 4) + 4, 3, 255);
    for (size_t k = 0; k < chosen.size(); ++k) {
      const data::Record& r = *chosen[k];
      const int x = 4 + static_cast<int>(k % kColumns) * (kTile + 4),
                y = 4 + static_cast<int>(k / kColumns) * (kTile + kCaption + 4);
      image::Image tile = image::resize(image::read_image(out_ / r.file_name), kTile, kTile);
      if (!r.mask_file_name.empty()) {
        const image::Mask mask = image::read_mask(out_ / r.mask_file_name);
        image::draw_mask_outline(tile, taken_mask(mask, {0, 0, mask.width, mask.height}, kTile), {0, 230, 0});
      } else {
        const double scale = static_cast<double>(kTile) / options_.size_px;
        for (const image::Box& b : r.boxes) {
          image::draw_rectangle(tile, static_cast<int>(b.x * scale), static_cast<int>(b.y * scale),
                                static_cast<int>(b.w * scale), static_cast<int>(b.h * scale), {0, 230, 0});
        }
      }
      image::paste(sheet, tile, x, y);
      image::fill_rectangle(sheet, x, y + kTile, 22, kCaption, *r.skin_rgb);
      std::string name = r.condition;
      if (name.size() > 19) name.resize(19);
      image::draw_text(sheet, x + 26, y + kTile + 3, name, {0, 0, 0});
      const bool weak = r.quality && *r.quality < options_.min_quality;
      image::draw_text(sheet, x + 26, y + kTile + 13,
                       fmt::format("ITA {:.0f}{}", *r.ita_deg, r.quality ? fmt::format("  q {:.2f}", *r.quality) : ""),
                       weak ? image::Rgb{200, 0, 0} : image::Rgb{90, 90, 90});
    }
    image::write_png(out_ / "preview.png", sheet);
  }

  const PrepareOptions& options_;
  Source source_;
  fs::path out_;
  std::vector<Made> made_;
  std::vector<std::string> names_;
  std::vector<std::pair<size_t, size_t>> joins_;
};

void check_choice(const char* field, const std::string& value, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    throw UsageError("{}: \"{}\" is not accepted{}", field, value, did_you_mean(value, known));
  }
}

}  // namespace

void PrepareOptions::validate() const {
  if (source.empty()) throw UsageError("prepare: no source was given; give a folder of images or a CSV");
  if (out.empty()) throw UsageError("prepare: no output folder was given; say where the data set shall stand");
  if (size_px < 32 || size_px > 2048) throw UsageError("size_px is {}; it goes from 32 to 2048", size_px);
  check_choice("layout", layout,
               {"auto", "folder", "isic", "ham10000", "pad-ufes-20", "fitzpatrick17k", "scin", "csv"});
  check_choice("regions", regions, {"auto", "mask", "box", "found"});
  check_choice("crop", crop, {"centre", "lesion", "stretch"});
  if (!(min_quality >= 0 && min_quality <= 1)) throw UsageError("min_quality is {}; it goes from 0 to 1", min_quality);
  if (!(train > 0 && train <= 1)) throw UsageError("train is {}; it is a share above 0 and up to 1", train);
  if (!(validation >= 0 && train + validation <= 1 + 1e-9)) {
    throw UsageError("train {} and validation {} add up to more than 1; the rest is the test split", train, validation);
  }
  if (near_duplicate_bits < 0 || near_duplicate_bits > 64) {
    throw UsageError("near_duplicate_bits is {}; it goes from 0 to 64 of 256", near_duplicate_bits);
  }
  if (threads < 0) throw UsageError("threads is {}; it is 0 (all) or more", threads);
}

Summary prepare(const PrepareOptions& options) {
  options.validate();
  if (!fs::exists(options.source))
    throw DataError("{}: there is no such folder or file; check the name", options.source.string());
  const fs::path root = fs::weakly_canonical(
      fs::is_directory(options.source) ? options.source : fs::absolute(options.source).parent_path());
  const fs::path inside = fs::weakly_canonical(options.out).lexically_relative(root);
  if (!inside.empty() && *inside.begin() != "..") {
    throw UsageError("{}: the output lies inside the source {}, which is never changed; give a folder outside it",
                     options.out.string(), options.source.string());
  }
  Source source = read_source(options);
  if (source.rows.empty()) {
    throw DataError("{}: none of the {} rows can be used; the first, {}: {}", options.source.string(),
                    source.refused.size(), source.refused.empty() ? "-" : source.refused.front().file,
                    source.refused.empty() ? "there are none" : source.refused.front().reason);
  }
  NewDirectory directory(options.out);
  // A photograph as PNG takes a byte a pixel and more: better said now than after an hour.
  const uint64_t needed =
      source.rows.size() * static_cast<uint64_t>(options.size_px) * static_cast<uint64_t>(options.size_px);
  if (const uint64_t free = free_disk_bytes(directory.path()); free < needed) {
    throw DataError("{}: the disk has {} free, {} images of {} px need about {}; make room or choose another folder",
                    options.out.string(), bytes_text(static_cast<double>(free)), source.rows.size(), options.size_px,
                    bytes_text(1.7 * static_cast<double>(needed)));
  }
  Preparation preparation(options, std::move(source), directory.path());
  preparation.make_all();
  const Summary summary = preparation.finish();
  directory.commit();
  return summary;
}

}  // namespace derm::prepare
