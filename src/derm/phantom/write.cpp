// A set of phantoms as a data set.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <mutex>

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

data::Record record_of(const Truth& truth, const Plan::Place& place, const std::string& name) {
  data::Record r;
  r.file_name = "images/" + name + ".png";
  r.mask_file_name = "masks/" + name + ".png";
  r.condition = truth.condition;
  r.split = place.split;
  r.subject_id = r.lesion_id = fmt::format("phantom-{:06}", place.subject);
  r.boxes = {image::mask_box(truth.lesion)};
  r.skin_rgb = image::rgb_of(truth.skin);
  r.ita_deg = std::round(image::ita_degrees(truth.skin) * 100) / 100;
  r.tone = image::tone_of(*r.ita_deg);
  r.source = "dermgan phantom";
  r.license = "CC0-1.0";
  r.quality = 1;
  r.extra = {{"skin_L", fmt::format("{:.2f}", truth.skin.L)},
             {"skin_a", fmt::format("{:.2f}", truth.skin.a)},
             {"skin_b", fmt::format("{:.2f}", truth.skin.b)},
             {"lesion_area", fmt::format("{:.5f}", static_cast<double>(image::mask_area(truth.lesion)) /
                                                       static_cast<double>(truth.lesion.pixels.size()))},
             {"look", truth.parameters.dermoscopic > 0.5 ? "dermoscopic" : "clinical"},
             {"image_manipulation", "synthetic"}};
  for (const ParameterInfo& info : parameter_list())
    r.extra[info.name] = text_of(truth.parameters.*info.value, info.whole);
  return r;
}

}  // namespace

void write_phantoms(const PhantomOptions& options) {
  const Plan plan(options);
  if (options.out.empty()) throw UsageError("out: no folder is given for the made images");
  NewDirectory folder(options.out);
  std::filesystem::create_directories(folder.path() / "images");
  std::filesystem::create_directories(folder.path() / "masks");
  std::vector<std::string> columns = {"skin_L", "skin_a", "skin_b", "lesion_area", "look", "image_manipulation"};
  for (const ParameterInfo& info : parameter_list()) columns.push_back(info.name);
  data::DataSetWriter table(folder.path(), columns,
                            {{"made_by", "dermgan phantom " + version()},
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
  int64_t done = 0;
  const int digits = std::max<int>(6, static_cast<int>(std::to_string(options.count - 1).size()));
  for (int64_t first = 0; first < options.count; first += kChunk) {
    std::vector<data::Record> records(static_cast<size_t>(std::min(kChunk, options.count - first)));
    parallel_for(records.size(), [&](size_t i) {
      const int64_t index = first + static_cast<int64_t>(i);
      const Plan::Place place = plan.at(index);
      const Phantom phantom = make_phantom(place.scene);
      records[i] = record_of(phantom.truth, place, fmt::format("{:0{}}", index, digits));
      write_bytes(folder.path() / records[i].file_name,
                  image::encode_png(phantom.rgb, {{"image_manipulation", "synthetic"}}));
      write_bytes(folder.path() / records[i].mask_file_name, image::encode_png(phantom.truth.lesion));
      const std::lock_guard lock(mutex);
      progress.update(static_cast<double>(++done));
    });
    for (const data::Record& record : records) table.add(record);
  }
  progress.finish();
  table.finish();
  folder.commit();
}

}  // namespace derm::phantom
