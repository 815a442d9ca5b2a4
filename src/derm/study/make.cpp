// Making a study: drawing, encoding, sealing.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/suggest.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/image/codec.h"
#include "derm/study/blinding.h"
#include "derm/study/store.h"
#include "derm/study/study.h"

namespace derm::study {
namespace {

constexpr int kLargestSide = 1024;
constexpr const char* kReal = "real";

struct LoadedPool {
  Pool pool;
  std::vector<fs::path> files;
  std::string path, fingerprint;
  int size_px = 0;  ///< 0: they differ
};

LoadedPool load(const std::string& name, const fs::path& path, const std::string& split) {
  const data::DataSet set = data::DataSet::open(path);
  LoadedPool loaded;
  loaded.pool.name = name;
  loaded.path = path.string();
  loaded.fingerprint = set.fingerprint();
  loaded.size_px = set.size_px();
  for (const data::Record& record : set.records()) {
    if (!split.empty() && record.split != split) continue;
    std::string tone = record.tone;
    if (tone.empty() && record.ita_deg) tone = image::tone_of(*record.ita_deg);
    if (tone.empty()) tone = "unknown";
    loaded.pool.images.push_back(
        {record.file_name, record.condition, tone, record.subject_id.empty() ? record.lesion_id : record.subject_id});
    loaded.files.push_back(set.path_of(record.file_name));
  }
  if (loaded.pool.images.empty()) {
    throw UsageError("{}: no image is in the split \"{}\"; take another --split, or all", path.string(), split);
  }
  return loaded;
}

nlohmann::ordered_json power_json(const PowerReport& p) {
  return {{"accuracy", p.assumptions.accuracy},
          {"power_wanted", p.assumptions.power},
          {"alpha", p.assumptions.alpha},
          {"icc_reader", p.assumptions.icc_reader},
          {"icc_image", p.assumptions.icc_image},
          {"models", p.models},
          {"readers", p.readers},
          {"images_per_reader", p.images_per_reader},
          {"images_in_all", p.images_in_all},
          {"power", p.power},
          {"detectable_accuracy", p.detectable},
          {"detectable_accuracy_of_one_reader", p.detectable_by_one},
          {"size_from_calculation", p.computed_size}};
}

}  // namespace

void NewStudy::validate() const {
  if (synthetic.empty()) throw UsageError("--synthetic is missing: NAME=SET for each model's images");
  std::set<std::string> names{kReal};
  for (const PoolSource& source : synthetic) {
    if (source.name.empty() || source.name.size() > 60) {
      throw UsageError("--synthetic {}={}: a name of 1 to 60 bytes is expected", source.name, source.path.string());
    }
    if (!names.insert(source.name).second) {
      throw UsageError("--synthetic {}: this name is taken; each model needs its own, and \"real\" is none",
                       source.name);
    }
  }
  const std::vector<std::string> splits = {"train", "validation", "test", "all"};
  if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
    throw UsageError("--split \"{}\" is none{}", split, did_you_mean(split, splits));
  }
  if (size_px != 0 && (size_px < 32 || size_px > 4096)) {
    throw UsageError("--size {}: 0 (as the smallest image) or 32 to 4096 pixels is expected", size_px);
  }
  if (quality < 50 || quality > 100) throw UsageError("--quality {}: 50 to 100 is expected", quality);
  settings.validate();
  design.validate();
}

MadeStudy make_study(const NewStudy& wish) {
  wish.validate();
  NewDirectory directory(wish.out);
  fs::permissions(directory.path(), fs::perms::owner_all);

  std::vector<LoadedPool> loaded;
  loaded.push_back(load(kReal, wish.real, wish.split == "all" ? "" : wish.split));
  for (const PoolSource& source : wish.synthetic) loaded.push_back(load(source.name, source.path, ""));
  std::vector<Pool> pools;
  for (const LoadedPool& l : loaded) pools.push_back(l.pool);

  MadeStudy made;
  made.design = make_design(pools, wish.design);
  const std::vector<Item>& items = made.design.items;

  // The size that all share: nothing is enlarged unless asked for.
  const auto file_of = [&](const Item& item) { return loaded[item.pool].files[item.image]; };
  int size_px = static_cast<int>(wish.size_px);
  std::vector<int> side(items.size(), 0);
  parallel_for(items.size(), [&](size_t i) {
    side[i] = loaded[items[i].pool].size_px;
    if (side[i] > 0) return;
    const image::Image picture = image::read_image(file_of(items[i]));
    side[i] = std::min(picture.width, picture.height);
  });
  if (size_px == 0) size_px = std::min(kLargestSide, *std::min_element(side.begin(), side.end()));
  for (size_t p = 0; p < pools.size(); ++p) {
    int least = std::numeric_limits<int>::max(), most = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].pool != p) continue;
      least = std::min(least, side[i]);
      most = std::max(most, side[i]);
    }
    if (most != size_px || least != size_px) {
      made.notes.push_back(fmt::format(
          "the images of \"{}\" are {} px and are brought to {}: resizing changes sharpness, which may tell the "
          "source; "
          "sets of one size are better",
          pools[p].name, least == most ? std::to_string(most) : fmt::format("{} to {}", least, most), size_px));
    }
  }

  // Encoded alike, then padded to one length. What was a JPEG before and what was not now both are.
  std::vector<std::string> bytes(items.size());
  parallel_for(items.size(), [&](size_t i) {
    bytes[i] = encode_blinded(image::read_image(file_of(items[i])), size_px, static_cast<int>(wish.quality));
  });
  size_t longest = 0;
  for (const std::string& b : bytes) longest = std::max(longest, b.size());
  const size_t length = common_length(longest);

  std::vector<KeyImage> rows(items.size());
  std::vector<std::string> names(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    bytes[i] = padded(std::move(bytes[i]), length);
    const PoolImage& image = pools[items[i].pool].images[items[i].image];
    names[i] = random_hex(16) + ".jpg";
    rows[i] = {names[i],           sha256_hex(bytes[i]), pools[items[i].pool].name,
               items[i].pool == 0, image.file_name,      image.condition,
               image.tone,         image.subject,        kind_name(items[i].kind),
               items[i].block};
  }
  // In the order of their names, so that neither the time of writing nor the place in the key tells anything.
  std::vector<size_t> by_name(items.size());
  for (size_t i = 0; i < by_name.size(); ++i) by_name[i] = i;
  std::sort(by_name.begin(), by_name.end(), [&](size_t a, size_t b) { return names[a] < names[b]; });
  fs::create_directory(directory.path() / "images");
  Key key;
  key.salt = random_hex(32);
  key.seed = wish.design.seed;
  for (const LoadedPool& l : loaded) {
    key.pools.push_back({l.pool.name, l.path, l.fingerprint, static_cast<int64_t>(l.pool.images.size())});
  }
  const auto stamp = fs::file_time_type::clock::now();
  for (const size_t i : by_name) {
    const fs::path file = directory.path() / "images" / names[i];
    write_file(file, bytes[i]);
    fs::last_write_time(file, stamp);
    key.images.push_back(rows[i]);
  }
  const std::string key_text = key.text();
  const auto write_private = [&](const char* name, const std::string& text) {
    const fs::path file = directory.path() / name;
    write_file(file, text);
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  };
  write_private("key.json", key_text);

  Description& d = made.description;
  d.settings = wish.settings;
  d.created = utc_text(now_ms());
  d.key_sha256 = sha256_hex(key_text);
  std::set<std::string> conditions;
  for (const KeyImage& row : rows) {
    if (!row.condition.empty()) conditions.insert(row.condition);
  }
  d.conditions.assign(conditions.begin(), conditions.end());
  if (d.conditions.empty()) d.settings.ask_condition = false;
  d.size_px = size_px;
  d.image_bytes = length;
  d.images = static_cast<int64_t>(
      std::count_if(items.begin(), items.end(), [](const Item& i) { return i.kind != Kind::practice; }));
  d.readers = static_cast<int64_t>(made.design.readers.size());
  d.images_per_reader = made.design.power.images_per_reader;
  d.practice = static_cast<int64_t>(items.size()) - d.images;
  d.repeats = static_cast<int64_t>(made.design.readers.front().showings.size()) - d.practice - d.images_per_reader;
  d.power = power_json(made.design.power);
  if (d.settings.practice_feedback) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].kind == Kind::practice) d.practice_sources[names[i]] = rows[i].real ? "real" : "synthetic";
    }
  }
  write_file(directory.path() / "study.json", d.text());

  std::vector<Reader> readers;
  std::vector<std::string> hashes;
  std::vector<std::vector<Presentation>> orders;
  CsvTable codes({"reader", "group", "code"});
  for (const ReaderPlan& plan : made.design.readers) {
    const std::string code = reader_code();
    readers.push_back({0, plan.name, plan.group});
    hashes.push_back(sha256_hex(normalised_code(code)));
    codes.add_row({plan.name, plan.group, code});
    made.codes.emplace_back(plan.name, code);
    orders.emplace_back();
    for (const Showing& s : plan.showings) {
      orders.back().push_back({0, 0, random_hex(16), names[s.item], kind_name(items[s.item].kind), s.repeat});
    }
  }
  write_private("codes.csv", codes.to_string());
  Store::create(directory.path() / "study.db", d.key_sha256, readers, hashes, orders);
  fs::permissions(directory.path() / "study.db", fs::perms::owner_read | fs::perms::owner_write);
  directory.commit();
  if (wish.split != "test") {
    made.notes.push_back("the real images are not of the test split alone: a model may have learned from some of them");
  }
  return made;
}

}  // namespace derm::study
