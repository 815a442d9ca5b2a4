#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/progress.h"
#include "derm/cli/judging.h"
#include "derm/cli/verbs.h"
#include "derm/models/catalogue.h"
#include "derm/serving/replica.h"
#include "derm/serving/service.h"

namespace derm::cli {
namespace {

struct ServeFlags {
  std::vector<std::string> bundles, devices, hosts, origins;
  std::string precision = "auto", token_file, log;
  int threads = 0;
  serving::ReplicaOptions replicas;
  serving::ServiceOptions service;
  JudgingFlags judging;
  double stop_s = 60;
};

std::string read_token(const std::string& file) {
  if (file.empty()) {
    const char* given = std::getenv("DERMGAN_TOKEN");
    return given ? given : "";
  }
  std::string token = read_file(file, 4096);
  while (token.ends_with('\n') || token.ends_with('\r') || token.ends_with(' ')) token.pop_back();
  if (token.empty()) throw UsageError("--token-file {}: it is empty", file);
  return token;
}

/// One JSON document a line, to a file or stdout.
std::function<void(const nlohmann::ordered_json&)> open_log(const std::string& file) {
  if (file.empty()) return {};
  if (file == "-") {
    return [](const nlohmann::ordered_json& line) {
      std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
    };
  }
  auto out = std::make_shared<std::ofstream>(file, std::ios::app);
  if (!*out) throw UsageError("--log {}: it cannot be written", file);
  return [out](const nlohmann::ordered_json& line) {
    *out << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
    out->flush();
  };
}

/// SIGINT and SIGTERM wait to be taken by wait_for_end(); threads started from here on inherit that.
void hold_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void wait_for_end() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  // A second one ends the process at once.
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int run_serve(ServeFlags& flags) {
  http::ServerOptions& server = flags.service.http;
  server.hosts = flags.hosts;
  server.origins = flags.origins;
  server.token = read_token(flags.token_file);
  server.validate();
  const bool loopback = http::is_loopback_name(server.address);
  bool made_token = false;
  if (!loopback && server.token.empty()) {
    server.token = http::random_hex(16);
    made_token = true;
  }
  server.log = open_log(flags.log);
  flags.replicas.bundles.assign(flags.bundles.begin(), flags.bundles.end());
  if (!flags.devices.empty()) flags.replicas.devices = flags.devices;
  hold_signals();
  // It looks at one picture now and then: on the processor, on one thread, whatever makes the images.
  const evaluation::Judges judges = flags.judging.open_classifier("cpu", 1);
  std::vector<serving::Model> models = serving::load_models(flags.replicas, models::catalogue());
  for (const serving::Model& m : models)
    log_info("{}: {} at {} px, {} replica(s), {}", m.name, m.recipe, m.size_px, m.replicas.size(), m.compute);
  serving::Service service(std::move(models), serving::instruments(judges), flags.service);
  service.start();
  // On stdout, so that a program that starts this one learns the port; the token is for people's browsers.
  std::cout << service.url() << (made_token ? "/#token=" + server.token : "") << std::endl;
  log_info("Studio and API are ready; Ctrl-C stops them{}",
           server.token.empty() ? "" : "; requests need the token (Authorization: Bearer ...)");
  wait_for_end();
  log_info(
      "Stopping: accepted jobs are finished, then their results can be fetched for up to {}; Ctrl-C ends it at once",
      duration_text(flags.stop_s));
  if (!service.stop(flags.stop_s)) log_warning("some results were not fetched in time, and are gone");
  return 0;
}

}  // namespace

Verb add_serve(CLI::App& program) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* app = program.add_subcommand("serve", "Web studio and REST API: draw a lesion, see it, order many");
  Verb verb{app, {}, [flags] { return run_serve(*flags); }};
  serving::ServiceOptions& service = flags->service;
  service.http.port = 8080;
  verb.required.push_back(add_repeatable(*app, "--bundle", flags->bundles, "A bundle, or a run (its best)"));
  app->add_option("--port", service.http.port, "0: any free one, printed at start")->capture_default_str();
  app->add_option("--host", service.http.address,
                  "Address to listen on; 0.0.0.0 opens it to the network, and a token is needed then")
      ->capture_default_str();
  app->add_option("--token-file", flags->token_file,
                  "File with the token that requests must carry (or the environment's DERMGAN_TOKEN)");
  add_repeatable(*app, "--allow-host", flags->hosts, "A further Host name to answer for: a reverse proxy's");
  add_repeatable(*app, "--allow-origin", flags->origins, "A further origin whose pages may ask: https://lab.example");
  add_repeatable(*app, "--device", flags->devices, "auto, cpu, cuda, cuda:1; replicas on each");
  app->add_option("--precision", flags->replicas.precision, "auto (bf16 where the processor gains from it), fp32, bf16")
      ->capture_default_str();
  app->add_option("--threads", flags->replicas.threads, "Images made side by side on a processor; 0: every processor")
      ->capture_default_str();
  app->add_option("--replicas", flags->replicas.replicas, "Copies of each model on each device")->capture_default_str();
  app->add_option("--max-jobs", service.jobs.max_jobs, "Jobs that may wait; more are answered 429")
      ->check(CLI::Range(size_t{1}, size_t{100000}))
      ->capture_default_str();
  app->add_option("--max-images", service.ask.max_images, "Images that one job may ask for")
      ->check(CLI::Range(size_t{1}, size_t{10000}))
      ->capture_default_str();
  app->add_option("--queue-seconds", service.jobs.wait_s, "A job that has not begun by then expires")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  app->add_option("--keep-seconds", service.jobs.keep_s, "How long a result waits to be fetched")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  app->add_option("--stop-seconds", flags->stop_s,
                  "When told to stop: how long results can still be fetched, once all that was accepted is made")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app->add_option("--judges", flags->judging.judges,
                  "Folder of the judges; the classifier in it measures the condition (default: the shipped one)");
  app->add_option("--log", flags->log, "A JSON line for each request into this file; - is stdout");
  app->footer(
      "Example:\n  dermgan serve --bundle models/dermgan-clinical-256\n"
      "  dermgan serve --bundle A --bundle B --host 0.0.0.0 --token-file token --allow-host skin.lab.example");
  return verb;
}

}  // namespace derm::cli
