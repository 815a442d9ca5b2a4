// The script of docs/python.md, run as it stands there by Debian's Python.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "derm/base/files.h"
#include "program.h"

namespace derm::e2e {
namespace {

std::string script_of(const fs::path& page) {
  const std::string text = read_file(page), fence = "```python\n";
  const size_t begin = text.find(fence) + fence.size();
  return text.substr(begin, text.find("\n```", begin) + 1 - begin);
}

TEST(Python, LoadsTheWeightsByTheScriptOfTheDocumentation) {
  const Workspace& place = Shop::get().workspace();
  if (place.run({"/usr/bin/python3", "-c", "import torch"}).code != 0) {
    GTEST_SKIP() << "/usr/bin/python3 has no torch; install python3-torch";
  }
  const std::string script = script_of(fs::path(DERM_SOURCE_DIR) / "docs/python.md");
  EXPECT_LE(std::count(script.begin(), script.end(), '\n'), 10);
  write_file(place / "load.py", script);
  const Answer answer =
      place.run({"/usr/bin/python3", "load.py", Shop::get().run() + "/best/bundle/model.safetensors"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  // The outermost level of the U-Net of width 8 by name, shape and type.
  EXPECT_THAT(answer.out, testing::ContainsRegex("torch.float16 \\(8, [0-9]+, 4, 4\\)")) << answer.out;
}

}  // namespace
}  // namespace derm::e2e
