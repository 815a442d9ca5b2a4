#include "derm/study/store.h"

#include <sqlite3.h>

#include "derm/base/error.h"
#include "derm/study/study.h"

namespace derm::study {
namespace {

constexpr const char* kFormat = "dermgan-study/1";
constexpr int kBusyMs = 10000;

constexpr const char* kSchema = R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE readers(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, grp TEXT NOT NULL, code_sha256 TEXT NOT NULL UNIQUE);
CREATE TABLE presentations(id INTEGER PRIMARY KEY, reader INTEGER NOT NULL REFERENCES readers(id), position INTEGER NOT NULL,
  token TEXT NOT NULL UNIQUE, image TEXT NOT NULL, kind TEXT NOT NULL, repeat INTEGER NOT NULL, UNIQUE(reader, position));
CREATE TABLE answers(id INTEGER PRIMARY KEY, presentation INTEGER NOT NULL REFERENCES presentations(id),
  answer_id TEXT NOT NULL, verdict TEXT NOT NULL CHECK(verdict IN ('real', 'synthetic')), confidence INTEGER NOT NULL,
  condition TEXT NOT NULL, realism INTEGER, artefacts INTEGER, marks TEXT NOT NULL, remark TEXT NOT NULL,
  response_ms INTEGER NOT NULL, viewed_ms INTEGER NOT NULL, views INTEGER NOT NULL, answered_at INTEGER NOT NULL,
  withdrawn_at INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX standing ON answers(presentation) WHERE withdrawn_at = 0;
CREATE TABLE events(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, reader INTEGER NOT NULL,
  presentation INTEGER NOT NULL);
CREATE INDEX event_of ON events(presentation, kind);
)sql";

}  // namespace

/// A prepared statement that ends with its scope.
struct Store::Statement {
  Statement(sqlite3* db, const std::string& where_file, const char* sql) : database(db), where(where_file) {
    if (sqlite3_prepare_v2(db, sql, -1, &handle, nullptr) != SQLITE_OK) fail();
  }
  ~Statement() { sqlite3_finalize(handle); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  [[noreturn]] void fail() const {
    throw DataError("{}: {}; is this a study's database, and is there room on the disk?", where,
                    sqlite3_errmsg(database));
  }
  Statement& bind(int64_t v) { return check(sqlite3_bind_int64(handle, ++at, v)); }
  Statement& bind(const std::string& v) {
    return check(sqlite3_bind_text(handle, ++at, v.data(), static_cast<int>(v.size()), SQLITE_TRANSIENT));
  }
  Statement& bind(const std::optional<int64_t>& v) { return v ? bind(*v) : check(sqlite3_bind_null(handle, ++at)); }
  Statement& check(int code) {
    if (code != SQLITE_OK) fail();
    return *this;
  }
  bool step() {
    const int code = sqlite3_step(handle);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    fail();
  }
  int64_t integer(int column) const { return sqlite3_column_int64(handle, column); }
  std::optional<int64_t> optional(int column) const {
    if (sqlite3_column_type(handle, column) == SQLITE_NULL) return std::nullopt;
    return integer(column);
  }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle, column));
    return bytes ? std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(handle, column))) : "";
  }
  sqlite3* database;
  const std::string& where;
  sqlite3_stmt* handle = nullptr;
  int at = 0;
};

namespace {

void execute(sqlite3* database, const std::string& where, const char* sql) {
  char* message = nullptr;
  if (sqlite3_exec(database, sql, nullptr, nullptr, &message) == SQLITE_OK) return;
  const std::string text = message ? message : sqlite3_errmsg(database);
  sqlite3_free(message);
  throw DataError("{}: {}", where, text);
}

sqlite3* open_database(const std::filesystem::path& file, int flags) {
  sqlite3* database = nullptr;
  if (sqlite3_open_v2(file.c_str(), &database, flags | SQLITE_OPEN_FULLMUTEX, nullptr) != SQLITE_OK) {
    const std::string reason = database ? sqlite3_errmsg(database) : "out of memory";
    sqlite3_close(database);
    throw DataError("{}: {}; the folder of a study is expected (dermgan study new makes one)", file.string(), reason);
  }
  sqlite3_busy_timeout(database, kBusyMs);
  return database;
}

/// Durable before a commit returns: the write-ahead log is flushed each time (FULL), not only at checkpoints.
constexpr const char* kDurable = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON";

/// A transaction that is rolled back unless committed. IMMEDIATE: what is read in it still holds when it writes.
class Transaction {
 public:
  Transaction(sqlite3* database, const std::string& where) : database_(database), where_(where) {
    execute(database_, where_, "BEGIN IMMEDIATE");
  }
  ~Transaction() {
    if (!done_) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    execute(database_, where_, "COMMIT");
    done_ = true;
  }

 private:
  sqlite3* database_;
  const std::string& where_;
  bool done_ = false;
};

}  // namespace

void Store::create(const std::filesystem::path& file, const std::string& key_sha256, const std::vector<Reader>& readers,
                   const std::vector<std::string>& code_sha256,
                   const std::vector<std::vector<Presentation>>& presentations) {
  if (readers.size() != code_sha256.size() || readers.size() != presentations.size()) {
    throw UsageError("Store::create: {} readers, {} codes, {} orders; as many are expected", readers.size(),
                     code_sha256.size(), presentations.size());
  }
  const std::string where = file.string();
  sqlite3* database = open_database(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  try {
    execute(database, where, kDurable);
    Transaction transaction(database, where);
    execute(database, where, kSchema);
    for (const auto& [name, value] :
         {std::pair<std::string, std::string>{"format", kFormat}, {"key_sha256", key_sha256}}) {
      Statement(database, where, "INSERT INTO meta VALUES(?, ?)").bind(name).bind(value).step();
    }
    for (size_t r = 0; r < readers.size(); ++r) {
      const auto id = static_cast<int64_t>(r) + 1;
      Statement(database, where, "INSERT INTO readers VALUES(?, ?, ?, ?)")
          .bind(id)
          .bind(readers[r].name)
          .bind(readers[r].group)
          .bind(code_sha256[r])
          .step();
      for (size_t i = 0; i < presentations[r].size(); ++i) {
        const Presentation& p = presentations[r][i];
        Statement(database, where,
                  "INSERT INTO presentations(reader, position, token, image, kind, repeat) VALUES(?, ?, ?, ?, ?, ?)")
            .bind(id)
            .bind(static_cast<int64_t>(i))
            .bind(p.token)
            .bind(p.image)
            .bind(p.kind)
            .bind(int64_t{p.repeat})
            .step();
      }
    }
    transaction.commit();
  } catch (...) {
    sqlite3_close(database);
    throw;
  }
  sqlite3_close(database);
}

Store::Store(const std::filesystem::path& file) : where_(file.string()) {
  database_ = open_database(file, SQLITE_OPEN_READWRITE);
  try {
    execute(database_, where_, kDurable);
    Statement format(database_, where_, "SELECT value FROM meta WHERE name = 'format'");
    if (!format.step() || format.text(0) != kFormat) {
      throw DataError("{}: its format is \"{}\", {} is expected; was it made by another version?", where_,
                      format.text(0), kFormat);
    }
  } catch (...) {
    sqlite3_close(database_);
    throw;
  }
}

Store::~Store() { sqlite3_close(database_); }

std::string Store::key_sha256() const {
  const std::lock_guard lock(mutex_);
  Statement s(database_, where_, "SELECT value FROM meta WHERE name = 'key_sha256'");
  return s.step() ? s.text(0) : "";
}

std::optional<Reader> Store::reader_by_code(const std::string& code_sha256) const {
  const std::lock_guard lock(mutex_);
  Statement s(database_, where_, "SELECT id, name, grp FROM readers WHERE code_sha256 = ?");
  s.bind(code_sha256);
  if (!s.step()) return std::nullopt;
  return Reader{s.integer(0), s.text(1), s.text(2)};
}

std::vector<Reader> Store::readers() const {
  const std::lock_guard lock(mutex_);
  Statement s(database_, where_, "SELECT id, name, grp FROM readers ORDER BY id");
  std::vector<Reader> all;
  while (s.step()) all.push_back({s.integer(0), s.text(1), s.text(2)});
  return all;
}

namespace {

constexpr const char* kColumns = "p.id, p.position, p.token, p.image, p.kind, p.repeat";

template <class S>
Presentation presentation_of(const S& s) {
  return {s.integer(0), s.integer(1), s.text(2), s.text(3), s.text(4), s.integer(5) != 0};
}

const std::string kStanding = "EXISTS(SELECT 1 FROM answers a WHERE a.presentation = p.id AND a.withdrawn_at = 0)";

}  // namespace

std::vector<Presentation> Store::presentations(int64_t reader) const {
  const std::lock_guard lock(mutex_);
  const std::string sql =
      std::string("SELECT ") + kColumns + " FROM presentations p WHERE reader = ? ORDER BY position";
  Statement s(database_, where_, sql.c_str());
  s.bind(reader);
  std::vector<Presentation> all;
  while (s.step()) all.push_back(presentation_of(s));
  return all;
}

int64_t Store::answered(int64_t reader) const {
  const std::lock_guard lock(mutex_);
  const std::string sql = "SELECT count(*) FROM presentations p WHERE reader = ? AND " + kStanding;
  Statement s(database_, where_, sql.c_str());
  s.bind(reader).step();
  return s.integer(0);
}

std::optional<Presentation> Store::current(int64_t reader) const {
  const std::lock_guard lock(mutex_);
  const std::string sql = std::string("SELECT ") + kColumns + " FROM presentations p WHERE reader = ? AND NOT " +
                          kStanding + " ORDER BY position LIMIT 1";
  Statement s(database_, where_, sql.c_str());
  s.bind(reader);
  if (!s.step()) return std::nullopt;
  return presentation_of(s);
}

std::optional<Presentation> Store::by_token(int64_t reader, const std::string& token) const {
  const std::lock_guard lock(mutex_);
  const std::string sql = std::string("SELECT ") + kColumns + " FROM presentations p WHERE reader = ? AND token = ?";
  Statement s(database_, where_, sql.c_str());
  s.bind(reader).bind(token);
  if (!s.step()) return std::nullopt;
  return presentation_of(s);
}

std::optional<Presentation> Store::last_answered(int64_t reader) const {
  const std::lock_guard lock(mutex_);
  const std::string sql = std::string("SELECT ") + kColumns + " FROM presentations p WHERE reader = ? AND " +
                          kStanding + " ORDER BY position DESC LIMIT 1";
  Statement s(database_, where_, sql.c_str());
  s.bind(reader);
  if (!s.step()) return std::nullopt;
  return presentation_of(s);
}

int64_t Store::views(int64_t presentation) const {
  const std::lock_guard lock(mutex_);
  Statement s(database_, where_, "SELECT count(*) FROM events WHERE presentation = ? AND kind = 'viewed'");
  s.bind(presentation).step();
  return s.integer(0);
}

Accepted Store::accept(int64_t reader, int64_t presentation, const Answer& a) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(database_, where_);
  {
    Statement s(database_, where_, "SELECT answer_id FROM answers WHERE presentation = ? AND withdrawn_at = 0");
    s.bind(presentation);
    if (s.step()) return s.text(0) == a.id ? Accepted::already : Accepted::conflict;
  }
  {
    const std::string sql =
        "SELECT p.id FROM presentations p WHERE reader = ? AND NOT " + kStanding + " ORDER BY position LIMIT 1";
    Statement s(database_, where_, sql.c_str());
    s.bind(reader);
    if (!s.step() || s.integer(0) != presentation) return Accepted::conflict;
  }
  int64_t views = 0;
  {
    Statement s(database_, where_, "SELECT count(*) FROM events WHERE presentation = ? AND kind = 'viewed'");
    s.bind(presentation).step();
    views = s.integer(0);
  }
  Statement(
      database_, where_,
      "INSERT INTO answers(presentation, answer_id, verdict, confidence, condition, realism, artefacts, marks, remark, "
      "response_ms, viewed_ms, views, answered_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(presentation)
      .bind(a.id)
      .bind(a.verdict)
      .bind(a.confidence)
      .bind(a.condition)
      .bind(a.realism)
      .bind(a.artefacts)
      .bind(a.marks)
      .bind(a.remark)
      .bind(a.response_ms)
      .bind(a.viewed_ms)
      .bind(views)
      .bind(now_ms())
      .step();
  transaction.commit();
  return Accepted::stored;
}

int64_t Store::withdrawable(int64_t reader) const {
  // The last showing with an answer that stands, if that came after whatever was taken back before.
  Statement s(database_, where_,
              "SELECT p.id, a.id, (SELECT coalesce(max(w.id), 0) FROM answers w JOIN presentations q ON q.id = "
              "w.presentation WHERE q.reader = p.reader AND w.withdrawn_at > 0) FROM presentations p JOIN answers a ON "
              "a.presentation = p.id "
              "AND a.withdrawn_at = 0 WHERE p.reader = ? ORDER BY p.position DESC LIMIT 1");
  s.bind(reader);
  return s.step() && s.integer(1) > s.integer(2) ? s.integer(0) : 0;
}

bool Store::can_withdraw(int64_t reader) const {
  const std::lock_guard lock(mutex_);
  return withdrawable(reader) != 0;
}

bool Store::withdraw(int64_t reader, int64_t presentation) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(database_, where_);
  if (withdrawable(reader) != presentation || presentation == 0) return false;
  Statement(database_, where_, "UPDATE answers SET withdrawn_at = ? WHERE presentation = ? AND withdrawn_at = 0")
      .bind(now_ms())
      .bind(presentation)
      .step();
  transaction.commit();
  return true;
}

void Store::note(const std::string& kind, int64_t reader, int64_t presentation, bool once) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(database_, where_);
  if (once) {
    Statement s(database_, where_, "SELECT 1 FROM events WHERE kind = ? AND reader = ? AND presentation = ?");
    s.bind(kind).bind(reader).bind(presentation);
    if (s.step()) return;
  }
  Statement(database_, where_, "INSERT INTO events(at, kind, reader, presentation) VALUES(?, ?, ?, ?)")
      .bind(now_ms())
      .bind(kind)
      .bind(reader)
      .bind(presentation)
      .step();
  transaction.commit();
}

std::vector<StoredAnswer> Store::answers() const {
  const std::lock_guard lock(mutex_);
  Statement s(
      database_, where_,
      "SELECT a.presentation, p.reader, a.answer_id, a.verdict, a.confidence, a.condition, a.realism, a.artefacts, "
      "a.marks, a.remark, a.response_ms, a.viewed_ms, a.views, a.answered_at, a.withdrawn_at FROM answers a JOIN "
      "presentations p ON p.id = a.presentation ORDER BY a.id");
  std::vector<StoredAnswer> all;
  while (s.step()) {
    StoredAnswer row;
    row.presentation = s.integer(0);
    row.reader = s.integer(1);
    row.answer = {s.text(2),     s.text(3), s.integer(4), s.text(5),     s.optional(6),
                  s.optional(7), s.text(8), s.text(9),    s.integer(10), s.integer(11)};
    row.views = s.integer(12);
    row.answered_at = s.integer(13);
    row.withdrawn_at = s.integer(14);
    all.push_back(std::move(row));
  }
  return all;
}

int64_t Store::unsealed_at() const {
  const std::lock_guard lock(mutex_);
  Statement s(database_, where_, "SELECT min(at) FROM events WHERE kind = 'unsealed'");
  return s.step() ? s.integer(0) : 0;
}

}  // namespace derm::study
