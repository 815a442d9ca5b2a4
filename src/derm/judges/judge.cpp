#include "derm/judges/judge.h"

#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "derm/base/error.h"

namespace derm::judges {

namespace fs = std::filesystem;

namespace {

struct Place {
  fs::path folder;
  std::string said;  ///< how the folder came to be looked at
};

std::vector<Place> places(const fs::path& named) {
  if (!named.empty()) return {{named, "as --judges says"}};
  if (const char* set = std::getenv("DERMGAN_JUDGES"); set && *set) return {{set, "as DERMGAN_JUDGES says"}};
  std::vector<Place> all;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) all.push_back({program.parent_path().parent_path() / "share/dermgan/judges", "beside the program"});
  all.push_back({DERM_JUDGES_IN_SOURCE, "in the source tree"});
  all.push_back({DERM_JUDGES_INSTALLED, "where it is installed"});
  return all;
}

}  // namespace

fs::path find_judge_or_none(const std::string& name, const fs::path& named) {
  for (const Place& place : places(named))
    if (fs::exists(place.folder / name / "config.json")) return place.folder / name;
  return {};
}

fs::path find_judge(const std::string& name, const fs::path& named) {
  const fs::path found = find_judge_or_none(name, named);
  if (!found.empty()) return found;
  std::vector<std::string> looked;
  for (const Place& place : places(named))
    looked.push_back(fmt::format("{} ({})", (place.folder / name).string(), place.said));
  throw UsageError(
      "there is no judge \"{}\": looked for {}; name the folder that holds it with --judges DIR or DERMGAN_JUDGES (it "
      "is "
      "models/judges in the source tree)",
      name, fmt::join(looked, ", "));
}

}  // namespace derm::judges
