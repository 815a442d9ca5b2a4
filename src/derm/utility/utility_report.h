#pragma once
// results.json as a page.
#include <filesystem>

#include <nlohmann/json.hpp>

namespace derm::utility {

/// @param results  as results_of() and run_utility() fill it
void write_report(const nlohmann::json& results, const std::filesystem::path& file);

}  // namespace derm::utility
