// Where the time of a step goes, part by part: counted while a process asks for it, else a flag that is looked at.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

namespace mindcold {

class Trace {
 public:
  // One object over all shared libraries, like the pool of threads.
  static Trace& get() {
    static auto* trace = new Trace;
    return *trace;
  }

  std::atomic<bool> on{false};

  void add(const char* part, int64_t nanoseconds) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& [count, total] = parts_[part];
    ++count, total += nanoseconds;
  }

  // One line a part: name, count, nanoseconds; forgets them. Gives the length of all, which is written as far as it fits.
  int64_t take(char* text, int64_t size) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string all;
    for (const auto& [part, sums] : parts_) {
      all += part + " " + std::to_string(sums.first) + " " + std::to_string(sums.second) + "\n";
    }
    parts_.clear();
    if (size > 0) std::snprintf(text, static_cast<size_t>(size), "%s", all.c_str());
    return static_cast<int64_t>(all.size());
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<int64_t, int64_t>> parts_;
};

// The time from here to the end of the block, under a part's name.
class Span {
 public:
  explicit Span(const char* part) : part_(Trace::get().on.load(std::memory_order_relaxed) ? part : nullptr) {
    if (part_) start_ = std::chrono::steady_clock::now();
  }
  ~Span() {
    if (part_) Trace::get().add(part_, std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count());
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  const char* part_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace mindcold
