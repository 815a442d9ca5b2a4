#include "derm/training/gradients.h"

#include <optional>

#include <torch/torch.h>

namespace derm::training {
namespace {

constexpr int64_t kBucketValues = 1 << 20;  // 4 MB: large enough for the network, small enough to start early

/// Some parameters whose gradients travel together.
struct Bucket {
  std::vector<size_t> members;
  std::vector<int64_t> offsets;
  int64_t values = 0;
  size_t there = 0;
  at::Tensor flat;
  std::optional<ranks::Group::Sum> sum;
};

/// Collects gradients as they come and sends each bucket off when it is full. Buckets go in one order on every rank,
/// that of the way back: from the last parameter to the first.
class Buckets {
 public:
  Buckets(const std::vector<at::Tensor>& parameters, ranks::Group& group)
      : parameters_(parameters), group_(group), bucket_of_(parameters.size()), came_(parameters.size(), false) {
    for (size_t i = parameters.size(); i-- > 0;) {
      if (buckets_.empty() || buckets_.back().values >= kBucketValues) buckets_.emplace_back();
      Bucket& bucket = buckets_.back();
      bucket_of_[i] = {buckets_.size() - 1, bucket.members.size()};
      bucket.members.push_back(i);
      bucket.offsets.push_back(bucket.values);
      bucket.values += parameters[i].numel();
    }
  }

  void take(size_t parameter, const at::Tensor& gradient) {
    const torch::NoGradGuard guard;
    const auto [index, member] = bucket_of_[parameter];
    Bucket& bucket = buckets_[index];
    const at::Device there = parameters_[parameter].device();
    if (!bucket.flat.defined())
      bucket.flat = torch::zeros({bucket.values}, at::TensorOptions().device(group_.sums_on(there) ? there : at::kCPU));
    bucket.flat.narrow(0, bucket.offsets[member], gradient.numel()).copy_(gradient.reshape({-1}));
    came_[parameter] = true;
    ++bucket.there;
    while (sent_ < buckets_.size() && buckets_[sent_].there == buckets_[sent_].members.size()) send();
  }

  /// The means. Parameters that the loss does not depend on have no gradient, on any rank: the graphs are alike.
  std::vector<at::Tensor> finish() {
    const torch::NoGradGuard guard;
    while (sent_ < buckets_.size()) send();
    std::vector<at::Tensor> result(parameters_.size());
    for (Bucket& bucket : buckets_) {
      if (!bucket.sum) continue;
      bucket.sum->wait();
      bucket.flat.div_(static_cast<double>(group_.world()));
      for (size_t m = 0; m < bucket.members.size(); ++m) {
        const size_t i = bucket.members[m];
        const at::Tensor& p = parameters_[i];
        if (came_[i]) result[i] = bucket.flat.narrow(0, bucket.offsets[m], p.numel()).view(p.sizes()).to(p.device());
      }
    }
    return result;
  }

 private:
  void send() {
    Bucket& bucket = buckets_[sent_++];
    if (bucket.there > 0) bucket.sum = group_.start_sum(bucket.flat);
  }

  const std::vector<at::Tensor>& parameters_;
  ranks::Group& group_;
  std::vector<Bucket> buckets_;
  std::vector<std::pair<size_t, size_t>> bucket_of_;
  std::vector<bool> came_;
  size_t sent_ = 0;
};

/// Hooks on parameters, for as long as it lives.
class Hooks {
 public:
  Hooks(const std::vector<at::Tensor>& parameters, Buckets& buckets) : parameters_(parameters) {
    for (size_t i = 0; i < parameters.size(); ++i)
      handles_.push_back(parameters[i].register_hook(
          [&buckets, i](const at::Tensor& gradient) -> void { buckets.take(i, gradient); }));
  }
  ~Hooks() {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      parameters_[i].remove_hook(handles_[i]);
      at::Tensor p = parameters_[i];
      p.mutable_grad().reset();
    }
  }
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

 private:
  const std::vector<at::Tensor>& parameters_;
  std::vector<unsigned> handles_;
};

}  // namespace

std::vector<at::Tensor> gradients_of(const at::Tensor& loss, const std::vector<at::Tensor>& parameters,
                                     ranks::Group* group) {
  if (!group)
    return torch::autograd::grad({loss}, parameters, /*grad_outputs=*/{}, /*retain_graph=*/{}, /*create_graph=*/false,
                                 /*allow_unused=*/true);
  Buckets buckets(parameters, *group);
  const Hooks hooks(parameters, buckets);
  torch::autograd::backward({loss}, /*grad_tensors=*/{}, /*retain_graph=*/{}, /*create_graph=*/false, parameters);
  return buckets.finish();
}

}  // namespace derm::training
