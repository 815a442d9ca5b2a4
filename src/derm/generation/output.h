#pragma once
// Generated images as a data set, and as a labelled grid.
#include <filesystem>
#include <string>
#include <vector>

#include "derm/data/plan.h"
#include "derm/data/request.h"
#include "derm/generation/engine.h"

namespace derm::generation {

/// Text chunks that every generated PNG carries: request, seed, bundle_sha256, image_manipulation=synthetic, software version.
std::map<std::string, std::string> provenance(const data::Request& request, const Engine& engine);

/// Generates and writes a data set (images/, masks/ with the asked regions, metadata.csv with requested_* columns,
/// dataset.json), whole or not at all, with progress.
void write_generated_set(Engine& engine, const std::vector<data::Request>& requests, const std::filesystem::path& out);

/// One or two sweeps: the data set as above plus grid.png, a labelled sheet with the first sweep down and the second across
/// (one sweep: across); extrapolated cells are marked with '*'. Lesion regions are outlined in grid-regions.png.
void write_grid(Engine& engine, const data::Wish& wish, const std::vector<data::Sweep>& sweeps, const std::filesystem::path& out);

}  // namespace derm::generation
