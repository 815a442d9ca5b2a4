#include "derm/metrics/weights.h"

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::metrics {
namespace {

std::string first_ten(const std::vector<std::string>& names) {
  const std::vector<std::string> shown(names.begin(), names.begin() + std::min<std::ptrdiff_t>(10, std::ssize(names)));
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > 10 ? fmt::format(" and {} more", names.size() - 10) : "");
}

}  // namespace

void check_weights(std::map<std::string, at::Tensor>& tensors, const std::vector<ExpectedTensor>& expected,
                   const std::string& where, const std::string& network) {
  std::vector<std::string> missing, unexpected, differing;
  std::map<std::string, const ExpectedTensor*> known;
  for (const ExpectedTensor& e : expected) {
    known[e.name] = &e;
    const auto found = tensors.find(e.name);
    if (found == tensors.end()) {
      if (e.required) missing.push_back(e.name);
    } else if (found->second.sizes() != at::IntArrayRef(e.shape)) {
      differing.push_back(fmt::format("{} is [{}], expected [{}]", e.name, fmt::join(found->second.sizes(), ", "),
                                      fmt::join(e.shape, ", ")));
    }
  }
  for (const auto& [name, tensor] : tensors)
    if (!known.contains(name)) unexpected.push_back(name);
  std::vector<std::string> parts;
  if (!missing.empty()) parts.push_back(fmt::format("{} missing ({})", missing.size(), first_ten(missing)));
  if (!unexpected.empty()) parts.push_back(fmt::format("{} unexpected ({})", unexpected.size(), first_ten(unexpected)));
  if (!differing.empty())
    parts.push_back(fmt::format("{} of another shape ({})", differing.size(), first_ten(differing)));
  if (!parts.empty())
    throw DataError("{}: these are not the weights of {}: {}; give the file of that network", where, network,
                    fmt::join(parts, "; "));
  for (auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point() || !torch::isfinite(tensor).all().item<bool>())
      throw DataError("{}: the tensor '{}' holds what is not a finite number; the file is damaged", where, name);
    tensor = tensor.to(at::kFloat);
  }
}

}  // namespace derm::metrics
