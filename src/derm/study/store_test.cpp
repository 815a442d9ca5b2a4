#include "derm/study/store.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "derm/base/error.h"
#include "derm/base/files.h"

namespace derm::study {
namespace {

/// A store of two readers with three showings each, in a folder that goes away.
class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    folder_ = fs::temp_directory_path() / ("derm-store-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    make(3);
  }
  ~StoreTest() override { fs::remove_all(folder_); }
  void make(int showings) {
    for (const char* name : {"study.db", "study.db-wal", "study.db-shm"}) fs::remove(folder_ / name);
    std::vector<std::vector<Presentation>> orders(2);
    for (int r = 0; r < 2; ++r) {
      for (int i = 0; i < showings; ++i) {
        const std::string id = std::to_string(r) + "-" + std::to_string(i);
        orders[static_cast<size_t>(r)].push_back({0, 0, "token" + id, "image" + id + ".jpg", "anchor", false});
      }
    }
    Store::create(file(), "abc", {{0, "reader-01", "lay"}, {0, "reader-02", "lay"}}, {"code1", "code2"}, orders);
  }
  fs::path file() const { return folder_ / "study.db"; }
  static Answer answer(const std::string& id, const std::string& verdict = "real") {
    Answer a;
    a.id = id;
    a.verdict = verdict;
    a.confidence = 3;
    a.remark = "a remark; with 'quotes'";
    return a;
  }
  fs::path folder_;
};

TEST_F(StoreTest, GoesThroughTheShowingsInTheirOrder) {
  Store store(file());
  const auto reader = store.reader_by_code("code2");
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->name, "reader-02");
  EXPECT_FALSE(store.reader_by_code("code3"));
  for (int i = 0; i < 3; ++i) {
    const auto current = store.current(reader->id);
    ASSERT_TRUE(current);
    EXPECT_EQ(current->token, "token1-" + std::to_string(i));
    EXPECT_EQ(store.accept(reader->id, current->id, answer("a" + std::to_string(i))), Accepted::stored);
  }
  EXPECT_FALSE(store.current(reader->id));
  EXPECT_EQ(store.answered(reader->id), 3);
  EXPECT_EQ(store.answered(1), 0);
  EXPECT_EQ(store.answers().front().answer.remark, "a remark; with 'quotes'");
}

TEST_F(StoreTest, AnAnswerSentTwiceCountsOnceAndAnotherOneIsAConflict) {
  Store store(file());
  const int64_t id = store.current(1)->id;
  EXPECT_EQ(store.accept(1, id, answer("a")), Accepted::stored);
  EXPECT_EQ(store.accept(1, id, answer("a")), Accepted::already);
  EXPECT_EQ(store.accept(1, id, answer("b", "synthetic")), Accepted::conflict);
  EXPECT_EQ(store.answers().size(), 1u);
  // Not the turn of the third showing, nor of another reader's.
  EXPECT_EQ(store.accept(1, id + 2, answer("c")), Accepted::conflict);
  EXPECT_EQ(store.accept(1, store.current(2)->id, answer("c")), Accepted::conflict);
}

TEST_F(StoreTest, TakesBackOneAnswerAndKeepsTheRow) {
  Store store(file());
  const int64_t first = store.current(1)->id;
  EXPECT_FALSE(store.can_withdraw(1));
  store.accept(1, first, answer("a"));
  const int64_t second = store.current(1)->id;
  store.accept(1, second, answer("b"));
  EXPECT_TRUE(store.can_withdraw(1));
  EXPECT_FALSE(store.withdraw(1, first)) << "only the last one";
  EXPECT_TRUE(store.withdraw(1, second));
  EXPECT_EQ(store.current(1)->id, second);
  EXPECT_FALSE(store.can_withdraw(1)) << "one step";
  EXPECT_FALSE(store.withdraw(1, first));
  EXPECT_EQ(store.accept(1, second, answer("c", "synthetic")), Accepted::stored);
  EXPECT_TRUE(store.can_withdraw(1));
  const auto rows = store.answers();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_GT(rows[1].withdrawn_at, 0);
  EXPECT_EQ(rows[2].withdrawn_at, 0);
  EXPECT_EQ(store.answered(1), 2);
}

TEST_F(StoreTest, CountsViewsAndNotesOnce) {
  Store store(file());
  const int64_t id = store.current(1)->id;
  store.note("viewed", 1, id);
  store.note("viewed", 1, id);
  EXPECT_EQ(store.views(id), 2);
  store.accept(1, id, answer("a"));
  EXPECT_EQ(store.answers().front().views, 2);
  EXPECT_EQ(store.unsealed_at(), 0);
  store.note("unsealed", 0, 0, true);
  const int64_t at = store.unsealed_at();
  EXPECT_GT(at, 0);
  store.note("unsealed", 0, 0, true);
  EXPECT_EQ(store.unsealed_at(), at);
}

TEST_F(StoreTest, ThreadsThatAnswerTheSameShowingStoreOneAnswer) {
  Store store(file());
  const int64_t id = store.current(1)->id;
  std::atomic<int> stored{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back(
          [&, t] { stored += store.accept(1, id, answer("x" + std::to_string(t))) == Accepted::stored; });
    }
  }
  EXPECT_EQ(stored, 1);
  EXPECT_EQ(store.answers().size(), 1u);
}

TEST_F(StoreTest, KilledAtAnyMomentItHasLostNoAcceptedAnswer) {
  // A child accepts answers and says so through a pipe after each; it is killed in the middle, several times.
  make(2000);
  std::set<std::string> acknowledged;
  for (int round = 0; round < 4; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Store store(file());
      for (int i = 0;; ++i) {
        const std::string id = std::to_string(round) + ":" + std::to_string(i) + "\n";
        const auto current = store.current(1);
        if (!current || store.accept(1, current->id, answer(id)) != Accepted::stored) ::_exit(1);
        if (::write(pipe_ends[1], id.data(), id.size()) < 0) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + 37 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::string told;
    char buffer[4096];
    for (ssize_t got; (got = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
      told.append(buffer, static_cast<size_t>(got));
    ::close(pipe_ends[0]);
    for (size_t at = 0, end; (end = told.find('\n', at)) != std::string::npos; at = end + 1) {
      acknowledged.insert(told.substr(at, end + 1 - at));
    }
  }
  EXPECT_GT(acknowledged.size(), 4u);
  std::set<std::string> kept;
  for (const StoredAnswer& row : Store(file()).answers()) kept.insert(row.answer.id);
  for (const std::string& id : acknowledged) EXPECT_TRUE(kept.contains(id)) << id;
  EXPECT_LE(kept.size(), acknowledged.size() + 4);  // at most one a round was stored and not yet told
}

TEST_F(StoreTest, RefusesAnotherFile) {
  write_file(folder_ / "text.db", "this is no database, but long enough to be taken for one by its first bytes ......");
  EXPECT_THROW(Store(folder_ / "text.db"), DataError);
  EXPECT_THROW(Store(folder_ / "nothing.db"), DataError);
}

}  // namespace
}  // namespace derm::study
