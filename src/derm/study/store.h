#pragma once
// Answers in SQLite: in the write-ahead log and on the disk before anybody is told that they are accepted.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

struct sqlite3;

namespace derm::study {

struct Reader {
  int64_t id = 0;
  std::string name, group;
};

/// One showing of an image to a reader.
struct Presentation {
  int64_t id = 0;
  int64_t position = 0;  ///< from 0, practice first
  std::string token;     ///< what the reader's browser calls it: random, of this showing alone
  std::string image;     ///< file below images/
  std::string kind;      ///< practice, anchor, block
  bool repeat = false;
};

struct Answer {
  std::string id;       ///< of the browser, so that an answer sent twice counts once
  std::string verdict;  ///< "real" or "synthetic"
  int64_t confidence = 0;
  std::string condition;  ///< "" if it was not asked, "unsure" if they cannot tell
  std::optional<int64_t> realism, artefacts;
  std::string marks = "[]";  ///< JSON: [{"reason", "x", "y", "w", "h"}], fractions of the side; no box: the whole image
  std::string remark;
  int64_t response_ms = 0;  ///< from the image's appearance to the answer, by the browser's clock
  int64_t viewed_ms = 0;    ///< how long the image could be seen
  bool operator==(const Answer&) const = default;
};

struct StoredAnswer {
  int64_t presentation = 0, reader = 0;
  Answer answer;
  int64_t views = 0;         ///< how often the image was fetched before the answer: 1, or more after a closed tab
  int64_t answered_at = 0;   ///< ms since 1970, by the server's clock
  int64_t withdrawn_at = 0;  ///< 0: it stands
};

enum class Accepted { stored, already, conflict };

/// The study's database. One object may be used by many threads; two processes may open it (a server and a report).
class Store {
 public:
  /// A new one. @throws DataError
  static void create(const std::filesystem::path& file, const std::string& key_sha256,
                     const std::vector<Reader>& readers, const std::vector<std::string>& code_sha256,
                     const std::vector<std::vector<Presentation>>& presentations);
  /// @throws DataError: not a study's database, another version
  explicit Store(const std::filesystem::path& file);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  std::string key_sha256() const;
  std::optional<Reader> reader_by_code(const std::string& code_sha256) const;
  std::vector<Reader> readers() const;
  std::vector<Presentation> presentations(int64_t reader) const;

  /// Of a reader: how many showings have an answer that stands, and the first that has none.
  int64_t answered(int64_t reader) const;
  std::optional<Presentation> current(int64_t reader) const;
  std::optional<Presentation> by_token(int64_t reader, const std::string& token) const;
  std::optional<Presentation> last_answered(int64_t reader) const;
  int64_t views(int64_t presentation) const;
  bool can_withdraw(int64_t reader) const;

  /// Stores an answer to the reader's current showing; on return it is on the disk. `already`: this very answer (its
  /// id) stands for this showing. `conflict`: another one does, or it is not this showing's turn.
  Accepted accept(int64_t reader, int64_t presentation, const Answer& answer);
  /// Takes back the answer to the reader's last answered showing; the row stays, with the time. One step only: false if
  /// nothing was answered since the last time, or this is not the last answered showing.
  bool withdraw(int64_t reader, int64_t presentation);
  /// Notes an event: "opened", "viewed", "unsealed" ... On the disk on return. `once`: nothing if it is there already.
  void note(const std::string& kind, int64_t reader = 0, int64_t presentation = 0, bool once = false);

  std::vector<StoredAnswer> answers() const;  ///< all, withdrawn ones too, in the order in which they came
  /// When the key was first opened by `report`; 0: not yet.
  int64_t unsealed_at() const;

 private:
  struct Statement;
  int64_t withdrawable(int64_t reader) const;  ///< a showing's id; 0: none. Under the lock
  sqlite3* database_ = nullptr;
  mutable std::mutex mutex_;
  std::string where_;
};

}  // namespace derm::study
