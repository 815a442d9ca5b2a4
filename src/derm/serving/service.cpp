#include "derm/serving/service.h"

#include <algorithm>
#include <cmath>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/system.h"
#include "derm/base/text.h"
#include "derm/data/semantic_map.h"
#include "derm/image/codec.h"
#include "derm/skin/planes.h"
#include "derm/skin/skin_colour.h"

namespace derm::serving {
namespace {

using http::HttpError;
using http::Request;
using http::Response;
using nlohmann::ordered_json;

constexpr int kPhotoSide = 1024;  // px; larger photographs are reduced before their skin is measured

double rounded(double v, double digits = 1e4) { return std::round(v * digits) / digits; }

double query_number(const Request& request, const char* name, double fallback, double low, double high) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return fallback;
  double value = 0;
  try {
    value = parse_number(found->second, name);
  } catch (const DataError& error) {
    throw UsageError("{}", error.what());
  }
  if (value < low || value > high) throw UsageError("{} is {}, {} to {} is accepted", name, found->second, low, high);
  return value;
}

std::string query_text(const Request& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

ordered_json colour_json(const image::Lab& lab, const data::SkinLocus& locus) {
  const double ita = image::ita_degrees(lab);
  return {{"hex", image::hex_of(image::rgb_of(lab))},
          {"lab", {rounded(lab.L, 100), rounded(lab.a, 100), rounded(lab.b, 100)}},
          {"ita_deg", rounded(ita, 100)},
          {"tone", image::tone_of(ita)},
          {"nearest_monk", image::nearest_monk_tone(lab)},
          {"extrapolated", locus.extrapolated(lab)}};
}

ordered_json skin_json(const data::SkinLocus& locus, const data::Request& plain) {
  ordered_json scale = ordered_json::array(), monk = ordered_json::array();
  for (int ita = -60; ita <= 80; ita += 2) {
    const image::Lab lab = locus.at(ita);
    scale.push_back(
        {{"ita_deg", ita}, {"hex", image::hex_of(image::rgb_of(lab))}, {"extrapolated", locus.extrapolated(lab)}});
  }
  for (int tone = 1; tone <= 10; ++tone) {
    const image::Lab lab = image::lab_of(image::monk_tone(tone));
    monk.push_back({{"tone", tone},
                    {"hex", image::hex_of(image::monk_tone(tone))},
                    {"ita_deg", rounded(image::ita_degrees(lab), 10)},
                    {"extrapolated", locus.extrapolated(lab)}});
  }
  return {{"forms", {"#rrggbb", "ita:25", "monk:6"}},
          {"default", plain.skin_text},
          {"seen_ita_deg", {rounded(locus.low_ita(), 10), rounded(locus.high_ita(), 10)}},
          {"ita", scale},
          {"monk", monk}};
}

/// What a model can be asked for, and what of it lies beyond its data. What it does not heed is not there.
ordered_json controls_of(const Model& model) {
  const data::Offer& offer = model.offer;
  const data::Request plain = data::make_request({}, offer);
  ordered_json controls = ordered_json::object();
  if (offer.heeded("condition")) controls["condition"] = {{"values", offer.conditions}, {"default", plain.condition()}};
  if (offer.heeded("skin")) controls["skin"] = skin_json(offer.locus, plain);
  if (offer.heeded("region")) {
    const data::Region& region = plain.regions.front();
    controls["size"] = {{"min", 0.02},
                        {"max", 1.0},
                        {"seen", {rounded(offer.low_size), rounded(offer.high_size)}},
                        {"default", rounded(region.size())}};
    for (const char* axis : {"x", "y"}) controls[axis] = {{"min", 0.0}, {"max", 1.0}, {"default", 0.5}};
    controls["aspect"] = {{"min", 0.2}, {"max", 5.0}, {"default", 1.0}};
    controls["shape"] = {{"values", {"box", "ellipse", "blob", "mask"}}, {"default", data::shape_name(region.shape)}};
    controls["mask"] = {{"form", "base64 of a square PNG, white inside"}};
  }
  if (!offer.directions.empty()) {
    controls["directions"] = ordered_json::array();
    for (const data::LatentDirection& d : offer.directions)
      controls["directions"].push_back({{"name", d.name}, {"min", -d.range}, {"max", d.range}, {"default", 0.0}});
  }
  controls["seed"] = {{"min", 0}, {"max", uint64_t{1} << 53}};
  return controls;
}

ordered_json model_json(const Model& model) {
  return {{"name", model.name},
          {"recipe", model.recipe},
          {"size_px", model.size_px},
          {"conditions", model.offer.conditions},
          {"bundle_sha256", model.bundle_sha256},
          {"compute", model.compute},
          {"replicas", model.replicas.size()},
          {"training", model.training}};
}

}  // namespace

struct Service::Impl {
  Impl(std::vector<Model> models, Instruments i, ServiceOptions o)
      : options(std::move(o)),
        instruments(std::move(i)),
        server(options.http),
        jobs(std::move(models), options.jobs, instruments.measure) {}
  ServiceOptions options;
  Instruments instruments;
  http::Server server;
  Jobs jobs;  // ends before the server: its callbacks answer requests

  void add_routes();
  Response capabilities(const Request& request);
  Response skin_of_photo(const Request& request);
  Response measure(const Request& request);
  Response region(const Request& request);
  void generate(const std::shared_ptr<const Request>& request, const http::Reply& reply);
  Response job_answer(const std::string& id, int status) {
    const JobView view = jobs.view(id);
    Response response = Response::json(to_json(view), status);
    response.with("Location", "/v1/jobs/" + id);
    return response;
  }
};

Response Service::Impl::capabilities(const Request& request) {
  const Model& model = jobs.model(query_text(request, "model"));
  ordered_json names = ordered_json::array();
  for (const Model& m : jobs.models()) names.push_back(m.name);
  return Response::json({{"software", "dermgan " + version()},
                         {"api", "v1"},
                         {"models", names},
                         {"model", model.name},
                         {"size_px", model.size_px},
                         {"formats", {"png", "dataset"}},
                         {"controls", controls_of(model)},
                         {"measured", instruments.quantities},
                         {"limits",
                          {{"images_per_job", options.ask.max_images},
                           {"regions_per_image", options.ask.max_regions},
                           {"jobs", options.jobs.max_jobs},
                           {"images_waiting", options.jobs.max_images},
                           {"request_bytes", options.max_request_bytes},
                           {"mask_bytes", options.ask.max_mask_bytes},
                           {"mask_px", options.ask.max_mask_px},
                           {"photo_bytes", options.max_photo_bytes},
                           {"wait_s", 30},
                           {"queue_s", options.jobs.wait_s},
                           {"keep_s", options.jobs.keep_s}}}});
}

Response Service::Impl::skin_of_photo(const Request& request) {
  const Model& model = jobs.model(query_text(request, "model"));
  if (request.body.empty()) throw UsageError("the body is empty; send a PNG or JPEG");
  image::Image photo = image::to_rgb(image::decode_image(
      request.body, "photograph", {.max_file_bytes = options.max_photo_bytes, .max_pixels = options.max_photo_pixels}));
  if (std::min(photo.width, photo.height) < 32)
    throw DataError("photograph: it has {} x {} pixels, at least 32 x 32 are needed", photo.width, photo.height);
  photo = skin::reduced(photo, kPhotoSide);
  const skin::SkinColour colour = skin::measure_skin(photo, image::Mask());
  ordered_json answer = colour_json(colour.lab, model.offer.locus);
  answer["share"] = rounded(colour.share);
  answer["reliable"] = colour.share >= 0.05;
  return Response::json(answer);
}

Response Service::Impl::measure(const Request& request) {
  const nlohmann::json body = request.json();
  if (!body.is_object() || !body.contains("job") || !body["job"].is_string())
    throw UsageError("the request: \"job\" is missing, the id of a finished job");
  for (const auto& item : body.items())
    if (item.key() != "job" && item.key() != "index")
      throw UsageError("the request: {} is not a field; job and index are", quote_text(item.key()));
  size_t index = 0;
  if (body.contains("index")) {
    if (!body["index"].is_number_unsigned()) throw UsageError("the request: index is no whole number from 0 up");
    index = body["index"].get<size_t>();
  }
  const std::string id = body["job"].get<std::string>();
  const JobView view = jobs.view(id);
  if (view.format == Format::dataset)
    throw UsageError("a data set's images are measured while it is made; ask for it with \"measure\": true");
  const JobResult result = jobs.result(id, index);
  return Response::json(ordered_json(
      instruments.measure((*view.requests)[index], image::decode_image(*result.bytes, "image"), *view.offer)));
}

Response Service::Impl::region(const Request& request) {
  const Ask ask = parse_ask(
      request.json(), [this](const std::string& name) -> const data::Offer& { return jobs.model(name).offer; },
      options.ask);
  if (!jobs.model(ask.model).offer.heeded("region"))
    throw UsageError("this model makes images without a region to ask for; ask another model");
  return Response::bytes(image::encode_png(data::region_mask(ask.requests.front(), jobs.model(ask.model).size_px)),
                         "image/png");
}

void Service::Impl::generate(const std::shared_ptr<const Request>& request, const http::Reply& reply) {
  Ask ask = parse_ask(
      request->json(), [this](const std::string& name) -> const data::Offer& { return jobs.model(name).offer; },
      options.ask);
  const double wait = ask.wait_s;
  const std::string id = jobs.submit(std::move(ask));
  jobs.when_done(id, wait, [this, id, reply] {
    try {
      reply(job_answer(id, is_final(jobs.view(id).state) ? 200 : 202));
    } catch (const HttpError& error) {
      reply(Response::error(error, ""));
    }
  });
}

void Service::Impl::add_routes() {
  const auto json_body = [](size_t most) {
    http::RouteOptions o;
    o.max_body = most;
    o.body_type = "application/json";
    return o;
  };
  http::RouteOptions open;
  open.open = true;
  for (const StudioFile& file : studio_files()) server.page(file.path, file.content_type, file.bytes);
  server.page("/openapi.json", "application/json; charset=utf-8", openapi_text());
  server.route(
      "GET", "/healthz",
      [](const Request&) {
        return Response::json({{"status", "alive"}});
      },
      open);
  server.route(
      "GET", "/readyz",
      [this](const Request&) {
        const std::string fault = jobs.stopping() ? "the server is about to stop" : jobs.fault();
        if (!fault.empty()) throw HttpError(503, "not_ready", "{}", fault);
        return Response::json({{"status", "ready"}});
      },
      open);
  server.route("GET", "/metrics", [this](const Request&) {
    return Response::text(jobs.prometheus() + server.prometheus(), "text/plain; version=0.0.4; charset=utf-8");
  });

  server.route("GET", "/v1/capabilities", [this](const Request& r) { return capabilities(r); });
  server.route("GET", "/v1/models", [this](const Request&) {
    ordered_json list = ordered_json::array();
    for (const Model& m : jobs.models()) list.push_back(model_json(m));
    return Response::json({{"models", list}});
  });

  http::RouteOptions generating = json_body(options.max_request_bytes);
  generating.threaded = true;
  server.route_deferred(
      "POST", "/v1/generate",
      [this](const std::shared_ptr<const Request>& r, const http::Reply& reply) { generate(r, reply); }, generating);
  server.route(
      "POST", "/v1/region", [this](const Request& r) { return region(r); }, json_body(options.max_request_bytes));
  server.route_deferred("GET", "/v1/jobs/{id}",
                        [this](const std::shared_ptr<const Request>& r, const http::Reply& reply) {
                          const std::string id = r->param("id");
                          const double wait = query_number(*r, "wait_s", 0, 0, 30);
                          jobs.view(id);
                          jobs.when_done(id, wait, [this, id, reply, request = r] {
                            try {
                              reply(job_answer(id, 200));
                            } catch (const HttpError& error) {
                              reply(Response::error(error, request->id));
                            }
                          });
                        });
  server.route("DELETE", "/v1/jobs/{id}",
               [this](const Request& r) { return Response::json(to_json(jobs.cancel(r.param("id")))); });
  server.route("GET", "/v1/jobs/{id}/result", [this](const Request& r) {
    const auto index = query_number(r, "index", 0, 0, 1e6);
    if (index != std::floor(index)) throw UsageError("index is {}, a whole number is expected", index);
    const JobResult result = jobs.result(r.param("id"), static_cast<size_t>(index));
    Response response;
    response.content_type = result.content_type;
    response.shared_body = result.bytes;
    const bool attach = result.content_type == "application/zip";
    response.with("Content-Disposition",
                  fmt::format("{}; filename=\"{}\"", attach ? "attachment" : "inline", result.file_name));
    return response;
  });

  server.route(
      "POST", "/v1/measure", [this](const Request& r) { return measure(r); }, json_body(4096));
  server.route("GET", "/v1/skin", [this](const Request& r) {
    const Model& model = jobs.model(query_text(r, "model"));
    const std::string text = query_text(r, "colour");
    if (text.empty()) throw UsageError("colour is missing: #rrggbb, ita:25 or monk:6 (a photograph is sent by POST)");
    return Response::json(colour_json(skin_of_text(text, model.offer.locus), model.offer.locus));
  });
  http::RouteOptions photo;
  photo.max_body = options.max_photo_bytes;
  photo.body_type = "image/";
  server.route(
      "POST", "/v1/skin", [this](const Request& r) { return skin_of_photo(r); }, photo);
}

Service::Service(std::vector<Model> models, Instruments instruments, ServiceOptions options)
    : impl_(std::make_unique<Impl>(std::move(models), std::move(instruments), std::move(options))) {
  impl_->add_routes();
}

Service::~Service() { impl_->server.stop(0); }
void Service::start() { impl_->server.start(); }
std::string Service::url() const { return impl_->server.url(); }
Jobs& Service::jobs() { return impl_->jobs; }
http::Server& Service::server() { return impl_->server; }

bool Service::stop(double seconds) {
  const bool all = impl_->jobs.drain(seconds);
  impl_->server.stop(5);
  return all;
}

}  // namespace derm::serving
