#include "derm/ranks/place.h"

#include <gtest/gtest.h>

#include <map>

#include "derm/base/error.h"

namespace derm::ranks {
namespace {

Place of(const std::map<std::string, std::string>& variables) {
  return place_of([&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(Place, IsOnItsOwnWithoutAStarter) {
  const Place place = of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}});  // a batch script
  EXPECT_EQ(place.world, 1);
  EXPECT_EQ(place.starter, "");
}

TEST(Place, IsWhatTorchrunSays) {
  const Place place = of({{"RANK", "5"},
                          {"WORLD_SIZE", "8"},
                          {"LOCAL_RANK", "1"},
                          {"LOCAL_WORLD_SIZE", "4"},
                          {"MASTER_ADDR", "node7"},
                          {"MASTER_PORT", "1234"}});
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.world, 8);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world, 4);
  EXPECT_EQ(place.host, "node7");
  EXPECT_EQ(place.port, 1234);
  EXPECT_EQ(place.starter, "torchrun");
}

TEST(Place, IsWhatMpirunSays) {
  const Place place =
      of({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(place.rank, 1);
  EXPECT_EQ(place.host, "127.0.0.1");
  EXPECT_EQ(of({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}}).rank, 3);
  EXPECT_THROW(of({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}),
               UsageError)
      << "several machines, and no word where rank 0 is";
}

TEST(Place, IsWhatSrunSays) {
  const auto on = [](const std::string& nodes) {
    return of({{"SLURM_PROCID", "2"},
               {"SLURM_STEP_NUM_TASKS", "4"},
               {"SLURM_STEP_NUM_NODES", "2"},
               {"SLURM_LOCALID", "0"},
               {"SLURM_STEP_NODELIST", nodes}});
  };
  EXPECT_EQ(on("gpu[03-05,9]").host, "gpu03");
  EXPECT_EQ(on("gpu7,gpu[8-9]").host, "gpu7");
  EXPECT_EQ(on("gpu7").host, "gpu7");
  EXPECT_EQ(on("gpu7").local_world, 2);
}

TEST(Place, RefusesWhatIsNoNumber) {
  EXPECT_THROW(of({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), UsageError);
  EXPECT_THROW(of({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), UsageError);
  EXPECT_THROW(of({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "99999"}}), UsageError);
}

TEST(PartOf, PartsFollowEachOtherInWholeChunks) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{32}, size_t{100}, size_t{1000}}) {
    for (const int world : {1, 2, 3, 7}) {
      size_t end = 0;
      for (int rank = 0; rank < world; ++rank) {
        const auto [first, last] = part_of(count, 32, rank, world);
        EXPECT_EQ(first, end);
        EXPECT_TRUE(first % 32 == 0 || first == count);
        EXPECT_LE(first, last);
        end = last;
      }
      EXPECT_EQ(end, count);
    }
  }
  EXPECT_EQ(part_of(128, 32, 1, 2), (std::pair<size_t, size_t>{64, 128}));
}

}  // namespace
}  // namespace derm::ranks
