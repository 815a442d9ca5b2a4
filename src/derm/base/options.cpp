#include "derm/base/options.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <toml++/toml.h>

#include "derm/base/csv.h"
#include "derm/base/error.h"
#include "derm/base/files.h"
#include "derm/base/suggest.h"
#include "derm/base/text.h"

namespace derm {

namespace {

using nlohmann::json;

constexpr uint64_t kMaxTomlBytes = uint64_t{4} << 20;
constexpr int kMaxKeyParts = 32;

/// Longest chain of `a.b.c` keys. The parser makes a table in a table for each part and takes them down one inside the
/// other, so a chain of a hundred thousand would overflow the stack.
int longest_key_chain(std::string_view text) {
  int longest = 0, chain = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '"' || c == '\'') {
      const std::string mark = text.substr(i, 3) == std::string(3, c) ? std::string(3, c) : std::string(1, c);
      for (i += mark.size(); i < text.size() && text.substr(i, mark.size()) != mark; ++i) {
        if (text[i] == '\n' && mark.size() == 1) break;  // never closed: the parser will say so
        if (text[i] == '\\' && c == '"') ++i;
      }
      i += mark.size();
      // Up to two quotation marks more belong to the text of a string over several lines.
      for (int more = 0; mark.size() == 3 && more < 2 && i < text.size() && text[i] == c; ++more) ++i;
    } else {
      if (c == '.') {
        longest = std::max(longest, ++chain);
      } else if (c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}' || c == '\n') {
        chain = 0;
      }
      ++i;
    }
  }
  return longest + 1;
}

toml::table parse_toml(std::string_view text, const std::string& where) {
  if (text.size() > kMaxTomlBytes)
    throw UsageError("{}: over {} bytes; check that this is an options file", where, kMaxTomlBytes);
  if (longest_key_chain(text) > kMaxKeyParts) {
    throw UsageError("{}: a key has over {} parts; options have a section and a name", where, kMaxKeyParts);
  }
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    throw UsageError("{}: line {}, column {}: not valid TOML: {}", where, at.line, at.column, error.description());
  }
}

/// What stands behind one key as JSON; tables inside become {} (no option takes one), so this does not go deep.
json leaf(const toml::node& node, const std::string& name, const std::string& where) {
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* array = node.as_array()) {
    json list = json::array();
    for (const toml::node& element : *array)
      list.push_back(element.is_array() ? json::array() : leaf(element, name, where));
    return list;
  }
  if (node.is_table()) return json::object();
  throw UsageError("{}: {} is a date or a time, which no option takes; put it in quotation marks if a text is meant",
                   where, quote_text(name));
}

std::string shown(const json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return number_text(value.get<double>());
  if (value.is_string()) return quote_text(value.get_ref<const std::string&>());
  if (value.is_object()) return "a table";
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return text;
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

std::string toml_key(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '_' || c == '-';
  });
  return bare ? key : toml_string(key);
}

std::string toml_path(const std::string& section) {
  std::string out;
  for (size_t start = 0;;) {
    const size_t dot = section.find('.', start);
    out += toml_key(section.substr(start, dot - start));
    if (dot == std::string::npos) return out;
    out += '.';
    start = dot + 1;
  }
}

std::string toml_number(double value) {
  std::string text = number_text(value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // so that one sees that it may have a fraction
  return text;
}

std::string written(bool value) { return value ? "true" : "false"; }
std::string written(int64_t value) { return std::to_string(value); }
std::string written(double value) { return toml_number(value); }
std::string written(const std::string& value) { return toml_string(value); }
template <class T>
std::string written(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) out += (out.size() > 1 ? ", " : "") + written(value);
  return out + "]";
}

std::string toml_value(const Options::Target& target) {
  return std::visit([](const auto* value) { return written(*value); }, target);
}

/// Values that neither file format can carry do not get this far from a file, but a program may have set them.
void check_value(const std::string& name, const Options::Target& target) {
  const auto text = [&](const std::string& value) {
    if (find_non_utf8(value) != std::string::npos)
      throw UsageError("{} is {}, which is not UTF-8; use another name", quote_text(name), quote_text(value));
  };
  if (const auto* number = std::get_if<double*>(&target); number != nullptr && !std::isfinite(**number)) {
    throw UsageError("{} is {}, a finite number is expected", quote_text(name), number_text(**number));
  }
  if (const auto* value = std::get_if<std::string*>(&target)) text(**value);
  if (const auto* values = std::get_if<std::vector<std::string>*>(&target))
    std::for_each((*values)->begin(), (*values)->end(), text);
}

std::string expected(const Options::Target& target) {
  struct Words {
    std::string operator()(const bool*) const { return "true or false"; }
    std::string operator()(const int64_t*) const { return "a whole number"; }
    std::string operator()(const double*) const { return "a number"; }
    std::string operator()(const std::string*) const { return "a text"; }
    std::string operator()(const std::vector<int64_t>*) const { return "a list of whole numbers"; }
    std::string operator()(const std::vector<std::string>*) const { return "a list of texts"; }
  };
  return std::visit(Words{}, target);
}

bool convert(const json& value, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}

bool convert(const json& value, int64_t& out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return false;
  out = value.get<int64_t>();
  return true;
}

bool convert(const json& value, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return std::isfinite(out);
}

bool convert(const json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get<std::string>();
  return find_non_utf8(out) == std::string::npos;
}

template <class T>
bool convert(const json& value, std::vector<T>& out) {
  if (!value.is_array()) return false;
  out.resize(value.size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (!convert(value[i], out[i])) return false;
  }
  return true;
}

std::string_view stripped(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// "a, b" as a list of texts; an empty text is an empty list.
json words(std::string_view text) {
  json list = json::array();
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    list.push_back(std::string(stripped(text.substr(0, comma))));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

}  // namespace

void Options::add_target(std::string name, Target target, std::string help) {
  for (const Field& field : fields_) {
    if (field.name == name || field.name.starts_with(name + ".") || name.starts_with(field.name + ".")) {
      throw std::logic_error("option " + quote_text(name) + " is bound twice, or is a section too");
    }
  }
  fields_.push_back({std::move(name), target, std::move(help)});
}

const Options::Field* Options::find(std::string_view name) const {
  const auto at = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name == name; });
  return at == fields_.end() ? nullptr : &*at;
}

bool Options::is_section(std::string_view name) const {
  const std::string prefix = std::string(name) + ".";
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const Field& field) { return field.name.starts_with(prefix); });
}

void Options::refuse_unknown(const std::string& name, const std::string& where) const {
  const std::vector<std::string> known = names();
  std::string hint = did_you_mean(name, known);
  if (nearest_name(name, known).empty()) {
    // The name may be right and its section missing or wrong.
    std::vector<std::string> last_parts;
    for (const std::string& full : known) last_parts.push_back(full.substr(full.rfind('.') + 1));
    const std::string near = nearest_name(name.substr(name.rfind('.') + 1), last_parts);
    const auto at = std::find(last_parts.begin(), last_parts.end(), near);
    if (!near.empty()) hint = "; did you mean " + quote_text(known[static_cast<size_t>(at - last_parts.begin())]) + "?";
  }
  throw UsageError("{}: {} is not an option{}", where, quote_text(name), hint);
}

void Options::apply(const Values& values, const std::string& where) {
  // All are converted before the first is taken over: a file with a mistake changes nothing.
  std::vector<std::function<void()>> assignments;
  for (const auto& [name, value] : values) {
    const Field* field = find(name);
    if (field == nullptr && is_section(name)) {
      throw UsageError("{}: {} is {}, but it is a section; write a table, or an option with its name as \"{}.NAME\"",
                       where, quote_text(name), shown(value), name);
    }
    if (field == nullptr) refuse_unknown(name, where);
    std::visit(
        [&](auto* target) {
          auto converted = *target;
          if (!convert(value, converted)) {
            throw UsageError("{}: {} is {}, {} is expected (now: {})", where, quote_text(name), shown(value),
                             expected(field->target), toml_value(field->target));
          }
          assignments.emplace_back([target, converted = std::move(converted)] { *target = converted; });
        },
        field->target);
  }
  for (const auto& assign : assignments) assign();
}

void Options::read_toml_file(const std::filesystem::path& file) {
  std::error_code code;
  if (!std::filesystem::exists(file, code)) throw UsageError("{}: there is no such options file", file.string());
  read_toml(read_file(file, kMaxTomlBytes), file.string());
}

void Options::read_toml(std::string_view text, const std::string& where) {
  const toml::table table = parse_toml(text, where);
  Values values;
  // Only known sections are entered, so this is as deep as the options are.
  const auto collect = [&](const auto& self, const toml::table& level, const std::string& prefix) -> void {
    for (const auto& [key, node] : level) {
      const std::string name = prefix + std::string(key.str());
      // A dot inside a key (it was quoted) is not the dot between section and name.
      if (key.str().find('.') != std::string_view::npos) refuse_unknown(name, where);
      if (node.is_table() && is_section(name)) {
        self(self, *node.as_table(), name + ".");
      } else if (find(name) == nullptr && !is_section(name)) {
        refuse_unknown(name, where);
      } else {
        values.emplace_back(name, leaf(node, name, where));
      }
    }
  };
  collect(collect, table, "");
  apply(values, where);
}

void Options::read_json(const nlohmann::json& document, const std::string& where) {
  if (!document.is_object())
    throw UsageError("{}: {} where an object with options is expected", where, shown(document));
  Values values;
  const auto collect = [&](const auto& self, const json& level, const std::string& prefix) -> void {
    for (const auto& [key, value] : level.items()) {
      const std::string name = prefix + key;
      if (key.find('.') != std::string::npos) refuse_unknown(name, where);
      if (value.is_object() && is_section(name)) {
        self(self, value, name + ".");
      } else {
        values.emplace_back(name, value);
      }
    }
  };
  collect(collect, document, "");
  apply(values, where);
}

void Options::set(std::string_view assignment) {
  const std::string shown_assignment = quote_text(assignment, 60);
  const std::string where = "--set " + shown_assignment.substr(1, shown_assignment.size() - 2);
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || stripped(assignment.substr(0, equals)).empty()) {
    throw UsageError("{}: an option's name and its value are expected, as in --set {}=VALUE", where,
                     fields_.empty() ? "name" : fields_.front().name);
  }
  const std::string name(stripped(assignment.substr(0, equals)));
  const std::string text(stripped(assignment.substr(equals + 1)));
  const Field* field = find(name);
  if (field == nullptr) {
    if (is_section(name))
      throw UsageError("{}: {} is a section; name one of its options, as \"{}.NAME\"", where, quote_text(name), name);
    refuse_unknown(name, where);
  }

  // One TOML value, or nothing: a line break in it could smuggle in a second key.
  const auto as_toml = [&](const std::string& value) -> json {
    if (value.find_first_of("\r\n") != std::string::npos) return json(json::value_t::discarded);
    try {
      const toml::table table = parse_toml("value = " + value, where);
      const toml::node* node = table.get("value");
      return node != nullptr && table.size() == 1 ? leaf(*node, name, where) : json(json::value_t::discarded);
    } catch (const UsageError&) {
      return json(json::value_t::discarded);
    }
  };
  json value = as_toml(text);
  if (std::holds_alternative<std::string*>(field->target)) {
    if (!value.is_string()) value = text;  // a text may look like a number, a date or a list
  } else if (std::holds_alternative<std::vector<std::string>*>(field->target)) {
    if (!value.is_array()) value = words(value.is_string() ? value.get<std::string>() : text);
  } else if (std::holds_alternative<std::vector<int64_t>*>(field->target) && !value.is_array()) {
    value = as_toml("[" + text + "]");
  }
  if (value.is_discarded()) value = text;
  apply({{name, value}}, where);
}

std::string Options::to_toml() const {
  std::vector<std::string> sections;
  for (const Field& field : fields_) {
    check_value(field.name, field.target);
    const size_t dot = field.name.rfind('.');
    std::string section = dot == std::string::npos ? "" : field.name.substr(0, dot);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) sections.push_back(std::move(section));
  }
  // What stands before the first table header belongs to no section, so it has to come first.
  std::stable_partition(sections.begin(), sections.end(), [](const std::string& section) { return section.empty(); });
  std::string out;
  for (const std::string& section : sections) {
    if (!section.empty()) out += (out.empty() ? "[" : "\n[") + toml_path(section) + "]\n";
    for (const Field& field : fields_) {
      const size_t dot = field.name.rfind('.');
      if ((dot == std::string::npos ? "" : field.name.substr(0, dot)) != section) continue;
      std::string help = field.help;
      for (char& c : help) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
      out += toml_key(field.name.substr(dot == std::string::npos ? 0 : dot + 1)) + " = " + toml_value(field.target);
      out += (help.empty() ? "" : "  # " + help) + "\n";
    }
  }
  return out;
}

nlohmann::json Options::to_json() const {
  json document = json::object();
  for (const Field& field : fields_) {
    check_value(field.name, field.target);
    json* level = &document;
    size_t start = 0;
    for (size_t dot; (dot = field.name.find('.', start)) != std::string::npos; start = dot + 1) {
      level = &(*level)[field.name.substr(start, dot - start)];
    }
    std::visit([&](const auto* target) { (*level)[field.name.substr(start)] = *target; }, field.target);
  }
  return document;
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> out;
  for (const Field& field : fields_) out.push_back(field.name);
  return out;
}

bool Options::has(std::string_view name) const { return find(name) != nullptr; }

}  // namespace derm
