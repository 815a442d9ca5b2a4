#include "derm/tensor/state.h"

#include <set>

#include <torch/torch.h>

#include "derm/base/error.h"

namespace derm::tensor {
namespace {

constexpr size_t kListed = 10;

/// state_dict's order: a module's own parameters, its own buffers, then its children one after the other.
void collect(const torch::nn::Module& module, const std::string& prefix, NamedTensors& out) {
  for (const auto& item : module.named_parameters(/*recurse=*/false))
    if (item.value().defined()) out.emplace_back(prefix + item.key(), item.value().detach());
  for (const auto& item : module.named_buffers(/*recurse=*/false))
    if (item.value().defined()) out.emplace_back(prefix + item.key(), item.value().detach());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", out);
}

std::string shape_text(const at::Tensor& t) { return fmt::format("[{}]", fmt::join(t.sizes().vec(), ", ")); }

/// Any float type fits any other; a counter stays a counter.
bool same_kind(const at::Tensor& a, const at::Tensor& b) { return a.is_floating_point() == b.is_floating_point(); }

void add_list(std::vector<std::string>& parts, const std::vector<std::string>& items) {
  for (size_t i = 0; i < items.size() && i < kListed; ++i) parts.push_back(items[i]);
  if (items.size() > kListed) parts.push_back(fmt::format("... and {} more of that kind", items.size() - kListed));
}

}  // namespace

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors out;
  collect(module, "", out);
  return out;
}

void load_state(torch::nn::Module& module, const SafeTensors& state, const std::string& where, const std::string& hint,
                const std::string& prefix) {
  const NamedTensors own = state_of(module);
  std::vector<std::string> different, missing, unexpected;
  std::set<std::string> known;
  for (const auto& [name, tensor] : own) {
    const std::string full = prefix + name;
    known.insert(full);
    const auto found = state.tensors.find(full);
    if (found == state.tensors.end()) {
      missing.push_back(fmt::format("'{}' is missing, {} needs {}", full, hint, shape_text(tensor)));
    } else if (found->second.sizes() != tensor.sizes()) {
      different.push_back(fmt::format("'{}' is {} in the file, {} needs {}", full, shape_text(found->second), hint,
                                      shape_text(tensor)));
    } else if (!same_kind(found->second, tensor)) {
      different.push_back(fmt::format("'{}' is of type {} in the file, {} needs {}", full,
                                      c10::toString(found->second.scalar_type()), hint,
                                      c10::toString(tensor.scalar_type())));
    }
  }
  for (const auto& [name, tensor] : state.tensors)
    if (name.starts_with(prefix) && !known.contains(name))
      unexpected.push_back(
          fmt::format("'{}' {} is in the file, {} has no such tensor", name, shape_text(tensor), hint));
  std::vector<std::string> parts;
  add_list(parts, different);
  add_list(parts, missing);
  add_list(parts, unexpected);
  if (!parts.empty()) throw DataError("{}: {}", where, fmt::join(parts, "; "));

  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own) tensor.copy_(state.tensors.at(prefix + name));
}

std::vector<std::string> load_matching(torch::nn::Module& module, const SafeTensors& state, const std::string& prefix) {
  const at::NoGradGuard no_grad;
  std::vector<std::string> left;
  for (const auto& [name, tensor] : state_of(module)) {
    const auto found = state.tensors.find(prefix + name);
    if (found != state.tensors.end() && found->second.sizes() == tensor.sizes() && same_kind(found->second, tensor)) {
      tensor.copy_(found->second);
    } else {
      left.push_back(name);
    }
  }
  return left;
}

int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& p : module.parameters()) count += p.numel();
  return count;
}

}  // namespace derm::tensor
