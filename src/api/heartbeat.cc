#include "api/heartbeat.h"

#include <mutex>
#include <string>
#include <thread>

#include "base/interruption.h"

namespace nibble {

class Heartbeat::Client {
 public:
  explicit Client(Progress client) : client_(std::move(client)), scope_([this] { return repeat(); }) { repeat(); }
  ~Client() {
    const std::unique_lock lock(mutex_);
    if (unsaid_ && !stopped_) client_(last_.what, last_.done, last_.total, last_.unit);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool report(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
    if (std::this_thread::get_id() != thread_) {
      const std::lock_guard lock(mutex_);
      last_ = {std::string(what), done, total, std::string(unit)};
      unsaid_ = true;
      return !stopped_;
    }
    std::unique_lock lock(mutex_);
    const bool end_of_another = unsaid_ && last_.what != what;
    lock.unlock();
    if (end_of_another && !repeat()) return false;
    lock.lock();
    last_ = {std::string(what), done, total, std::string(unit)};
    lock.unlock();
    return repeat();
  }

 private:
  struct Report {
    std::string what;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    std::string unit;
  };

  bool repeat() {
    std::unique_lock lock(mutex_);
    if (stopped_) return false;
    const Report report = last_;
    unsaid_ = false;
    lock.unlock();  // the client may take its time
    if (client_(report.what, report.done, report.total, report.unit)) return true;
    lock.lock();
    stopped_ = true;
    return false;
  }

  const std::thread::id thread_ = std::this_thread::get_id();
  Progress client_;
  std::mutex mutex_;
  Report last_{"preparing", 0, 1, "steps"};
  bool unsaid_ = false;
  bool stopped_ = false;
  InterruptionScope scope_;
};

Heartbeat::Heartbeat(Progress& progress) {
  if (!progress) return;
  client_ = std::make_unique<Client>(std::move(progress));
  progress = [client = client_.get()](std::string_view what, std::uint64_t done, std::uint64_t total,
                                      std::string_view unit) { return client->report(what, done, total, unit); };
}

Heartbeat::~Heartbeat() = default;

}  // namespace nibble
