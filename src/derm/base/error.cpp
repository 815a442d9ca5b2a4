#include "derm/base/error.h"

namespace derm {

int exit_code_of(const std::exception& error) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return ours != nullptr ? ours->exit_code() : 1;
}

}  // namespace derm
