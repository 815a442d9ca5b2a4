#pragma once
#include <filesystem>

namespace derm::training {

/// RUN/report.html: loss curves, KID, the sheets of real and generated images. Written anew at every snapshot.
void write_run_report(const std::filesystem::path& run);

}  // namespace derm::training
