#include "derm/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace derm::http {
namespace {

using ::testing::HasSubstr;

/// (status, code) of what `call` throws.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const HttpError& error) {
    return fmt::format("{} {}", error.status(), error.code());
  }
  return "nothing was thrown";
}

TEST(Target, IsDecodedOnce) {
  const Target target = parse_target("/v1/jobs/a%20b%2525?x=1&name=%C3%A4+b&x=2&flag&=");
  EXPECT_EQ(target.path, "/v1/jobs/a b%25");
  EXPECT_EQ(target.query.at("x"), "2");
  EXPECT_EQ(target.query.at("name"), "ä b");
  EXPECT_EQ(target.query.at("flag"), "");
  EXPECT_EQ(parse_target("/").path, "/");
  EXPECT_TRUE(parse_target("/?").query.empty());
}

TEST(Target, RefusesWhateverCouldLeaveAFolderOrALine) {
  for (const char* bad :
       {"", "x", "http://a/b", "*", "/../etc/passwd", "/%2e%2e/etc", "/a/%2E%2E", "/a/./b", "/a//b", "/a/", "/a%00b",
        "/a%0d%0aSet-Cookie:x", "/a%0", "/a%zz", "/%ff", "/a\\b", "/%5c..%5c", "/a?x=%0a"})
    EXPECT_EQ(refusal([&] { parse_target(bad); }), "400 bad_target") << bad;
  EXPECT_EQ(refusal([] { parse_target("/" + std::string(5000, 'a')); }), "400 bad_target");
  std::string many = "/a?";
  for (int i = 0; i < 40; ++i) many += fmt::format("k{}=1&", i);
  EXPECT_EQ(refusal([&] { parse_target(many); }), "400 bad_target");
}

TEST(Json, HasALimitOfDepthAndSaysWhereItGoesWrong) {
  EXPECT_EQ(parse_json("{\"a\": [1, {\"b\": 2}]}")["a"][1]["b"], 2);
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(16), 16));
  EXPECT_EQ(refusal([&] { parse_json(nested(17), 16); }), "400 bad_json");
  EXPECT_EQ(refusal([&] { parse_json(std::string(1'000'000, '[')); }), "400 bad_json");
  for (const char* bad : {"", "{", "{\"a\":}", "nul", "[1,]", "\"\xff\"", "1e999", "{\"a\":1}x", "NaN"})
    EXPECT_EQ(refusal([&] { parse_json(bad); }), "400 bad_json") << bad;
  try {
    parse_json("{\"a\" 1}");
    FAIL();
  } catch (const HttpError& error) {
    EXPECT_THAT(error.what(), HasSubstr("byte 6 of 7"));
  }
}

TEST(Host, IsReadWithAndWithoutPort) {
  EXPECT_EQ(host_name("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_name("10.0.0.7"), "10.0.0.7");
  EXPECT_EQ(host_name("[::1]:80"), "::1");
  EXPECT_EQ(host_name("[::1]"), "::1");
  for (const char* bad :
       {"", ":80", "a:", "a:b", "a:123456", "[::1", "[::1]x", "[::1]:", "[no]", "a b", "a/b", "a@b", "a:1:2"})
    EXPECT_EQ(host_name(bad), std::nullopt) << bad;
  EXPECT_TRUE(is_ip_literal("10.0.0.7"));
  EXPECT_TRUE(is_ip_literal("::1"));
  EXPECT_FALSE(is_ip_literal("localhost"));
  EXPECT_FALSE(is_ip_literal("10.0.0.7.evil.example"));
  for (const char* own : {"localhost", "127.0.0.1", "127.8.9.1", "::1"}) EXPECT_TRUE(is_loopback_name(own)) << own;
  for (const char* other : {"localhost.evil.example", "10.0.0.1", "128.0.0.1", "::2", "127.1"})
    EXPECT_FALSE(is_loopback_name(other)) << other;
}

TEST(Cookie, IsFoundByItsWholeName) {
  Request request;
  request.headers["cookie"] = "a=1; reader=x=y;b=;  c";
  EXPECT_EQ(request.cookie("reader"), "x=y");
  EXPECT_EQ(request.cookie("b"), "");
  EXPECT_EQ(request.cookie("c"), std::nullopt);
  EXPECT_EQ(request.cookie("eader"), std::nullopt);
}

TEST(Random, IsLongAndNeverTheSame) {
  EXPECT_EQ(random_hex(16).size(), 32u);
  EXPECT_NE(random_hex(16), random_hex(16));
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secret2"));
  EXPECT_FALSE(equal_in_constant_time("", "secret"));
}

}  // namespace
}  // namespace derm::http
