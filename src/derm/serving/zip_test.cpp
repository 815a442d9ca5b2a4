#include "derm/serving/zip.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::serving {
namespace {

TEST(Zip, IsReadByPython) {
  if (std::system("/usr/bin/python3 -c 'import zipfile' 2>/dev/null") != 0) GTEST_SKIP() << "no python3";
  std::string binary;
  for (int i = 0; i < 70000; ++i) binary += static_cast<char>(i * 7);
  ZipWriter zip;
  zip.add("metadata.csv", "a,b\n1,2\n");
  zip.add("images/000000.png", binary);
  zip.add("images/ä.png", "");
  EXPECT_EQ(zip.files(), 3u);
  const fs::path file = fs::temp_directory_path() / ("derm-zip-" + std::to_string(getpid()) + ".zip");
  write_file(file, zip.finish());
  write_file(fs::path(file).replace_extension(".bin"), binary);
  const std::string program =
      "import zipfile,sys; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; "
      "assert z.namelist()==['metadata.csv','images/000000.png','images/\\xe4.png'], z.namelist(); "
      "assert z.read('metadata.csv')==b'a,b\\n1,2\\n'; assert z.read(z.namelist()[2])==b''; "
      "assert z.read('images/000000.png')==open(sys.argv[2],'rb').read(); "
      "assert z.infolist()[0].external_attr>>16==0o100644";
  EXPECT_EQ(std::system(("/usr/bin/python3 -c \"" + program + "\" " + file.string() + " " +
                         fs::path(file).replace_extension(".bin").string())
                            .c_str()),
            0);
  fs::remove(file);
  fs::remove(fs::path(file).replace_extension(".bin"));
}

TEST(Zip, TheSameFilesGiveTheSameBytes) {
  const auto make = [] {
    ZipWriter zip;
    zip.add("a", "1");
    return zip.finish();
  };
  EXPECT_EQ(make(), make());
}

TEST(Zip, RefusesNamesThatLeaveTheFolder) {
  ZipWriter zip;
  for (const char* bad : {"", "/etc/passwd", "../a", "a/../b", "a/..", "a\\b", "a/", "a//b", "./a", "a\nb", "\xff"})
    EXPECT_THROW(zip.add(bad, "x"), UsageError) << bad;
  EXPECT_EQ(zip.files(), 0u);
  EXPECT_NO_THROW(zip.add("a..b/.c", "x"));
}

}  // namespace
}  // namespace derm::serving
