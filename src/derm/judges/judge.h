#pragma once
// The judges that ship with the program, and how one of them is found and opened. No libtorch in this header.
#include <filesystem>
#include <string>
#include <vector>

namespace derm::recipe {
class Catalogue;
}

namespace derm::judges {

/// Names of the shipped judges: folders below the judges' directory.
inline constexpr const char* kSegmenter = "segmenter";
inline constexpr const char* kClassifierClinical = "classifier-clinical";
inline constexpr const char* kSkinEncoder = "skin-encoder";

/// How a judge is run. The exact mode (fp32) is the default, so that its numbers do not depend on the processor.
struct JudgeOptions {
  std::filesystem::path bundle;  ///< a bundle or a run directory; see find_judge()
  std::string device = "auto", precision = "fp32";
  int threads = 0;           ///< 0: every processor this process may use
  int64_t batch = 32;        ///< images computed together
  bool check_canary = true;  ///< compares the judge's answer to its fixed made input with what the bundle notes
};

/// The directory of a shipped judge: DIRECTORY/NAME, looked for in this order: `named` (what the user gave with
/// --judges), $DERMGAN_JUDGES, share/dermgan/judges beside the running program's bin/, models/judges in the source tree
/// that the program was built from.
/// @param name   kSegmenter, kClassifierClinical or kSkinEncoder
/// @param named  "" if the user named no folder; a folder that was named is the only one looked at
/// @throws UsageError saying where it was looked for and what to do
std::filesystem::path find_judge(const std::string& name, const std::filesystem::path& named = {});

/// The same without throwing: "" if the judge is nowhere.
std::filesystem::path find_judge_or_none(const std::string& name, const std::filesystem::path& named = {});

}  // namespace derm::judges
