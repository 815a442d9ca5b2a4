#pragma once
// Which of several processes this one is, as those who start such jobs say it.
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace derm::ranks {

struct Place {
  int rank = 0, world = 1;              ///< this process, and how many there are
  int local_rank = 0, local_world = 1;  ///< on this machine
  std::string host = "127.0.0.1";       ///< where rank 0 listens
  int port = 29500;                     ///< PyTorch's own
  bool store_is_there = false;          ///< torchrun itself listens there, instead of rank 0
  std::string starter;                  ///< "torchrun", "mpirun", "srun"; "" of a process on its own
};

/// Reads what torchrun (and everything that sets PyTorch's variables), mpirun (Open MPI, MPICH) or srun has set;
/// MASTER_ADDR and MASTER_PORT win over what the others imply. Without any of them: a process on its own.
/// @param get  an environment variable's value, "" if it is not set
/// @throws UsageError for numbers that are none or out of range, and where rank 0's address cannot be known
Place place_of(const std::function<std::string(const std::string&)>& get);
Place place_from_environment();

/// Processor threads of one rank: as asked, else its share of the machine's processors, unless the starter has dealt
/// them out already (an affinity mask); 0 of a process on its own: all.
int64_t threads_of(const Place& place, int64_t asked);

/// The part [first, last) of `count` things that a rank takes. Parts begin at whole chunks, so that what is computed
/// chunk by chunk is computed in the same chunks on any number of ranks.
std::pair<size_t, size_t> part_of(size_t count, size_t chunk, int rank, int world);

}  // namespace derm::ranks
