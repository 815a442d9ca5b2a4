#pragma once
// Bundles as models of the server, and what measures their images.
#include <filesystem>
#include <string>
#include <vector>

#include "derm/serving/service.h"

namespace derm::recipe {
class Catalogue;
}
namespace derm::evaluation {
struct Judges;
}

namespace derm::serving {

struct ReplicaOptions {
  std::vector<std::filesystem::path> bundles;   ///< bundles or runs, each a model; the first is the default
  std::vector<std::string> devices = {"auto"};  ///< a replica each, "cuda:0", "cuda:1"
  int replicas = 1;                             ///< for each device; the threads are shared out among them
  std::string precision = "auto";
  int threads = 0;  ///< of all replicas of a model together; 0: every processor
};

/// Loads them and checks their canaries. @throws DataError for a damaged bundle, UsageError for two of one name
std::vector<Model> load_models(const ReplicaOptions& options, const recipe::Catalogue& catalogue);

/// Measures by the means that `prepare` uses: skin colour outside the asked region, and the lesion that the finder
/// sees. With a classifier among `judges` the condition too; of several lesions only where all are asked to be of one.
Instruments instruments(const evaluation::Judges& judges);

}  // namespace derm::serving
