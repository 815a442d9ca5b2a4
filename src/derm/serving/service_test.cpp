// The API from outside, over a painter that is made for it; the real model comes in at the end.
#include "derm/serving/service.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/system.h"
#include "derm/data/dataset.h"
#include "derm/evaluation/control.h"
#include "derm/generation/engine.h"
#include "derm/http/client.h"
#include "derm/image/codec.h"
#include "derm/recipe/stand_in.h"
#include "derm/serving/replica.h"

namespace derm::serving {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// The skin colour all over, and the seed in the first pixel.
struct PainterState {
  std::atomic<int> delay_ms = 0, images = 0, batches = 0, largest = 0;
  std::atomic<bool> fails = false, canary_changes = false;
};
class PlainPainter : public Painter {
 public:
  explicit PlainPainter(std::shared_ptr<PainterState> state) : state_(std::move(state)) {}
  size_t side_by_side() const override { return 4; }
  void paint(const std::vector<data::Request>& requests,
             const std::function<void(size_t, image::Image)>& ready) override {
    ++state_->batches;
    state_->largest = std::max<int>(state_->largest, static_cast<int>(requests.size()));
    std::this_thread::sleep_for(std::chrono::milliseconds(state_->delay_ms));
    if (state_->fails) throw std::runtime_error("out of memory at /secret/place");
    for (size_t i = 0; i < requests.size(); ++i) {
      image::Image image(32, 32, 3);
      const image::Rgb colour = image::rgb_of(requests[i].skin);
      for (size_t p = 0; p < image.pixels.size(); p += 3)
        image.pixels[p] = colour.r, image.pixels[p + 1] = colour.g, image.pixels[p + 2] = colour.b;
      image.pixels[0] = static_cast<uint8_t>(requests[i].seed + (state_->canary_changes ? state_->batches.load() : 0));
      ++state_->images;
      ready(i, std::move(image));
    }
  }

 private:
  std::shared_ptr<PainterState> state_;
};

class ServiceTest : public ::testing::Test {
 protected:
  void start(ServiceOptions options = {}, const data::Offer& offer = recipe::stand_in_offer()) {
    Model model;
    model.name = "plain";
    model.recipe = "plain";
    model.bundle_sha256 = std::string(64, 'a');
    model.size_px = 32;
    model.offer = offer;
    model.canary = data::make_request({}, model.offer);
    model.replicas.push_back(std::make_unique<PlainPainter>(state_));
    std::vector<Model> models;
    models.push_back(std::move(model));
    Instruments tools;
    tools.measure = [](const data::Request& r, const image::Image& i, const data::Offer&) -> json {
      return {{"seed", r.seed}, {"width", i.width}};
    };
    service_ = std::make_unique<Service>(std::move(models), tools, options);
    service_->start();
    client_ = std::make_unique<http::Client>(service_->server().port());
    for (int i = 0; i < 500 && get("/readyz").status != 200; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  http::Answer get(const std::string& target) { return client_->get(target); }
  http::Answer post(const json& body, const std::string& target = "/v1/generate") {
    return client_->post_json(target, body.dump());
  }
  static json parsed(const http::Answer& answer) { return json::parse(answer.body, nullptr, false); }
  static std::string refusal(const http::Answer& answer) {
    const json body = parsed(answer);
    return fmt::format("{} {}", answer.status,
                       body.is_object() && body.contains("code") ? body["code"].get<std::string>() : "?");
  }
  json finished(const json& body) {
    json with_wait = body;
    with_wait["wait_s"] = 20;
    const http::Answer answer = post(with_wait);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parsed(answer);
  }

  std::shared_ptr<PainterState> state_ = std::make_shared<PainterState>();
  std::unique_ptr<Service> service_;
  std::unique_ptr<http::Client> client_;
};

TEST_F(ServiceTest, MakesAnImageAndEchoesItsRequest) {
  start();
  const json job = finished({{"condition", "dark"}, {"skin", "ita:30"}, {"size", 0.4}, {"seed", 77}});
  EXPECT_EQ(job["state"], "done");
  EXPECT_EQ(job["seed"], 77);
  EXPECT_EQ(job["requests"][0]["condition"], "dark");
  EXPECT_EQ(job["requests"][0]["size"], 0.4);
  const http::Answer result = get(job["results"][0]);
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.headers.at("content-type"), "image/png");
  const image::Image image = image::decode_image(result.body, "result");
  EXPECT_EQ(image.pixels[0], 77);
  // Its provenance is in the file.
  const fs::path file = fs::temp_directory_path() / ("derm-serve-" + std::to_string(getpid()) + ".png");
  write_file(file, result.body);
  const image::TextChunks text = image::read_png_text(file);
  fs::remove(file);
  EXPECT_EQ(text.at("image_manipulation"), "synthetic");
  EXPECT_EQ(text.at("seed"), "77");
  EXPECT_EQ(text.at("bundle_sha256"), std::string(64, 'a'));
}

TEST_F(ServiceTest, AJobCanBeFollowedMeasuredAndForgotten) {
  state_->delay_ms = 30;
  start();
  const http::Answer accepted = post({{"count", 3}, {"seed", 5}});
  EXPECT_EQ(accepted.status, 202);
  const std::string id = parsed(accepted)["id"], at = "/v1/jobs/" + id;
  EXPECT_EQ(accepted.headers.at("location"), at);
  EXPECT_EQ(refusal(get(at + "/result")), "409 not_done");
  const json job = parsed(get(at + "?wait_s=10"));
  EXPECT_EQ(job["state"], "done");
  EXPECT_EQ(job["results"].size(), 3u);
  EXPECT_EQ(image::decode_image(get(at + "/result?index=2").body, "r").pixels[0], 7);
  EXPECT_EQ(refusal(get(at + "/result?index=3")), "404 no_result");
  EXPECT_EQ(refusal(get(at + "/result?index=-1")), "400 bad_request");
  EXPECT_EQ(refusal(get(at + "/result?index=x")), "400 bad_request");
  EXPECT_EQ(refusal(get(at + "?wait_s=99")), "400 bad_request");
  EXPECT_EQ(parsed(post({{"job", id}, {"index", 1}}, "/v1/measure"))["seed"], 6);
  EXPECT_EQ(refusal(post({{"job", "../x"}}, "/v1/measure")), "404 no_job");
  EXPECT_EQ(refusal(post({{"jib", id}}, "/v1/measure")), "400 bad_request");
  EXPECT_EQ(client_->request("DELETE", at).status, 200);
  EXPECT_EQ(refusal(get(at + "/result")), "404 no_result");
  EXPECT_EQ(refusal(get("/v1/jobs/none")), "404 no_job");
  EXPECT_EQ(finished({{"measure", true}, {"count", 2}, {"seed", 1}})["measured"][1]["seed"], 2);
}

TEST_F(ServiceTest, ADataSetIsOneThatTheProgramReads) {
  if (std::system("/usr/bin/python3 -c 'import zipfile' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 to unpack with";
  start();
  const json job = finished(
      {{"format", "dataset"},
       {"requests", {{{"condition", "dark"}, {"seed", 4}}, {{"condition", "light"}, {"seed", 9}, {"count", 2}}}}});
  EXPECT_EQ(job["results"].size(), 1u);
  const http::Answer zip = get(job["results"][0]);
  EXPECT_EQ(zip.headers.at("content-type"), "application/zip");
  EXPECT_THAT(zip.headers.at("content-disposition"), HasSubstr("attachment"));
  const fs::path folder = fs::temp_directory_path() / ("derm-serve-set-" + std::to_string(getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  write_file(folder / "set.zip", zip.body);
  ASSERT_EQ(std::system(fmt::format("/usr/bin/python3 -m zipfile -e {0}/set.zip {0}/D", folder.string()).c_str()), 0);
  const data::DataSet set = data::DataSet::open(folder / "D");
  ASSERT_EQ(set.records().size(), 3u);
  EXPECT_EQ(set.records()[2].extra.at("seed"), "10");
  EXPECT_EQ(set.records()[0].condition, "dark");
  EXPECT_EQ(set.facts()["image_manipulation"], "synthetic");
  // The requests come along, and are those of the job.
  const json requests = json::parse(read_file(folder / "D/requests.json"));
  EXPECT_EQ(data::request_from_json(requests[1]).seed, 9u);
  fs::remove_all(folder);
}

TEST_F(ServiceTest, AFullQueueGets429AndNothingAcceptedIsLost) {
  state_->delay_ms = 20;
  ServiceOptions options;
  options.jobs.max_jobs = 5;
  start(options);
  std::vector<std::string> ids;
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    const http::Answer answer = post({{"seed", i}});
    if (answer.status == 202)
      ids.push_back(parsed(answer)["id"]);
    else {
      EXPECT_EQ(refusal(answer), "429 queue_full");
      EXPECT_GE(std::stoi(answer.headers.at("retry-after")), 1);
      ++refused;
    }
  }
  EXPECT_GE(refused, 1);
  EXPECT_GE(ids.size(), 5u);
  for (const std::string& id : ids) EXPECT_EQ(parsed(get("/v1/jobs/" + id + "?wait_s=20"))["state"], "done");
  EXPECT_THAT(get("/metrics").body, HasSubstr(fmt::format("dermgan_jobs_refused_total {}\n", refused)));
  EXPECT_THAT(get("/metrics").body,
              HasSubstr(fmt::format("dermgan_jobs_ended_total{{state=\"done\"}} {}\n", ids.size())));
}

TEST_F(ServiceTest, JobsAreMadeTogetherAndALargeOneKeepsNobodyWaiting) {
  state_->delay_ms = 20;
  start();
  const std::string large = parsed(post({{"count", 200}}))["id"];
  const json small = finished({{"seed", 1}});
  EXPECT_EQ(small["state"], "done");
  EXPECT_LT(small["waited_ms"].get<double>() + small["made_ms"].get<double>(), 1000);
  EXPECT_EQ(parsed(get("/v1/jobs/" + large))["state"], "running");
  EXPECT_GT(state_->largest, 4);
  // Cancelled, it stops soon.
  EXPECT_EQ(parsed(client_->request("DELETE", "/v1/jobs/" + large))["state"], "cancelled");
  EXPECT_EQ(refusal(get("/v1/jobs/" + large + "/result")), "409 cancelled");
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  const int images = state_->images;
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(state_->images, images);
}

TEST_F(ServiceTest, OneImageWaitsBehindNoCrowdOfLargeJobs) {
  state_->delay_ms = 20;
  start();
  for (int i = 0; i < 8; ++i) post({{"count", 100}});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const json small = finished({{"seed", 1}});
  EXPECT_EQ(small["state"], "done");
  EXPECT_LT(small["waited_ms"].get<double>() + small["made_ms"].get<double>(), 500);  // all of it takes a second
}

TEST_F(ServiceTest, AJobThatWaitsTooLongExpires) {
  state_->delay_ms = 400;
  ServiceOptions options;
  options.jobs.wait_s = 0.1;
  start(options);
  post({{"count", 16}});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const json job = parsed(post({{"wait_s", 5}}));
  EXPECT_EQ(job["state"], "expired");
  EXPECT_THAT(job["error"].get<std::string>(), HasSubstr("0.1 s"));
  EXPECT_EQ(refusal(get("/v1/jobs/" + job["id"].get<std::string>() + "/result")), "409 expired");
}

TEST_F(ServiceTest, ResultsAreKeptForAWhileAndNoLonger) {
  ServiceOptions options;
  options.jobs.keep_s = 1;
  options.jobs.keep_fetched_s = 0.1;
  start(options);
  const json fetched = finished({{"seed", 1}}), left = finished({{"seed", 2}});
  EXPECT_EQ(get(fetched["results"][0]).status, 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(refusal(get(fetched["results"][0])), "404 no_job");
  EXPECT_EQ(parsed(get("/v1/jobs/" + left["id"].get<std::string>()))["state"], "done");
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  EXPECT_EQ(refusal(get(left["results"][0])), "404 no_job");
  EXPECT_THAT(get("/metrics").body, HasSubstr("dermgan_result_bytes 0\n"));
}

TEST_F(ServiceTest, TooManyResultsPushOutThoseThatWereFetchedAndThenGet429) {
  ServiceOptions options;
  options.jobs.max_result_bytes = 1;  // the next one is too many
  start(options);
  const json first = finished({{"seed", 1}});
  EXPECT_EQ(refusal(post({{"seed", 2}})), "429 results_full");  // nobody has the first one yet
  EXPECT_EQ(get(first["results"][0]).status, 200);
  EXPECT_EQ(finished({{"seed", 2}})["state"], "done");
  EXPECT_EQ(refusal(get(first["results"][0])), "404 no_result");
}

TEST_F(ServiceTest, AModelThatFailsFailsItsJobAndTellsNothingInner) {
  start();
  state_->fails = true;
  const json job = finished({{"seed", 1}});
  EXPECT_EQ(job["state"], "failed");
  EXPECT_THAT(job["error"].get<std::string>(), Not(HasSubstr("secret")));
  state_->fails = false;
  EXPECT_EQ(finished({{"seed", 1}})["state"], "done");
}

TEST_F(ServiceTest, IsNotReadyOnceItsCanaryIsAnother) {
  ServiceOptions options;
  options.jobs.canary_s = 0.05;
  start(options);
  EXPECT_EQ(get("/readyz").status, 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(get("/readyz").status, 200);
  state_->canary_changes = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const http::Answer answer = get("/readyz");
  EXPECT_EQ(refusal(answer), "503 not_ready");
  EXPECT_THAT(answer.body, HasSubstr("canary"));
  EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(ServiceTest, StoppingLosesNoAcceptedJob) {
  state_->delay_ms = 30;
  start();
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(parsed(post({{"seed", i}, {"count", 4}}))["id"]);
  bool all = false;
  std::thread stopping([&] { all = service_->stop(20); });
  while (!service_->jobs().stopping()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(refusal(post({{"seed", 1}})), "503 stopping");
  EXPECT_EQ(refusal(get("/readyz")), "503 not_ready");
  for (const std::string& id : ids) {
    EXPECT_EQ(parsed(get("/v1/jobs/" + id + "?wait_s=20"))["state"], "done");
    for (int i = 0; i < 4; ++i) EXPECT_EQ(get(fmt::format("/v1/jobs/{}/result?index={}", id, i)).status, 200);
  }
  stopping.join();
  EXPECT_TRUE(all);
  EXPECT_EQ(get("/healthz").status, 0);
}

TEST_F(ServiceTest, AQueueLongerThanTheTimeToStopIsWorkedOff) {
  state_->delay_ms = 200;  // for at most 16 images: the last jobs are begun after 0.4 s, and all are done after 1.4 s
  ServiceOptions options;
  options.jobs.wait_s = 0.3;  // told to stop, it lets nothing expire
  start(options);
  std::vector<std::string> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(parsed(post({{"seed", i}, {"count", 4}}))["id"]);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(service_->jobs().drain(0.05));  // nobody fetches
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(800));
  for (const std::string& id : ids) EXPECT_EQ(parsed(get("/v1/jobs/" + id))["state"], "done");
}

TEST_F(ServiceTest, HostileInputGetsA4xx) {
  start();
  const auto raw_post = [&](const std::string& body) { return client_->post_json("/v1/generate", body).status; };
  EXPECT_EQ(raw_post(std::string(5 << 20, ' ')), 413);
  EXPECT_EQ(raw_post(std::string(100000, '[')), 400);
  EXPECT_EQ(raw_post("{\"condition\": {\"$ne\": 1}}"), 400);
  EXPECT_EQ(raw_post("{\"regions\": [[[[[[]]]]]]}"), 400);
  EXPECT_EQ(raw_post("{\"seed\": 1e400}"), 400);
  EXPECT_EQ(raw_post("{\"count\": 99999999}"), 400);
  EXPECT_EQ(raw_post("{\"skin\": \"like:/etc/passwd\"}"), 400);
  EXPECT_EQ(raw_post("{\"model\": \"../../etc\"}"), 400);
  EXPECT_EQ(raw_post("{\"mask\": \"aaaa\"}"), 422);
  EXPECT_EQ(raw_post(""), 400);
  EXPECT_EQ(get("/../../etc/passwd").status, 400);
  EXPECT_EQ(get("/v1/jobs/..%2f..%2fetc%2fpasswd").status, 400);
  EXPECT_EQ(get("/v1/jobs/%3Cscript%3E").status, 404);
  EXPECT_EQ(get("/v1/skin?colour=like%3A/etc/passwd").status, 400);
  EXPECT_EQ(client_->request("POST", "/v1/skin", "not an image", {{"Content-Type", "image/png"}}).status, 422);
  EXPECT_EQ(client_->request("POST", "/v1/skin", "", {{"Content-Type", "image/png"}}).status, 400);
  EXPECT_EQ(client_->request("POST", "/v1/skin", "x", {{"Content-Type", "text/html"}}).status, 415);
  // A script in a text comes back as JSON, never as a page.
  const http::Answer echoed = post({{"condition", "<script>alert(1)</script>"}});
  EXPECT_EQ(echoed.status, 400);
  EXPECT_THAT(echoed.headers.at("content-type"), HasSubstr("application/json"));
  EXPECT_EQ(state_->images, 1);  // the canary alone
  EXPECT_EQ(finished({{"seed", 1}})["state"], "done");
}

TEST_F(ServiceTest, TellsWhatCanBeAskedForAndWhatLiesBeyondTheData) {
  start();
  const json c = parsed(get("/v1/capabilities"));
  EXPECT_EQ(c["model"], "plain");
  EXPECT_EQ(c["controls"]["condition"]["values"].size(), 2u);
  EXPECT_EQ(c["controls"]["skin"]["monk"].size(), 10u);
  bool inside = false, outside = false;
  for (const json& step : c["controls"]["skin"]["ita"]) (step["extrapolated"].get<bool>() ? outside : inside) = true;
  EXPECT_TRUE(inside && outside);
  EXPECT_EQ(c["limits"]["images_per_job"], 256);
  for (const std::string& name : control_fields()) {
    if (name == "regions" || name == "count" || name == "directions") continue;
    EXPECT_TRUE(c["controls"].contains(name)) << name;
  }
  EXPECT_EQ(refusal(get("/v1/capabilities?model=other")), "400 bad_request");
  EXPECT_EQ(parsed(get("/v1/models"))["models"][0]["size_px"], 32);
  const json colour = parsed(get("/v1/skin?colour=%23c68642"));
  EXPECT_EQ(colour["hex"], "#c68642");
  EXPECT_EQ(parsed(get("/v1/skin?colour=ita%3A20"))["extrapolated"], false);
  // An even photograph has the colour that it has.
  image::Image photo(64, 64, 3);
  for (size_t i = 0; i < photo.pixels.size(); i += 3)
    photo.pixels[i] = 198, photo.pixels[i + 1] = 152, photo.pixels[i + 2] = 120;
  const json measured =
      parsed(client_->request("POST", "/v1/skin", image::encode_png(photo), {{"Content-Type", "image/png"}}));
  EXPECT_EQ(measured["hex"], "#c69878");
}

TEST_F(ServiceTest, AModelFromNoiseIsOfferedAndAskedForWhatItHeeds) {
  data::Offer offer = recipe::stand_in_offer();
  offer.heeds = {"seed"};
  offer.directions = {{"darker skin", 2.5}};
  start({}, offer);
  const json controls = parsed(get("/v1/capabilities"))["controls"];
  EXPECT_EQ(controls.size(), 2u) << controls;
  EXPECT_EQ(controls["directions"],
            json::array({{{"name", "darker skin"}, {"min", -2.5}, {"max", 2.5}, {"default", 0.0}}}));
  EXPECT_TRUE(controls.contains("seed"));
  EXPECT_EQ(refusal(post({{"skin", "ita:25"}})), "400 bad_request");
  EXPECT_EQ(refusal(post(json::object(), "/v1/region")), "400 bad_request");
  const json job = finished({{"directions", {1.5}}, {"seed", 4}, {"format", "dataset"}});
  EXPECT_EQ(job["requests"][0], json({{"directions", {1.5}}, {"seed", 4}}));
  // The set claims neither a region nor a condition that nobody asked for.
  const std::string zip = get(job["results"][0]).body;
  EXPECT_EQ(zip.find("masks/"), std::string::npos);
  EXPECT_NE(zip.find("requested_directions"), std::string::npos);
  EXPECT_EQ(zip.find("requested_condition"), std::string::npos);
}

TEST_F(ServiceTest, TheOpenApiDocumentDescribesTheRoutes) {
  start();
  const json document = json::parse(get("/openapi.json").body);
  std::set<std::string> described, there;
  for (const auto& path : document["paths"].items())
    for (const auto& method : path.value().items()) {
      std::string verb = method.key();
      for (char& c : verb) c = static_cast<char>(std::toupper(c));
      described.insert(verb + " " + path.key());
    }
  std::set<std::string> pages;
  for (const StudioFile& file : studio_files()) pages.insert("GET " + file.path);
  for (const auto& [method, pattern] : service_->server().routes())
    if (!pages.contains(method + " " + pattern)) there.insert(method + " " + pattern);
  EXPECT_EQ(described, there);
  // The fields of a request are those that are read.
  std::set<std::string> fields(control_fields().begin(), control_fields().end());
  std::set<std::string> controls;
  for (const auto& f : document["components"]["schemas"]["Request"]["properties"].items()) controls.insert(f.key());
  EXPECT_EQ(controls, fields);
  fields.insert(job_fields().begin(), job_fields().end());
  std::set<std::string> all;
  for (const auto& f : document["components"]["schemas"]["Generate"]["properties"].items()) all.insert(f.key());
  EXPECT_EQ(all, fields);
  // Every reference leads somewhere, and a job has the fields that it is said to have.
  const std::string text = document.dump();
  for (size_t at = 0; (at = text.find("#/components/schemas/", at)) != std::string::npos;) {
    at += 21;
    EXPECT_TRUE(document["components"]["schemas"].contains(text.substr(at, text.find('"', at) - at)));
  }
  const json job = finished({{"measure", true}, {"seed", 1}});
  for (const auto& f : job.items())
    EXPECT_TRUE(document["components"]["schemas"]["Job"]["properties"].contains(f.key())) << f.key();
  for (const json& name : document["components"]["schemas"]["Job"]["required"])
    EXPECT_TRUE(job.contains(name.get<std::string>()));
}

TEST_F(ServiceTest, TheStudioHasNoScriptInItsPage) {
  start();
  const http::Answer page = get("/");
  ASSERT_EQ(page.status, 200);
  EXPECT_THAT(page.headers.at("content-type"), HasSubstr("text/html"));
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("script-src 'self'"));
  EXPECT_THAT(page.body, Not(HasSubstr("<script>")));
  EXPECT_THAT(page.body, Not(HasSubstr("style=")));
  EXPECT_THAT(page.body, Not(HasSubstr("onclick")));
  // It loads nothing from anywhere else.
  for (const StudioFile& file : studio_files()) {
    std::string text = file.bytes;
    for (const char* own : {"http://www.w3.org/"})
      for (size_t at; (at = text.find(own)) != std::string::npos;) text.erase(at, std::strlen(own));
    EXPECT_THAT(text, Not(HasSubstr("http://"))) << file.path;
    EXPECT_THAT(text, Not(HasSubstr("https://"))) << file.path;
  }
}

TEST(Models, ABundleServesWhatTheEngineMakes) {
  const fs::path root = fs::temp_directory_path() / ("derm-serve-model-" + std::to_string(getpid()));
  fs::remove_all(root);
  fs::create_directories(root);
  recipe::Painter recipe;
  recipe::write_untrained_bundle(root / "painter", recipe, "painter", 64, recipe::stand_in_offer());
  const auto catalogue = recipe::stand_in_catalogue();
  ReplicaOptions options;
  options.bundles = {root / "painter"};
  options.devices = {"cpu"};
  options.threads = 2;
  options.replicas = 2;
  std::vector<Model> models = load_models(options, catalogue);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "painter");
  EXPECT_EQ(models[0].replicas.size(), 2u);
  {
    evaluation::Judges judges;
    judges.conditions = {"dark", "light"};
    judges.classify = [](const std::vector<image::Image>& images) {
      return std::vector<std::vector<double>>(images.size(), {0.25, 0.75});
    };
    Service service(std::move(models), instruments(judges), {});
    service.start();
    http::Client client(service.server().port());
    const json job = json::parse(
        client
            .post_json("/v1/generate",
                       "{\"wait_s\": 20, \"seed\": 3, \"count\": 6, \"measure\": true, \"skin\": \"ita:30\"}")
            .body);
    ASSERT_EQ(job["state"], "done") << job;
    generation::EngineOptions engine_options;
    engine_options.bundle = root / "painter";
    engine_options.device = "cpu";
    engine_options.threads = 1;
    generation::Engine engine(engine_options, catalogue);
    data::Wish wish;
    wish.skin = "ita:30";
    wish.seed = 8;
    const std::string png = client.get(job["results"][5].get<std::string>()).body;
    EXPECT_EQ(image::decode_image(png, "r"), engine.generate(data::make_request(wish, engine.offer())));
    EXPECT_LT(job["measured"][0]["skin"]["ciede2000"].get<double>(), 3);
    EXPECT_GT(job["measured"][0]["region_iou"].get<double>(), 0.5);
    // The default condition is the first, "dark", and this classifier takes everything for light.
    EXPECT_EQ(job["measured"][0]["condition"], json({{"asked", "dark"}, {"seen", "light"}, {"probability", 0.25}}));
    EXPECT_EQ(json::parse(client.get("/v1/capabilities").body)["measured"][0], "condition");
    // Two lesions: the centre that is asked for lies between them, and of two conditions no one is seen.
    const json two = json::parse(
        client
            .post_json("/v1/generate",
                       R"({"wait_s": 20, "measure": true, "condition": "dark", "shape": "box", "size": 0.2, "x": 0.3,
                           "y": 0.5, "regions": [{"condition": "light", "shape": "box", "size": 0.2, "x": 0.7, "y": 0.3}]})")
            .body);
    ASSERT_EQ(two["state"], "done") << two;
    EXPECT_TRUE(two["measured"][0]["condition"].is_null());
    EXPECT_NEAR(two["measured"][0]["centre"]["asked"][0].get<double>(), 0.5, 0.01);
    EXPECT_NEAR(two["measured"][0]["centre"]["asked"][1].get<double>(), 0.4, 0.01);
  }
  options.bundles.push_back(root / "painter");
  EXPECT_THROW(load_models(options, catalogue), UsageError);
  fs::remove_all(root);
}

}  // namespace
}  // namespace derm::serving
