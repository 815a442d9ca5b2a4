// `dermgan serve` as a user starts and stops it.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "derm/base/files.h"
#include "derm/http/client.h"
#include "program.h"

namespace derm::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A server in a folder of its own, so that its output is the first there.
struct Served {
  Workspace workspace{"serve"};
  std::unique_ptr<Process> process;
  std::string address;
  int port = 0;

  explicit Served(const std::vector<std::string>& more) {
    const std::string run = (Shop::get().workspace() / Shop::get().run()).string();
    // The shell keeps what the program prints where it can be read while it runs.
    std::string line = "exec \"$0\" \"$@\" >address 2>log";
    process = std::make_unique<Process>(
        std::vector<std::string>{"/bin/sh", "-c", line, DERM_PROGRAM, "serve", "--bundle", run, "--port", "0"} + more,
        workspace.root());
    wait_until(
        [&] {
          return (fs::exists(workspace / "address") && fs::file_size(workspace / "address") > 0) || process->ended();
        },
        std::chrono::seconds(60));
    if (fs::exists(workspace / "address")) address = read_file(workspace / "address");
    const size_t colon = address.find(':', 5);
    if (colon != std::string::npos) port = std::atoi(address.c_str() + colon + 1);
  }
};

TEST(Serve, MakesImagesAndLosesNoneWhenToldToStop) {
  Served served({"--log", "requests.jsonl"});
  ASSERT_THAT(served.address, StartsWith("http://127.0.0.1:"));
  http::Client client(served.port);
  ASSERT_TRUE(wait_until([&] { return client.get("/readyz").status == 200; }, std::chrono::seconds(60)));
  EXPECT_THAT(client.get("/").body, HasSubstr("DermGAN studio"));
  const auto job = nlohmann::json::parse(client.post_json("/v1/generate", "{\"seed\": 7, \"count\": 20}").body);
  served.process->send(SIGTERM);
  const auto done = nlohmann::json::parse(client.get("/v1/jobs/" + job["id"].get<std::string>() + "?wait_s=30").body);
  EXPECT_EQ(done["state"], "done");
  for (const auto& result : done["results"])
    EXPECT_THAT(client.get(result.get<std::string>()).body, StartsWith("\x89PNG"));
  EXPECT_EQ(served.process->wait().code, 0) << read_file(served.workspace / "log");
  const std::string log = read_file(served.workspace / "requests.jsonl");
  const auto first = nlohmann::json::parse(log.substr(0, log.find('\n')));
  EXPECT_EQ(first["route"], "/readyz");
}

TEST(Serve, AsksForATokenBeyondLoopback) {
  Served served({"--host", "0.0.0.0", "--stop-seconds", "0"});
  const size_t at = served.address.find("#token=");
  ASSERT_NE(at, std::string::npos) << served.address;
  std::string token = served.address.substr(at + 7);
  while (token.ends_with('\n')) token.pop_back();
  EXPECT_EQ(token.size(), 32u);
  http::Client client(served.port);
  EXPECT_EQ(client.get("/v1/models").status, 401);
  EXPECT_EQ(client.get("/v1/models", {{"Authorization", "Bearer " + token}}).status, 200);
  EXPECT_EQ(client.get("/").status, 200);  // the page asks for the token
  EXPECT_EQ(client.get("/v1/models", {{"Authorization", "Bearer " + token}, {"Host", "evil.example"}}).status, 403);
  served.process->send(SIGINT);
  EXPECT_EQ(served.process->wait().code, 0);
}

TEST(Serve, NamesWhatIsWrong) {
  const std::string run = Shop::get().run();
  const auto refused = [&](const std::vector<std::string>& more) {
    const Answer answer = Shop::get().workspace().dermgan(std::vector<std::string>{"serve", "--bundle", run} + more);
    return std::to_string(answer.code) + " " + answer.err;
  };
  EXPECT_THAT(refused({"--port", "70000"}), testing::AllOf(StartsWith("2 "), HasSubstr("70000")));
  EXPECT_THAT(refused({"--host", "here"}), testing::AllOf(StartsWith("2 "), HasSubstr("not an address")));
  EXPECT_THAT(refused({"--allow-origin", "lab.example"}), testing::AllOf(StartsWith("2 "), HasSubstr("https://")));
  EXPECT_THAT(refused({"--prot", "1"}), testing::AllOf(StartsWith("2 "), HasSubstr("--port")));
  EXPECT_THAT(refused({"--token-file", "none"}), HasSubstr("none"));
}

}  // namespace
}  // namespace derm::e2e
