#pragma once
// The readers' page: web/study, bundled, inside the program.
#include <string_view>

namespace derm::study {

struct Page {
  std::string_view html, script, style;
};
const Page& page();

}  // namespace derm::study
