#include "derm/generation/output.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/data/semantic_map.h"
#include "derm/image/codec.h"
#include "derm/image/colour.h"
#include "derm/image/draw.h"
#include "derm/image/mask.h"
#include "derm/image/resize.h"
#include "derm/ranks/group.h"

namespace derm::generation {
namespace {

namespace fs = std::filesystem;

constexpr int kLargestSheet = 8192;  // px; larger grids get smaller cells

std::string rounded(double value) { return number_text(std::round(value * 1e6) / 1e6); }

/// What was asked for, by column name; the same goes into the table and into the PNG.
std::map<std::string, std::string> requested(const data::Request& request, const Maker& maker) {
  const data::Region& first = request.regions.front();
  std::map<std::string, std::string> columns = {
      {"requested_condition", request.condition()},
      {"requested_skin", image::hex_of(image::rgb_of(request.skin))},
      {"requested_ita", rounded(image::ita_degrees(request.skin))},
      {"requested_size", rounded(first.size())},
      {"requested_x", rounded(first.x)},
      {"requested_y", rounded(first.y)},
      {"requested_shape", data::shape_name(first.shape)},
      {"requested_regions", ""},
      {"extrapolated", request.extrapolated ? "true" : "false"},
      {"seed", std::to_string(request.seed)},
  };
  if (request.regions.size() > 1) {
    nlohmann::json regions = data::to_json(request).at("regions");
    for (nlohmann::json& region : regions) region.erase("mask_rle");  // the mask file holds it
    columns["requested_regions"] = regions.dump();
  }
  if (!request.directions.empty()) columns["requested_directions"] = nlohmann::json(request.directions).dump();
  if (!maker.heeded("condition")) columns.erase("requested_condition");
  if (!maker.heeded("skin"))
    for (const char* name : {"requested_skin", "requested_ita", "extrapolated"}) columns.erase(name);
  if (!maker.heeded("region"))
    for (const char* name : {"requested_size", "requested_x", "requested_y", "requested_shape", "requested_regions"})
      columns.erase(name);
  return columns;
}

/// Boxes of the regions in pixels, clipped to the image.
std::vector<image::Box> boxes_of(const data::Request& request, int size) {
  std::vector<image::Box> boxes;
  for (const data::Region& region : request.regions) {
    image::Box box;
    if (region.shape == data::Shape::mask) {
      data::Request alone = request;
      alone.regions = {region};
      box = image::mask_box(data::region_mask(alone, size));
    } else {
      const double x0 = std::clamp((region.x - region.w / 2) * size, 0.0, size - 1.0);
      const double y0 = std::clamp((region.y - region.h / 2) * size, 0.0, size - 1.0);
      const double x1 = std::clamp((region.x + region.w / 2) * size, x0, static_cast<double>(size));
      const double y1 = std::clamp((region.y + region.h / 2) * size, y0, static_cast<double>(size));
      const auto tidy = [](double v) { return std::round(v * 100) / 100; };
      box = {tidy(x0), tidy(y0), tidy(x1 - x0), tidy(y1 - y0)};
    }
    if (box.w > 0 && box.h > 0) boxes.push_back(box);
  }
  return boxes;
}

/// Within a directory that becomes visible as a whole no file needs a temporary name, nor thousands of files a flush
/// each.
void write_plain(const fs::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) {
    throw DataError("{}: could not be written ({} free on that disk); nothing was kept, make room and ask again",
                    path.string(), bytes_text(static_cast<double>(free_disk_bytes(path.parent_path()))));
  }
}

void check_room(const Engine& engine, size_t count, const fs::path& out) {
  // A PNG of a smooth photograph takes about half of its pixels' bytes; a mask takes little. A third is added for
  // safety.
  const double side = engine.size_px();
  const double needed = static_cast<double>(count) * (side * side * 3 * 0.66 + 8192) + 1e6;
  const double free = static_cast<double>(free_disk_bytes(out));
  if (free < needed) {
    throw DataError(
        "{}: {} images of {} px need about {} and {} are free there; make room, ask for fewer or write elsewhere",
        out.string(), count, engine.size_px(), bytes_text(needed), bytes_text(free));
  }
}

/// The table and facts of a set that the user interrupted. data::write_data_set would stop at once then, since all
/// parallel work does; what it adds (counts, fingerprint) is not worth losing the images for.
void write_interrupted_set(const fs::path& root, const std::vector<data::Record>& records,
                           const nlohmann::json& facts) {
  std::vector<std::string> header = {"file_name", "condition", "split",          "box_x",    "box_y",
                                     "box_w",     "box_h",     "mask_file_name", "skin_rgb", "source"};
  for (const auto& [name, value] : records.front().extra) header.push_back(name);
  CsvTable table(header);
  for (const data::Record& r : records) {
    std::vector<std::string> row = {r.file_name, r.condition, r.split};
    const image::Box box = r.boxes.empty() ? image::Box() : r.boxes.front();
    for (const double v : {box.x, box.y, box.w, box.h}) row.push_back(r.boxes.empty() ? "" : number_text(v));
    row.insert(row.end(), {r.mask_file_name, r.skin_rgb ? image::hex_of(*r.skin_rgb) : "", r.source});
    for (const auto& [name, value] : r.extra) row.push_back(value);
    table.add_row(std::move(row));
  }
  write_file(root / "metadata.csv", table.to_string());
  write_file(root / "dataset.json", facts.dump(2) + "\n");
}

/// Where the images and masks of a set stand.
class SetFiles {
 public:
  SetFiles(Maker maker, fs::path root, size_t count)
      : maker_(std::move(maker)),
        root_(std::move(root)),
        digits_(std::max<int>(6, static_cast<int>(std::to_string(count).size()))) {}

  void make_folders() const {
    fs::create_directories(root_ / "images");
    if (maker_.heeded("region")) fs::create_directories(root_ / "masks");
  }
  data::Record record(const data::Request& request, size_t i) const {
    return record_of(request, maker_, fmt::format("images/{:0{}}.png", i, digits_),
                     maker_.heeded("region") ? fmt::format("masks/{:0{}}.png", i, digits_) : std::string());
  }
  void write(const data::Request& request, const data::Record& record, const image::Image& image) const {
    write_plain(root_ / record.file_name, image::encode_png(image, provenance(request, maker_)));
    if (!record.mask_file_name.empty())
      write_plain(root_ / record.mask_file_name, image::encode_png(data::region_mask(request, maker_.size_px)));
  }
  void write_tables(const std::vector<data::Record>& records, size_t asked, bool complete, bool interrupted) const {
    const nlohmann::json facts = facts_of_set(maker_, asked, complete);
    // An interrupt that comes once the last image is made changes nothing about the images either.
    if (complete && !interrupted)
      data::write_data_set(root_, records, facts);
    else
      write_interrupted_set(root_, records, facts);
  }
  bool holds(const data::Record& record) const {
    return fs::exists(root_ / record.file_name) &&
           (record.mask_file_name.empty() || fs::exists(root_ / record.mask_file_name));
  }

 private:
  Maker maker_;
  fs::path root_;
  int digits_;
};

/// Fills `root` with the set; `keep` sees every image. Returns how many were made before the user interrupted, if so.
size_t fill_set(Engine& engine, const std::vector<data::Request>& requests, const fs::path& root,
                const std::function<void(const image::Image&)>& keep) {
  const SetFiles files(maker_of(engine), root, requests.size());
  files.make_folders();
  std::vector<data::Record> records;
  Progress progress("generate", static_cast<double>(requests.size()), "images");
  try {
    engine.generate(requests, [&](size_t i, image::Image image) {
      records.push_back(files.record(requests[i], i));
      files.write(requests[i], records.back(), image);
      if (keep) keep(image);
      progress.update(static_cast<double>(i + 1));
    });
  } catch (const Interrupted&) {
    if (records.empty()) throw;
  }
  progress.finish();
  files.write_tables(records, requests.size(), records.size() == requests.size(), interrupt_requested());
  return records.size();
}

void end_set(NewDirectory& directory, size_t made, size_t asked, const fs::path& out) {
  directory.commit();
  if (made == asked) return;
  log_warning("{}: interrupted; the {} of {} images made so far are kept there", out.string(), made, asked);
  throw Interrupted();
}

std::string number_label(const std::string& key, const std::string& value) {
  try {
    return fmt::format("{} {:.2f}", key, parse_number(value, key));
  } catch (const DataError&) {
    return key + " " + value;
  }
}

}  // namespace

bool Maker::heeded(const std::string& part) const { return std::find(heeds.begin(), heeds.end(), part) != heeds.end(); }

Maker maker_of(const Engine& engine) {
  Maker maker{engine.recipe_name(), engine.bundle_sha256(), engine.size_px(), engine.heeds(), engine.truncation(), {}};
  // Who tests a classifier with these images has to know whose photographs the generator has seen.
  const nlohmann::json& training = engine.training_facts();
  maker.learned_from = nlohmann::json::object();
  for (const char* name : {"data", "data_fingerprint", "init_from"})
    if (training.is_object() && training.contains(name)) maker.learned_from[name] = training.at(name);
  return maker;
}

std::map<std::string, std::string> provenance(const data::Request& request, const Maker& maker) {
  std::map<std::string, std::string> facts = requested(request, maker);
  std::erase_if(facts, [](const auto& fact) { return fact.second.empty(); });
  facts["request"] = data::to_json(request).dump();
  facts["bundle_sha256"] = maker.bundle_sha256;
  facts["recipe"] = maker.recipe;
  if (maker.truncation != 1) facts["truncation"] = number_text(maker.truncation);
  facts["image_manipulation"] = "synthetic";
  facts["Software"] = "dermgan " + version();
  return facts;
}

std::map<std::string, std::string> provenance(const data::Request& request, const Engine& engine) {
  return provenance(request, maker_of(engine));
}

data::Record record_of(const data::Request& request, const Maker& maker, const std::string& file_name,
                       const std::string& mask_file_name) {
  data::Record record;
  record.file_name = file_name;
  record.mask_file_name = mask_file_name;
  record.condition = maker.heeded("condition") ? request.condition() : "unknown";
  record.split = "train";
  if (maker.heeded("region")) record.boxes = boxes_of(request, maker.size_px);
  if (maker.heeded("skin")) {
    record.skin_rgb = image::rgb_of(request.skin);
    record.ita_deg = std::round(image::ita_degrees(request.skin) * 1000) / 1000;
    record.tone = image::tone_of(image::ita_degrees(request.skin));
  }
  record.source = "generated by " + maker.recipe;
  record.extra = requested(request, maker);
  record.extra["bundle_sha256"] = maker.bundle_sha256;
  record.extra["image_manipulation"] = "synthetic";
  return record;
}

nlohmann::json facts_of_set(const Maker& maker, size_t requested_images, bool complete) {
  return {{"image_manipulation", "synthetic"},
          {"image_size_px", maker.size_px},
          {"generator",
           {{"recipe", maker.recipe},
            {"bundle_sha256", maker.bundle_sha256},
            {"heeds", maker.heeds},
            {"learned_from", maker.learned_from},
            {"software", "dermgan " + version()}}},
          {"requested_images", requested_images},
          {"complete", complete}};
}

namespace {

/// Every rank makes each n-th image into one folder; what a row says follows from its request, so that the first rank
/// writes the table of all.
void write_over_ranks(Engine& engine, const std::vector<data::Request>& requests, const fs::path& out,
                      ranks::Group& group) {
  std::optional<NewDirectory> directory;
  if (group.leads()) {
    check_room(engine, requests.size(), out);
    directory.emplace(out);
  }
  const SetFiles files(maker_of(engine), group.of_first(directory ? directory->path().string() : ""), requests.size());
  files.make_folders();
  std::vector<size_t> mine;
  std::vector<data::Request> own;
  for (auto i = static_cast<size_t>(group.rank()); i < requests.size(); i += static_cast<size_t>(group.world())) {
    mine.push_back(i);
    own.push_back(requests[i]);
  }
  {
    const ranks::Group::Busy busy(&group);
    Progress progress("generate, this rank's part", static_cast<double>(own.size()), "images");
    try {
      engine.generate(own, [&](size_t k, image::Image image) {
        files.write(own[k], files.record(own[k], mine[k]), image);
        progress.update(static_cast<double>(k + 1));
      });
    } catch (const Interrupted&) {
      // The others hear of it below.
    }
    progress.finish();
  }
  std::vector<double> interrupted = {interrupt_requested() ? 1.0 : 0.0};
  group.sum(interrupted);
  if (group.leads()) {
    std::vector<data::Record> records;
    for (size_t i = 0; i < requests.size(); ++i) {
      data::Record record = files.record(requests[i], i);
      if (interrupted[0] == 0 || files.holds(record)) records.push_back(std::move(record));
    }
    if (records.empty()) throw Interrupted();
    files.write_tables(records, requests.size(), records.size() == requests.size(), interrupted[0] > 0);
    end_set(*directory, records.size(), requests.size(), out);
  }
  group.barrier();
}

}  // namespace

void write_generated_set(Engine& engine, const std::vector<data::Request>& requests, const fs::path& out,
                         ranks::Group* group) {
  if (requests.empty()) throw UsageError("{}: no images were asked for; at least one request is needed", out.string());
  if (group) return write_over_ranks(engine, requests, out, *group);
  check_room(engine, requests.size(), out);
  NewDirectory directory(out);
  const size_t made = fill_set(engine, requests, directory.path(), {});
  end_set(directory, made, requests.size(), out);
}

std::string sweep_label(const std::string& key, const std::string& value) {
  if (key == "condition" || key == "skin" || key == "shape") return value;
  if (key == "seed") return key + " " + value;
  return number_label(key, value);
}

GridPlan plan_grid(const data::Offer& offer, const data::Wish& wish, const std::vector<data::Sweep>& sweeps) {
  if (sweeps.empty() || sweeps.size() > 2)
    throw UsageError("grid: {} sweeps were given, one or two make a grid", sweeps.size());
  if (sweeps.size() == 2 && sweeps[0].key == sweeps[1].key) {
    throw UsageError("grid: both sweeps are over {}; name two different ones", sweeps[0].key);
  }
  for (const data::Sweep& sweep : sweeps) {
    if (sweep.values.empty()) throw UsageError("grid: the sweep over {} has no values", sweep.key);
  }
  GridPlan plan;
  const data::Sweep& across = sweeps.back();
  for (const std::string& value : across.values) plan.column_labels.push_back(sweep_label(across.key, value));
  const std::vector<std::string> down = sweeps.size() == 2 ? sweeps[0].values : std::vector<std::string>{""};
  for (const std::string& value : down) {
    const data::Wish row_wish = sweeps.size() == 2 ? data::with_value(wish, sweeps[0].key, value) : wish;
    if (sweeps.size() == 2) plan.row_labels.push_back(sweep_label(sweeps[0].key, value));
    std::vector<data::Request> row;
    for (const std::string& v : across.values)
      row.push_back(data::make_request(data::with_value(row_wish, across.key, v), offer));
    plan.rows.push_back(std::move(row));
  }
  return plan;
}

image::Image draw_sheet(const GridPlan& plan, const std::vector<image::Image>& images, const std::string& title,
                        bool outlines) {
  image::Grid grid;
  grid.column_labels = plan.column_labels;
  grid.row_labels = plan.row_labels;
  grid.title = title;
  const size_t most = std::max(plan.rows.size(), plan.column_labels.size());
  int cell = images.empty() ? 64 : images.front().width;
  if (static_cast<size_t>(cell + grid.gap_px) * most > kLargestSheet)
    cell = std::max(16, kLargestSheet / static_cast<int>(most) - grid.gap_px);
  size_t next = 0;
  for (const auto& requests : plan.rows) {
    std::vector<image::Image> row;
    for (const data::Request& request : requests) {
      if (next >= images.size()) break;  // interrupted: the rest stays blank
      image::Image picture = images[next++];
      if (outlines) image::draw_mask_outline(picture, data::region_mask(request, picture.width), {255, 255, 255});
      if (picture.width != cell) picture = image::resize(picture, cell, cell);
      if (request.extrapolated) {
        const int scale = std::max(1, cell / 64);
        const int w = image::text_width("*", scale);
        image::fill_rectangle(picture, cell - w - 2 * scale, 0, w + 2 * scale, 9 * scale, {255, 255, 255});
        image::draw_text(picture, cell - w - scale, scale, "*", {160, 0, 0}, scale);
      }
      row.push_back(std::move(picture));
    }
    grid.rows.push_back(std::move(row));
  }
  return image::draw_grid(grid);
}

void write_grid(Engine& engine, const data::Wish& wish, const std::vector<data::Sweep>& sweeps, const fs::path& out) {
  const GridPlan plan = plan_grid(engine.offer(), wish, sweeps);
  std::vector<data::Request> requests;
  for (const auto& row : plan.rows) requests.insert(requests.end(), row.begin(), row.end());
  check_room(engine, requests.size() * 2, out);
  NewDirectory directory(out);
  std::vector<image::Image> images;
  const size_t made =
      fill_set(engine, requests, directory.path(), [&](const image::Image& image) { images.push_back(image); });
  const bool any = std::any_of(requests.begin(), requests.end(), [](const data::Request& r) { return r.extrapolated; });
  const std::string title = any ? "* skin colour beyond the training data" : "";
  const image::TextChunks marks = {{"image_manipulation", "synthetic"},
                                   {"bundle_sha256", engine.bundle_sha256()},
                                   {"Software", "dermgan " + version()}};
  write_plain(directory.path() / "grid.png", image::encode_png(draw_sheet(plan, images, title, false), marks));
  write_plain(directory.path() / "grid-regions.png", image::encode_png(draw_sheet(plan, images, title, true), marks));
  end_set(directory, made, requests.size(), out);
}

}  // namespace derm::generation
