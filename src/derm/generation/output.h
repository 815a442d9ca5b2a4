#pragma once
// Generated images as a data set, and as a labelled grid.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "derm/data/dataset.h"
#include "derm/data/plan.h"
#include "derm/data/request.h"
#include "derm/generation/engine.h"

namespace derm::ranks {
class Group;
}

namespace derm::generation {

/// Who made an image.
struct Maker {
  std::string recipe, bundle_sha256;
  int size_px = 0;
  std::vector<std::string> heeds = data::kAllHeeded;  ///< what of a request reaches its images: Engine::heeds()
  double truncation = 1;
  nlohmann::json learned_from =
      nlohmann::json::object();  ///< data, data_fingerprint and init_from of its training facts
  bool heeded(const std::string& part) const;
};
Maker maker_of(const Engine& engine);

/// Text chunks that every generated PNG carries: request, seed, bundle_sha256, image_manipulation=synthetic, software
/// version.
std::map<std::string, std::string> provenance(const data::Request& request, const Maker& maker);
std::map<std::string, std::string> provenance(const data::Request& request, const Engine& engine);

/// The row of metadata.csv of a generated image, and the facts of its dataset.json. What the maker does not heed is
/// left out: an image from noise alone has no condition ("unknown" in its row), no region and no skin colour that was
/// asked for.
data::Record record_of(const data::Request& request, const Maker& maker, const std::string& file_name,
                       const std::string& mask_file_name);
nlohmann::json facts_of_set(const Maker& maker, size_t requested, bool complete);

/// Generates and writes a data set (images/, masks/ with the asked regions, metadata.csv with requested_* columns,
/// dataset.json), with progress. The folder appears whole or not at all, with one exception: when the user interrupts,
/// the images made so far are kept as a data set that says so ("complete": false in dataset.json), and Interrupted is
/// thrown on.
/// @param group  ranks that make a part each, on one file system; the first writes the tables. nullptr: this process
/// alone
/// @throws UsageError if `out` is there already and not empty; DataError if the disk cannot hold the images
void write_generated_set(Engine& engine, const std::vector<data::Request>& requests, const std::filesystem::path& out,
                         ranks::Group* group = nullptr);

/// What a grid of one or two sweeps shows: its requests, the first sweep down and the second across (one sweep:
/// across), and what stands beside the rows and above the columns.
struct GridPlan {
  std::vector<std::vector<data::Request>> rows;
  std::vector<std::string> row_labels, column_labels;
};
GridPlan plan_grid(const data::Offer& offer, const data::Wish& wish, const std::vector<data::Sweep>& sweeps);

/// "size 0.10", "monk:3", "melanoma".
std::string sweep_label(const std::string& key, const std::string& value);

/// The labelled sheet; extrapolated cells carry '*'. `images` in the order of the rows.
image::Image draw_sheet(const GridPlan& plan, const std::vector<image::Image>& images, const std::string& title,
                        bool outlines);

/// One or two sweeps: the data set as above plus grid.png, a labelled sheet with the first sweep down and the second
/// across (one sweep: across); extrapolated cells are marked with '*'. Lesion regions are outlined in grid-regions.png.
/// @throws UsageError without a sweep, with more than two, or with two of one key
void write_grid(Engine& engine, const data::Wish& wish, const std::vector<data::Sweep>& sweeps,
                const std::filesystem::path& out);

}  // namespace derm::generation
