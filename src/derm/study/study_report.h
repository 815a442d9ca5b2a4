#pragma once
// The report of a study: one page with its plots, every answer as CSV, every number as JSON.
#include <filesystem>

#include <nlohmann/json.hpp>

#include "derm/report/report.h"
#include "derm/study/results.h"

namespace derm::study {

/// The page from the numbers of analyse(). Pictures in it are synthetic ones alone, so that it may be passed on.
report::Page report_page(const std::filesystem::path& study, const Results& results,
                         const nlohmann::ordered_json& numbers);

/// report.html, report.json, answers.csv in a new folder.
void write_report(const std::filesystem::path& study, const Results& results, const nlohmann::ordered_json& numbers,
                  const std::filesystem::path& out);

/// "0.62 (0.51 to 0.72)"; without an interval "0.62"; without a value a dash.
std::string estimate_text(const nlohmann::ordered_json& estimate, int digits = 2);

}  // namespace derm::study
