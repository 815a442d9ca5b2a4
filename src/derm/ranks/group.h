#pragma once
// Processes that share a work, through c10d's Gloo, and its NCCL where gradients lie on GPUs.
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "derm/ranks/place.h"

namespace derm::ranks {

struct GroupOptions {
  double join_s = 120;   ///< how long ranks wait for each other at the start
  double silent_s = 20;  ///< a rank without a sign of life for so long has died
  double stuck_s = 45;   ///< a rank that others wait for, and that gets nowhere for so long, hangs
};

/// What all ranks do together has to be asked for by all of them, in the same order. A rank that dies or hangs ends the
/// others within a minute: they say which one it was and leave the process, since nothing can be had from those who
/// wait for it. Files are written whole or not at all (base/files.h), so that nothing is lost but the time since the
/// last checkpoint.
class Group {
 public:
  /// Waits until all are there. @return nullptr of a process on its own
  /// @throws DataError if they do not come together; UsageError if this build has no Gloo
  static std::unique_ptr<Group> join(const Place& place, const GroupOptions& options = {});
  ~Group();

  const Place& place() const;
  int rank() const;
  int world() const;
  bool leads() const { return rank() == 0; }  ///< who writes files and speaks
  std::string text() const;                   ///< "rank 0 of 2 (torchrun), Gloo"

  /// Sums over all ranks, in place, the same to the bit on each.
  void sum(std::vector<double>& values);
  void sum(const at::Tensor& values);  ///< fp32, contiguous, on the CPU

  /// A sum of tensors under way.
  class Sum {
   public:
    void wait();  ///< then the tensor holds the sum

   private:
    friend class Group;
    struct State;
    std::shared_ptr<State> state_;
  };
  Sum start_sum(const at::Tensor& tensor);  ///< fp32, contiguous, on the CPU or where sums_on() says so
  /// Whether tensors there are summed where they lie: on the CPU by Gloo, on a GPU by NCCL if this build has it.
  bool sums_on(const at::Device& device) const;

  void barrier();
  double waited_s() const;                        ///< seconds that this rank has spent in all of these together
  std::string of_first(const std::string& text);  ///< what rank 0 says, to all

  /// While it lives the others wait for this rank, whatever it does, for as long as it lives.
  class Busy {
   public:
    explicit Busy(Group* group);  ///< may be nullptr
    ~Busy();
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    Group* group_;
    char before_ = 0;  // one may live inside another
  };

 private:
  struct Impl;
  explicit Group(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace derm::ranks
