#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "derm/base/csv.h"
#include "derm/base/files.h"

namespace derm::e2e {

std::string Answer::last_line() const {
  std::string text = out;
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

Process::Process(const std::vector<std::string>& command, const fs::path& directory) {
  static std::atomic<int> count = 0;
  const std::string name = ".output-" + std::to_string(count++);
  out_ = directory / (name + ".out");
  err_ = directory / (name + ".err");
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int out = ::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err = ::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (out < 0 || err < 0 || ::chdir(directory.c_str()) != 0) ::_exit(126);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

Process::~Process() {
  if (!ended()) {
    send(SIGKILL);
    wait();
  }
}

void Process::send(int signal) const { ::kill(pid_, signal); }

bool Process::ended() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

Answer Process::wait() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, 0) == pid_;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), read_file(out_), read_file(err_)};
}

bool wait_until(const std::function<bool()>& condition, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Workspace::Workspace(const std::string& name)
    : root_(fs::temp_directory_path() / ("derm-e2e-" + name + "-" + std::to_string(::getpid()))) {
  fs::remove_all(root_);
  fs::create_directories(root_);
}

Workspace::~Workspace() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

Answer Workspace::run(const std::vector<std::string>& command) const { return Process(command, root_).wait(); }

Answer Workspace::dermgan(const std::vector<std::string>& words) const {
  return run(std::vector<std::string>{DERM_PROGRAM} + words);
}

std::vector<std::string> small_training(const std::string& data, const std::string& out, double kimg) {
  return {"train",
          "--data",
          data,
          "--out",
          out,
          "--kimg",
          number_text(kimg),
          "--batch",
          "4",
          "--set",
          "model.width=8",
          "--set",
          "model.discriminator_width=8",
          "--set",
          "snapshot_minutes=0"};
}

std::vector<std::string> operator+(std::vector<std::string> words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Shop::Shop() : workspace_("shop") {
  phantom = workspace_.dermgan({"phantom", "--count", "48", "--size", "64", "--seed", "3", "--out", "made"});
  prepare = workspace_.dermgan({"prepare", "made", "--size", "64", "--out", "D"});
  train = workspace_.dermgan(small_training("D", "runs", 0.032));
  run_ = train.last_line();
}

const Shop& Shop::get() {
  static const Shop shop;
  return shop;
}

}  // namespace derm::e2e
