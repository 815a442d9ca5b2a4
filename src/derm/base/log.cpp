#include "derm/base/log.h"

#include <mutex>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>

#include "derm/base/error.h"
#include "derm/base/progress.h"

namespace derm {

namespace {

/// To stderr without time stamps: people watch it. Past the progress bar, so that it is not torn.
class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string line;
    if (message.level == spdlog::level::debug) line = "debug: ";
    if (message.level == spdlog::level::warn) line = "warning: ";
    if (message.level == spdlog::level::err) line = "error: ";
    line.append(message.payload.data(), message.payload.size());
    Progress::print_above(line);
  }
  void flush_() override {}
};

struct Log {
  std::shared_ptr<TerminalSink> terminal = std::make_shared<TerminalSink>();
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks = std::make_shared<spdlog::sinks::dist_sink_mt>();
  spdlog::logger logger{"derm", sinks};

  Log() {
    sinks->add_sink(terminal);
    terminal->set_level(spdlog::level::info);
    logger.set_level(spdlog::level::debug);  // each sink has its own threshold
    logger.flush_on(spdlog::level::debug);
  }
};

/// Never destroyed: destructors of other static objects may still write lines.
Log& log() {
  static Log& instance = *new Log;
  return instance;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: break;
  }
  return spdlog::level::err;
}

}  // namespace

void set_log_level(LogLevel level) { log().terminal->set_level(spdlog_level(level)); }

void log_line(LogLevel level, const std::string& text) {
  log().logger.log(spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
}

LogFile::LogFile(const std::filesystem::path& file) {
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> sink;
  try {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
  } catch (const spdlog::spdlog_ex& error) {
    throw DataError("{}: the log cannot be written: {}", file.string(), error.what());
  }
  sink->set_level(spdlog::level::info);
  sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  log().sinks->add_sink(sink);
  sink_ = sink;
}

LogFile::~LogFile() { log().sinks->remove_sink(std::static_pointer_cast<spdlog::sinks::sink>(sink_)); }

}  // namespace derm
