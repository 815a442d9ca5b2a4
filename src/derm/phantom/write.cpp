// A set of phantoms as a data set.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/progress.h"
#include "derm/base/system.h"
#include "derm/data/dataset_writer.h"
#include "derm/image/codec.h"
#include "derm/image/mask.h"
#include "derm/phantom/make.h"

namespace derm::phantom {

namespace {

constexpr int64_t kChunk = 256;  // rows in memory at a time

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  // The folder appears as a whole at the end, so each file need not be flushed by itself.
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw DataError("{}: it could not be written; is the disk full?", path.string());
}

std::string text_of(double value, bool whole) {
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.5g}", value);
}

/// What a row says that only making its picture tells: box, lesion's area, steps of growth, colour of the skin.
using Facts = std::array<double, 9>;

Facts facts_of(const Truth& truth) {
  const image::Box box = image::mask_box(truth.lesion);
  return {box.x,
          box.y,
          box.w,
          box.h,
          static_cast<double>(image::mask_area(truth.lesion)) / static_cast<double>(truth.lesion.pixels.size()),
          truth.parameters.growth_steps,
          truth.skin.L,
          truth.skin.a,
          truth.skin.b};
}

data::Record record_of(const Plan::Place& place, const double* facts, const std::string& name) {
  Parameters parameters = place.scene.p;
  parameters.growth_steps = facts[5];
  const image::Lab skin{facts[6], facts[7], facts[8]};
  data::Record r;
  r.file_name = "images/" + name + ".png";
  r.mask_file_name = "masks/" + name + ".png";
  r.condition = condition_names()[static_cast<size_t>(place.scene.kind)];
  r.split = place.split;
  r.subject_id = r.lesion_id = fmt::format("phantom-{:06}", place.subject);
  r.boxes = {{facts[0], facts[1], facts[2], facts[3]}};
  r.skin_rgb = image::rgb_of(skin);
  r.ita_deg = std::round(image::ita_degrees(skin) * 100) / 100;
  r.tone = image::tone_of(*r.ita_deg);
  r.source = "dermgan phantom";
  r.license = "CC0-1.0";
  r.quality = 1;
  r.extra = {{"skin_L", fmt::format("{:.2f}", skin.L)},
             {"skin_a", fmt::format("{:.2f}", skin.a)},
             {"skin_b", fmt::format("{:.2f}", skin.b)},
             {"lesion_area", fmt::format("{:.5f}", facts[4])},
             {"look", parameters.dermoscopic > 0.5 ? "dermoscopic" : "clinical"},
             {"image_manipulation", "synthetic"}};
  for (const ParameterInfo& info : parameter_list()) r.extra[info.name] = text_of(parameters.*info.value, info.whole);
  return r;
}

}  // namespace

void write_phantoms(const PhantomOptions& options, const Share& share) {
  const Plan plan(options);
  if (options.out.empty()) throw UsageError("out: no folder is given for the made images");
  const bool leads = share.rank == 0;
  std::optional<NewDirectory> folder;
  if (leads) folder.emplace(options.out);
  std::filesystem::path root = leads ? folder->path() : std::filesystem::path();
  if (share.world > 1) root = share.of_first(root.string());
  std::filesystem::create_directories(root / "images");
  std::filesystem::create_directories(root / "masks");
  std::vector<std::string> columns = {"skin_L", "skin_a", "skin_b", "lesion_area", "look", "image_manipulation"};
  for (const ParameterInfo& info : parameter_list()) columns.push_back(info.name);
  std::optional<data::DataSetWriter> table;
  if (leads)
    table.emplace(root, columns,
                  nlohmann::json{{"made_by", "dermgan phantom " + version()},
                                 {"image_manipulation", "synthetic"},
                                 {"phantom",
                                  {{"count", options.count},
                                   {"size_px", options.size_px},
                                   {"seed", options.seed},
                                   {"hair", options.hair},
                                   {"ruler", options.ruler},
                                   {"ink", options.ink},
                                   {"dark_corners", options.dark_corners},
                                   {"bubbles", options.bubbles},
                                   {"look", options.look},
                                   {"light", options.light},
                                   {"set", options.set},
                                   {"sweep", options.sweep}}}});
  Progress progress("phantom", static_cast<double>(options.count), "images");
  std::mutex mutex;
  const int digits = std::max<int>(6, static_cast<int>(std::to_string(options.count - 1).size()));
  for (int64_t first = 0; first < options.count; first += kChunk) {
    const auto count = static_cast<size_t>(std::min(kChunk, options.count - first));
    const auto rank = static_cast<size_t>(share.rank), world = static_cast<size_t>(share.world);
    const auto name_of = [&](size_t i) { return fmt::format("{:0{}}", first + static_cast<int64_t>(i), digits); };
    std::vector<double> facts(count * std::tuple_size_v<Facts>, 0.0);
    size_t done = 0;
    parallel_for((count + world - 1 - rank) / world,
                 [&](size_t k) {
                   const size_t i = rank + k * world;
                   const Phantom phantom = make_phantom(plan.at(first + static_cast<int64_t>(i)).scene);
                   const Facts mine = facts_of(phantom.truth);
                   std::copy(mine.begin(), mine.end(), facts.begin() + static_cast<std::ptrdiff_t>(i * mine.size()));
                   write_bytes(root / "images" / (name_of(i) + ".png"),
                               image::encode_png(phantom.rgb, {{"image_manipulation", "synthetic"}}));
                   write_bytes(root / "masks" / (name_of(i) + ".png"), image::encode_png(phantom.truth.lesion));
                   const std::lock_guard lock(mutex);
                   // The others are about as far.
                   progress.update(static_cast<double>(first) + static_cast<double>(std::min(++done * world, count)));
                 },
                 share.threads);
    if (share.world > 1) share.sum(facts);
    for (size_t i = 0; leads && i < count; ++i)
      table->add(record_of(plan.at(first + static_cast<int64_t>(i)), &facts[i * std::tuple_size_v<Facts>], name_of(i)));
  }
  if (!leads) return;
  progress.finish();
  table->finish();
  folder->commit();
}

}  // namespace derm::phantom
