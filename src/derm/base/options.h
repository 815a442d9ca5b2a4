#pragma once
// Strict options: a struct binds its fields by name once; TOML, --set, the resolved config.toml and the help come from
// that.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

namespace derm {

/// The named fields of one or several option structs. A struct offers `void bind(Options& o)`:
///
///     void bind(Options& o) { o.add("lr_generator", lr_generator, "Adam step size of the generator"); }
///
/// The bound variables must outlive the Options. Names are unique; sections are written "section.name".
class Options {
 public:
  using Target = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<std::string>*>;

  template <class T>
  void add(std::string name, T& target, std::string help) {
    add_target(section_.empty() ? std::move(name) : section_ + "." + name, Target(&target), std::move(help));
  }

  /// Binds `inner` under "name.": `o.section("recipe", options)`.
  template <class Bound>
  void section(const std::string& name, Bound& inner) {
    const std::string saved = section_;
    section_ = saved.empty() ? name : saved + "." + name;
    inner.bind(*this);
    section_ = saved;
  }

  /// Takes the values of a TOML file or text. Unknown keys, wrong types and out-of-range integers throw UsageError that
  /// names the source (`where`), the key, and for an unknown key the nearest known one.
  void read_toml_file(const std::filesystem::path& file);
  void read_toml(std::string_view text, const std::string& where);

  /// One `key=value` as given to --set; the value is TOML, and a bare word is taken as a string. A text option takes
  /// whatever stands there; a list may be written without brackets: `a,b,c`.
  void set(std::string_view assignment);

  /// All fields and their present values, sections as tables, each line with its help as a comment.
  std::string to_toml() const;

  /// The same as nested JSON, and back (strict as read_toml).
  nlohmann::json to_json() const;
  void read_json(const nlohmann::json& json, const std::string& where);

  std::vector<std::string> names() const;
  bool has(std::string_view name) const;

 private:
  struct Field {
    std::string name;
    Target target;
    std::string help;
  };
  using Values = std::vector<std::pair<std::string, nlohmann::json>>;
  void add_target(std::string name, Target target, std::string help);
  const Field* find(std::string_view name) const;
  bool is_section(std::string_view name) const;
  [[noreturn]] void refuse_unknown(const std::string& name, const std::string& where) const;
  void apply(const Values& values, const std::string& where);
  std::vector<Field> fields_;
  std::string section_;
};

}  // namespace derm
