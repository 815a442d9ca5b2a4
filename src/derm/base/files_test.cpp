#include "derm/base/files.h"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"

namespace derm {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// A folder of its own for each test.
struct Files : testing::Test {
  fs::path root = fs::path(testing::TempDir()) / ("derm_files_test_" + std::to_string(::getpid()));
  Files() {
    fs::remove_all(root);
    fs::create_directories(root);
  }
  ~Files() override {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(root)) out.push_back(entry.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
};
using WriteFile = Files;
using ReadFile = Files;
using NewDirectoryTest = Files;
using ResolveInside = Files;
using Checksum = Files;

TEST_F(ReadFile, GivesEveryByteBack) {
  const std::string bytes("a\0\r\n\xFF", 5);
  write_file(root / "x", bytes);
  EXPECT_EQ(read_file(root / "x"), bytes);
  EXPECT_EQ(read_file(root / "x", 5), bytes);
}

TEST_F(ReadFile, SaysWhyItCannot) {
  EXPECT_THAT([&] { read_file(root / "none"); },
              ThrowsMessage<DataError>((root / "none").string() + ": cannot be opened: there is no such file"));
  EXPECT_THAT([&] { read_file(root); }, ThrowsMessage<DataError>(HasSubstr("it is a folder, a file is expected")));
  write_file(root / "x", "123456");
  EXPECT_THAT([&] { read_file(root / "x", 5); }, ThrowsMessage<DataError>(HasSubstr("larger than the 5 bytes")));
  EXPECT_THAT([] { read_file("/dev/zero", 5); }, ThrowsMessage<DataError>(HasSubstr("larger than the 5 bytes")));
}

TEST_F(WriteFile, ReplacesAFileAndLeavesNothingElse) {
  write_file(root / "x", "old");
  write_file(root / "x", "new text");
  EXPECT_EQ(read_file(root / "x"), "new text");
  EXPECT_THAT(names(), testing::ElementsAre("x"));
}

TEST_F(WriteFile, KeepsModeAndLink) {
  write_file(root / "x", "old");
  fs::permissions(root / "x", fs::perms(0640));
  fs::create_symlink("x", root / "link");
  write_file(root / "link", "new");
  EXPECT_TRUE(fs::is_symlink(root / "link"));
  EXPECT_EQ(read_file(root / "x"), "new");
  EXPECT_EQ(fs::status(root / "x").permissions(), fs::perms(0640));
}

TEST_F(WriteFile, SaysWhyItCannot) {
  EXPECT_THAT([&] { write_file(root / "a" / "x", "1"); },
              ThrowsMessage<DataError>(HasSubstr("does not exist; create it first")));
  EXPECT_THAT([&] { write_file(root, "1"); }, ThrowsMessage<DataError>(HasSubstr("it is a folder")));
  EXPECT_NO_THROW(write_file(root / std::string(250, 'n'), "1"));  // the temporary name is longer than the name
  EXPECT_THAT([&] { write_file(root / std::string(300, 'n'), "1"); }, ThrowsMessage<DataError>(HasSubstr("too long")));
}

TEST_F(WriteFile, SaysThatTheDeviceIsFull) {
  EXPECT_THAT([] { write_file("/dev/full", "1"); },
              ThrowsMessage<DataError>(
                  "/dev/full: cannot be written: no space left on the device; free some or choose another place"));
  EXPECT_TRUE(fs::is_character_file("/dev/full"));  // and not replaced by a file
}

TEST_F(WriteFile, KeepsTheOldFileWhenTheDiskFillsUp) {
  const fs::path disk = root / "disk";
  fs::create_directory(disk);
  if (::geteuid() != 0 || ::mount("derm_test", disk.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted only by root";
  }
  write_file(disk / "x", "old");
  EXPECT_THAT([&] { write_file(disk / "x", std::string(1 << 20, 'z')); },
              ThrowsMessage<DataError>(HasSubstr("no space left")));
  EXPECT_EQ(read_file(disk / "x"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(disk), {}), 1);
  EXPECT_LE(free_disk_bytes(disk / "not" / "there"), 64u * 1024);
  EXPECT_THAT([&] { NewDirectory{disk / "x"}; }, ThrowsMessage<UsageError>(HasSubstr("is a file already")));
  fs::remove(disk / "x");
  EXPECT_THAT([&] { NewDirectory{disk}; }, ThrowsMessage<UsageError>(HasSubstr("mount point")));
  ASSERT_EQ(::umount(disk.c_str()), 0);
}

TEST_F(WriteFile, KeepsTheOldFileWhenItGetsTooLarge) {
  write_file(root / "x", "old");
  rlimit saved{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &saved), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, saved.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    write_file(root / "x", std::string(10000, 'z'));
  } catch (const DataError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("the file would be larger than"));
  EXPECT_EQ(read_file(root / "x"), "old");
  EXPECT_THAT(names(), testing::ElementsAre("x"));
}

TEST_F(NewDirectoryTest, AppearsOnlyWhenItIsComplete) {
  {
    NewDirectory made(root / "a" / "out");
    EXPECT_THAT(made.path().filename().string(),
                AllOf(testing::StartsWith(".out.partial-"), EndsWith(std::to_string(::getpid()))));
    write_file(made.path() / "x", "1");
    EXPECT_FALSE(fs::exists(root / "a" / "out"));
    made.commit();
    EXPECT_EQ(read_file(root / "a" / "out" / "x"), "1");
  }
  EXPECT_EQ(read_file(root / "a" / "out" / "x"), "1");
  EXPECT_EQ(std::distance(fs::directory_iterator(root / "a"), {}), 1);
}

TEST_F(NewDirectoryTest, IsRemovedWithoutCommit) {
  {
    NewDirectory made(root / "out/");
    fs::create_directories(made.path() / "deep" / "er");
    write_file(made.path() / "deep" / "x", "1");
  }
  EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(NewDirectoryTest, TakesAnEmptyFolderAndNothingElse) {
  fs::create_directory(root / "empty");
  NewDirectory made(root / "empty");
  write_file(made.path() / "x", "1");
  made.commit();
  EXPECT_EQ(read_file(root / "empty" / "x"), "1");
  EXPECT_THAT([&] { NewDirectory again(root / "empty"); },
              ThrowsMessage<UsageError>(HasSubstr("exists already and is not empty")));
  EXPECT_THAT([&] { NewDirectory again(root / "empty" / "x"); },
              ThrowsMessage<UsageError>(HasSubstr("is a file already")));
  EXPECT_THROW(NewDirectory nothing(""), UsageError);
  EXPECT_THROW(NewDirectory below(root / "empty" / "x" / "y"), DataError);
}

TEST_F(NewDirectoryTest, KeepsTheWorkWhenSomebodyElseWasFaster) {
  fs::path kept;
  {
    NewDirectory made(root / "out"), other(root / "out");
    EXPECT_NE(made.path(), other.path());
    write_file(made.path() / "x", "mine");
    write_file(other.path() / "x", "theirs");
    other.commit();
    kept = made.path();
    EXPECT_THAT([&] { made.commit(); }, ThrowsMessage<DataError>(HasSubstr("the result is kept in " + kept.string())));
  }
  EXPECT_EQ(read_file(root / "out" / "x"), "theirs");
  EXPECT_EQ(read_file(kept / "x"), "mine");
}

TEST_F(ResolveInside, KeepsPathsBelowTheRoot) {
  fs::create_directories(root / "set" / "images");
  write_file(root / "secret", "s");
  write_file(root / "set" / "images" / "a.png", "a");
  fs::create_symlink("images/a.png", root / "set" / "inner");
  fs::create_symlink("../secret", root / "set" / "outer");
  fs::create_symlink(root, root / "set" / "up");
  fs::create_symlink("../not_there", root / "set" / "dangling");
  fs::create_directory(root / "set2");
  const fs::path set = root / "set";
  EXPECT_EQ(resolve_inside(set, "images/a.png"), set / "images" / "a.png");
  EXPECT_EQ(resolve_inside(set / "", "./images//new.png"), set / "" / "./images//new.png");
  EXPECT_EQ(resolve_inside(set, "inner"), set / "inner");
  EXPECT_EQ(resolve_inside(set, "..a/b.."), set / "..a" / "b..");
  for (const char* bad : {"", "/etc/passwd", "../secret", "images/../../secret", "images/..", "outer", "up/secret",
                          "up/set2/x", "dangling"}) {
    EXPECT_THROW(resolve_inside(set, bad), DataError) << bad;
  }
  EXPECT_THROW(resolve_inside(set, std::string("a\0b", 3)), DataError);
  EXPECT_THAT([&] { resolve_inside(set, "../secret"); },
              ThrowsMessage<DataError>(HasSubstr("the path \"../secret\" goes up by")));
}

TEST_F(Checksum, GivesThePublishedValues) {
  // FIPS 180-4's own examples.
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(Checksum, DoesNotDependOnThePieces) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>(i * 7);
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const std::string whole = sha256_hex(bytes.substr(0, length));
    Sha256 sum;
    for (size_t at = 0; at < length; at += 13)
      sum.update(std::string_view(bytes).substr(at, std::min<size_t>(13, length - at)));
    ASSERT_EQ(sum.hex(), whole) << length;
  }
  write_file(root / "x", bytes);
  EXPECT_EQ(sha256_file(root / "x"), sha256_hex(bytes));
  EXPECT_THROW(sha256_file(root / "none"), DataError);
}

TEST_F(Checksum, AgreesWithSha256sum) {
  std::string bytes;
  for (uint64_t i = 0; i < 100000; ++i) bytes += static_cast<char>(i * i >> 3);
  write_file(root / "x", bytes);
  FILE* pipe = ::popen(("sha256sum '" + (root / "x").string() + "' 2>/dev/null").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char digits[65] = {};
  const size_t got = std::fread(digits, 1, 64, pipe);
  if (::pclose(pipe) != 0 || got != 64) GTEST_SKIP() << "there is no sha256sum here";
  EXPECT_EQ(sha256_file(root / "x"), digits);
}

TEST(Base64, GivesTheExamplesOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xFB\xEF\xFF"), "++//");
}

TEST_F(Files, FreeSpaceIsThatOfTheNearestParent) {
  const uint64_t here = free_disk_bytes(root);
  EXPECT_GT(here, 0u);
  EXPECT_NEAR(static_cast<double>(free_disk_bytes(root / "not" / "there")), static_cast<double>(here),
              0.05 * static_cast<double>(here));
}

}  // namespace
}  // namespace derm
