#include "derm/ranks/place.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "derm/base/error.h"
#include "derm/base/system.h"

namespace derm::ranks {
namespace {

using Get = std::function<std::string(const std::string&)>;

int number(const Get& get, const std::string& name, int least, int most) {
  const std::string text = get(name);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw UsageError("{} = \"{}\", expected a number from {} to {}", name, text, least, most);
  return value;
}

constexpr int kMostRanks = 1 << 20;

/// Rank, world and place on the machine, from one starter's variables.
struct Names {
  std::string starter, rank, world, local_rank, local_world;
};

/// The first host of "node[03-05,9],other": "node03".
std::string first_host(const std::string& list) {
  const size_t end = list.find(','), bracket = list.find('[');
  if (bracket == std::string::npos || (end != std::string::npos && end < bracket)) return list.substr(0, end);
  const size_t number_end = list.find_first_of("-,]", bracket);
  return list.substr(0, bracket) + list.substr(bracket + 1, number_end - bracket - 1);
}

}  // namespace

Place place_of(const Get& get) {
  const Names all[] = {
      {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
      {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
       "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
      // SLURM_NTASKS stands in a batch script too, whose one process is none of the tasks; this only in srun's.
      {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""},
  };
  Place place;
  for (const Names& names : all) {
    if (get(names.rank).empty() || get(names.world).empty()) continue;
    place.starter = names.starter;
    place.world = number(get, names.world, 1, kMostRanks);
    place.rank = number(get, names.rank, 0, place.world - 1);
    // Without a word about machines there is one.
    place.local_rank = get(names.local_rank).empty() ? place.rank : number(get, names.local_rank, 0, kMostRanks);
    const bool told = !names.local_world.empty() && !get(names.local_world).empty();
    place.local_world = told ? number(get, names.local_world, 1, place.world) : place.world;
    if (place.starter == "srun" && !get("SLURM_STEP_NUM_NODES").empty()) {
      const int nodes = number(get, "SLURM_STEP_NUM_NODES", 1, kMostRanks);
      place.local_world = (place.world + nodes - 1) / nodes;
    }
    break;
  }
  if (place.world == 1) return {};
  place.store_is_there = get("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (!get("MASTER_PORT").empty()) place.port = number(get, "MASTER_PORT", 1, 65535);
  if (!get("MASTER_ADDR").empty()) {
    place.host = get("MASTER_ADDR");
  } else if (place.starter == "srun" && !get("SLURM_STEP_NODELIST").empty()) {
    place.host = first_host(get("SLURM_STEP_NODELIST"));
  } else if (place.local_world != place.world) {
    throw UsageError(
        "{} started {} processes on several machines, but MASTER_ADDR is not set; set it to the machine of rank 0",
        place.starter, place.world);
  }
  return place;
}

int64_t threads_of(const Place& place, int64_t asked) {
  if (asked != 0 || place.world == 1 || usable_cpus() < machine_cpus()) return asked;
  return std::max(1, usable_cpus() / place.local_world);
}

std::pair<size_t, size_t> part_of(size_t count, size_t chunk, int rank, int world) {
  const size_t chunks = (count + chunk - 1) / chunk;
  const auto begin = [&](int r) {
    return std::min(count, chunks * static_cast<size_t>(r) / static_cast<size_t>(world) * chunk);
  };
  return {begin(rank), begin(rank + 1)};
}

Place place_from_environment() {
  return place_of([](const std::string& name) -> std::string {
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    return value ? value : "";
  });
}

}  // namespace derm::ranks
