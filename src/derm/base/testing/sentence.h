#pragma once
// What a user would read, for tests.
#include <string>

#include "derm/base/error.h"

namespace derm::testing {

/// The message of the Error that `action` throws.
template <class Action>
std::string sentence_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace derm::testing
