#include "derm/study/service.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/log.h"
#include "derm/base/text.h"
#include "derm/study/blinding.h"
#include "derm/study/page.h"

namespace derm::study {
namespace {

using Json = nlohmann::ordered_json;
using http::HttpError;
using http::Request;
using http::Response;

constexpr size_t kMostBody = 64 << 10;
constexpr size_t kLongestRemark = 8000, kMostMarks = 20;
constexpr int kMostFailures = 20;
constexpr int64_t kFailureWindowMs = 5 * 60 * 1000;
constexpr size_t kMostPeers = 10000;
constexpr int64_t kMostViews = 100;
constexpr int64_t kLongestMs = int64_t{7} * 24 * 3600 * 1000;
constexpr const char* kUnsure = "unsure";

[[noreturn]] void refuse(const std::string& field, const nlohmann::json* found, const std::string& expected) {
  const std::string text =
      found ? found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) : std::string("nothing");
  throw HttpError(400, "bad_answer", "\"{}\": {} was found, {} is expected", field, quote_text(text), expected);
}

const nlohmann::json* find(const nlohmann::json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text_field(const nlohmann::json& body, const char* name, size_t most, const std::string& expected) {
  const nlohmann::json* v = find(body, name);
  if (!v || !v->is_string() || v->get_ref<const std::string&>().size() > most) refuse(name, v, expected);
  return v->get<std::string>();
}

int64_t whole_number(const nlohmann::json& body, const char* name, int64_t low, int64_t high) {
  const nlohmann::json* v = find(body, name);
  const std::string expected = fmt::format("a whole number from {} to {}", low, high);
  if (!v || !v->is_number_integer()) refuse(name, v, expected);
  // A number beyond 63 bits is unsigned and would wrap.
  if (v->is_number_unsigned() && v->get<uint64_t>() > static_cast<uint64_t>(high)) refuse(name, v, expected);
  const auto number = v->get<int64_t>();
  if (number < low || number > high) refuse(name, v, expected);
  return number;
}

void only_fields(const nlohmann::json& object, const std::set<std::string>& known, const char* what) {
  if (!object.is_object()) throw HttpError(400, "bad_answer", "{}: a JSON object is expected", what);
  for (const auto& [name, value] : object.items()) {
    if (!known.contains(name))
      throw HttpError(400, "bad_answer", "{}: {} is not a field of it", what, quote_text(name));
  }
}

std::string marks_field(const nlohmann::json& body) {
  const nlohmann::json* v = find(body, "marks");
  if (!v) return "[]";
  if (!v->is_array() || v->size() > kMostMarks)
    refuse("marks", v, fmt::format("a list of at most {} marks", kMostMarks));
  Json kept = Json::array();
  for (const nlohmann::json& mark : *v) {
    only_fields(mark, {"reason", "x", "y", "w", "h"}, "marks");
    const nlohmann::json* reason = find(mark, "reason");
    const auto& known = mark_reasons();
    if (!reason || !reason->is_string() ||
        std::none_of(known.begin(), known.end(), [&](const auto& r) { return r.first == *reason; })) {
      refuse("marks.reason", reason, "one of the study's reasons");
    }
    Json row = {{"reason", *reason}};
    if (mark.size() > 1) {
      double box[4];
      const char* names[] = {"x", "y", "w", "h"};
      for (int i = 0; i < 4; ++i) {
        const nlohmann::json* n = find(mark, names[i]);
        if (!n || !n->is_number()) refuse(std::string("marks.") + names[i], n, "a number from 0 to 1");
        box[i] = std::round(n->get<double>() * 1e4) / 1e4;
        if (!(box[i] >= 0 && box[i] <= 1)) refuse(std::string("marks.") + names[i], n, "a number from 0 to 1");
        row[names[i]] = box[i];
      }
      if (box[2] <= 0 || box[3] <= 0 || box[0] + box[2] > 1.0002 || box[1] + box[3] > 1.0002) {
        refuse("marks", &mark, "a box inside the image");
      }
    }
    kept.push_back(row);
  }
  return kept.dump();
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& mark_reasons() {
  static const std::vector<std::pair<std::string, std::string>> reasons = {{"texture", "Skin texture"},
                                                                           {"border", "Border of the lesion"},
                                                                           {"structure", "Inside of the lesion"},
                                                                           {"colour", "Colour"},
                                                                           {"hair", "Hair"},
                                                                           {"blur", "Blur or sharpness"},
                                                                           {"pattern", "Repeated pattern"},
                                                                           {"light", "Light or shadow"},
                                                                           {"anatomy", "Anatomy"},
                                                                           {"other", "Something else"}};
  return reasons;
}

Answer parse_answer(const nlohmann::json& body, const Description& d) {
  only_fields(body,
              {"token", "answer_id", "verdict", "confidence", "condition", "realism", "artefacts", "marks", "remark",
               "response_ms", "viewed_ms"},
              "the answer");
  Answer a;
  a.id = text_field(body, "answer_id", 64, "a text of 8 to 64 letters and digits");
  if (a.id.size() < 8 ||
      a.id.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != std::string::npos) {
    refuse("answer_id", find(body, "answer_id"), "a text of 8 to 64 letters and digits");
  }
  a.verdict = text_field(body, "verdict", 16, "\"real\" or \"synthetic\"");
  if (a.verdict != "real" && a.verdict != "synthetic") {
    refuse("verdict", find(body, "verdict"), "\"real\" or \"synthetic\"");
  }
  a.confidence = whole_number(body, "confidence", 1, 5);
  const auto not_asked = [&](const char* name) {
    if (find(body, name)) refuse(name, find(body, name), "nothing (this study does not ask for it)");
  };
  if (d.settings.ask_condition) {
    a.condition = text_field(body, "condition", 200, "one of the study's conditions, or \"unsure\"");
    if (a.condition != kUnsure &&
        std::find(d.conditions.begin(), d.conditions.end(), a.condition) == d.conditions.end()) {
      refuse("condition", find(body, "condition"), "one of the study's conditions, or \"unsure\"");
    }
  } else {
    not_asked("condition");
  }
  if (d.settings.ask_ratings) {
    a.realism = whole_number(body, "realism", 1, 5);
    a.artefacts = whole_number(body, "artefacts", 1, 5);
  } else {
    not_asked("realism");
    not_asked("artefacts");
  }
  if (d.settings.ask_marks) {
    a.marks = marks_field(body);
  } else {
    not_asked("marks");
  }
  if (d.settings.ask_remark) {
    if (find(body, "remark")) {
      a.remark = text_field(body, "remark", kLongestRemark, fmt::format("a text of at most {} bytes", kLongestRemark));
      // Control characters would break tables; line ends and tabs are writing.
      for (char& c : a.remark) {
        if ((static_cast<uint8_t>(c) < 32 && c != '\n' && c != '\t') || c == 127) c = ' ';
      }
    }
  } else {
    not_asked("remark");
  }
  a.response_ms = whole_number(body, "response_ms", 0, kLongestMs);
  a.viewed_ms = whole_number(body, "viewed_ms", 0, kLongestMs);
  return a;
}

Service::Service(const std::filesystem::path& study)
    : folder_(study), description_(Description::read(study)), store_(study / "study.db") {
  if (store_.key_sha256() != description_.key_sha256) {
    throw DataError("{}: it publishes the key {}, the database was made for {}; was it changed?",
                    (study / "study.json").string(), description_.key_sha256, store_.key_sha256());
  }
  if (const fs::path key = study / "key.json"; fs::exists(key)) {
    if (const std::string hash = sha256_file(key); hash != description_.key_sha256) {
      throw DataError("{}: its SHA-256 is {}, {} was published; was it changed?", key.string(), hash,
                      description_.key_sha256);
    }
  }
  for (const Reader& reader : store_.readers()) {
    for (const Presentation& p : store_.presentations(reader.id)) {
      if (images_.contains(p.image)) continue;
      const fs::path file = resolve_inside(folder_ / "images", p.image);
      auto bytes = std::make_shared<const std::string>(read_file(file, 64 << 20));
      if (bytes->size() != description_.image_bytes) {
        throw DataError("{}: it has {} bytes, every image of this study has {}; was it changed?", file.string(),
                        bytes->size(), description_.image_bytes);
      }
      images_.emplace(p.image, std::move(bytes));
    }
  }
}

Reader Service::reader_of(const Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string& header = request.header("authorization");
  const std::string code =
      header.starts_with(kScheme) ? normalised_code(std::string_view(header).substr(kScheme.size())) : "";
  if (!code.empty()) {
    // By its hash: how long the look-up takes tells nothing of a code that is nearly right.
    if (const std::optional<Reader> reader = store_.reader_by_code(sha256_hex(code))) return *reader;
  }
  const int64_t now = now_ms();
  const std::lock_guard lock(failures_mutex_);
  if (failures_.size() > kMostPeers) {
    std::erase_if(failures_, [&](const auto& entry) { return now - entry.second.since_ms > kFailureWindowMs; });
    if (failures_.size() > kMostPeers) failures_.clear();
  }
  Failures& failures = failures_[request.peer];
  if (now - failures.since_ms > kFailureWindowMs) failures = {0, now};
  if (++failures.count > kMostFailures) {
    HttpError error(429, "too_many_codes", "too many wrong codes from this address; wait a few minutes");
    error.retry_after(static_cast<int>((failures.since_ms + kFailureWindowMs - now) / 1000) + 1);
    throw error;
  }
  throw HttpError(401, "bad_code", "this is not a reader's code of this study; check it against your invitation");
}

Json Service::state_of(const Reader& reader) const {
  const std::vector<Presentation> all = store_.presentations(reader.id);
  const auto practice = static_cast<int64_t>(
      std::count_if(all.begin(), all.end(), [](const Presentation& p) { return p.kind == "practice"; }));
  const int64_t total = static_cast<int64_t>(all.size()) - practice, answered = store_.answered(reader.id);
  const std::optional<Presentation> current = store_.current(reader.id);
  Json state = {{"reader", reader.name},
                {"practice_total", practice},
                {"practice_done", std::min(answered, practice)},
                {"total", total},
                {"done", std::max<int64_t>(0, answered - practice)},
                {"finished", !current.has_value()},
                {"can_undo", description_.settings.viewing_ms == 0 && store_.can_withdraw(reader.id)},
                {"current", nullptr}};
  if (current) {
    state["current"] = {{"token", current->token},
                        {"image", "/v1/study/images/" + current->token},
                        {"practice", current->kind == "practice"},
                        {"views", store_.views(current->id)}};
  }
  return state;
}

Response Service::info() const {
  Json reasons = Json::array();
  for (const auto& [code, text] : mark_reasons()) reasons.push_back({{"code", code}, {"text", text}});
  return Response::json({{"title", description_.settings.title},
                         {"key_sha256", description_.key_sha256},
                         {"created", description_.created},
                         {"settings", description_.settings.to_json()},
                         {"conditions", description_.conditions},
                         {"reasons", reasons},
                         {"size_px", description_.size_px}});
}

Response Service::image(const Request& request) {
  const Reader reader = reader_of(request);
  const std::optional<Presentation> current = store_.current(reader.id);
  // Only what is to be judged now: nobody looks ahead, or back at what was answered.
  if (!current || current->token != request.param("token")) {
    throw HttpError(404, "not_now", "this image is not to be judged now; load the page again");
  }
  // Enough to know that it was seen more than once; more would only fill the disk.
  if (store_.views(current->id) < kMostViews) store_.note("viewed", reader.id, current->id);
  Response response;
  response.content_type = "image/jpeg";
  response.shared_body = images_.at(current->image);
  return response.with("Cache-Control", "no-store");
}

Response Service::answer(const Request& request) {
  const Reader reader = reader_of(request);
  const nlohmann::json body = request.json(6);
  if (!body.is_object()) throw HttpError(400, "bad_answer", "the answer: a JSON object is expected");
  const std::string token = text_field(body, "token", 64, "the token of an image");
  const Answer answer = parse_answer(body, description_);
  const std::optional<Presentation> presentation = store_.by_token(reader.id, token);
  if (!presentation) throw HttpError(404, "no_such_image", "this reader has no such image; load the page again");
  const Accepted accepted = store_.accept(reader.id, presentation->id, answer);
  if (accepted == Accepted::conflict) {
    throw HttpError(409, "not_now", "this image was answered already, or is not to be judged now; load the page again");
  }
  // From here on the answer is on the disk.
  Json reply = {{"accepted", true}, {"state", state_of(reader)}};
  if (const auto truth = description_.practice_sources.find(presentation->image);
      truth != description_.practice_sources.end()) {
    reply["practice_source"] = truth->second;
  }
  return Response::json(reply).with("Cache-Control", "no-store");
}

Response Service::undo(const Request& request) {
  const Reader reader = reader_of(request);
  if (description_.settings.viewing_ms != 0) {
    throw HttpError(409, "no_undo", "this study shows each image for a fixed time: an answer cannot be taken back");
  }
  const std::optional<Presentation> last = store_.last_answered(reader.id);
  if (!last || !store_.withdraw(reader.id, last->id)) {
    throw HttpError(409, "no_undo", "there is no answer to take back: only the last one can be, once");
  }
  return Response::json({{"state", state_of(reader)}}).with("Cache-Control", "no-store");
}

void Service::add_routes(http::Server& server) {
  const Page& files = page();
  for (const char* path : {"/", "/study"}) server.page(path, "text/html; charset=utf-8", std::string(files.html));
  server.page("/study/study.js", "text/javascript; charset=utf-8", std::string(files.script));
  server.page("/study/study.css", "text/css; charset=utf-8", std::string(files.style));
  http::RouteOptions open, with_body;
  open.open = true;
  with_body.open = true;
  with_body.max_body = kMostBody;
  with_body.body_type = "application/json";
  server.route(
      "GET", "/v1/study", [this](const Request&) { return info(); }, open);
  server.route(
      "GET", "/v1/study/state",
      [this](const Request& request) {
        const Reader reader = reader_of(request);
        store_.note("opened", reader.id, 0, true);
        return Response::json(state_of(reader)).with("Cache-Control", "no-store");
      },
      open);
  server.route(
      "GET", "/v1/study/images/{token}", [this](const Request& r) { return image(r); }, open);
  server.route(
      "POST", "/v1/study/answers", [this](const Request& r) { return answer(r); }, with_body);
  server.route(
      "POST", "/v1/study/undo", [this](const Request& r) { return undo(r); }, with_body);
}

}  // namespace derm::study
