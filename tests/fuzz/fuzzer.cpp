// One target as a libFuzzer program.
#include <cstdint>

#include "derm/base/error.h"
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const derm::fuzz::Target target = derm::fuzz::targets().at(DERM_FUZZ_TARGET);
  try {
    target({reinterpret_cast<const char*>(data), size});
  } catch (const derm::Error&) {
  }
  return 0;
}
