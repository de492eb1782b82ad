// One pool of threads for all kernels of the process. Workers stay awake for a moment after a task, because waking a
// sleeping thread costs more than a small matrix product, and the next kernel of a step comes within microseconds.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace mindcold {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  // The pool of the process: a function-local static is one object even over several shared libraries. It is never
  // destroyed, since its threads may still look at it while the process ends.
  static Pool& get() {
    static Pool* pool = new Pool;
    return *pool;
  }

  int threads() const { return workers_ + 1; }

  // body(i) for every i in [0, count), by whoever is free; returns when all are done. Calls from two threads at once
  // are allowed: the second does its work alone.
  template <class Body>
  void run(int64_t count, const Body& body) {
    if (count <= 1 || workers_ == 0 || !owner_.try_lock()) {
      for (int64_t i = 0; i < count; ++i) body(i);
      return;
    }
    call_ = [](const void* context, int64_t i) { (*static_cast<const Body*>(context))(i); };
    context_ = &body;
    done_.store(0, std::memory_order_relaxed);
    generation_ = (generation_ + 1) & 0xffff;
    // generation, count and next index in one word, so that a late worker can't take an index of another task
    ticket_.store(generation_ << 48 | static_cast<uint64_t>(count) << 24, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    work();
    for (int spins = 0; done_.load(std::memory_order_acquire) < count;) {
      relax();
      if (++spins > 500) std::this_thread::yield();
    }
    owner_.unlock();
  }

 private:
  static constexpr uint64_t kIndex = (1 << 24) - 1;

  Pool() {
    const char* wanted = std::getenv("MINDCOLD_THREADS");
    int threads = wanted ? std::atoi(wanted) : static_cast<int>(std::thread::hardware_concurrency());
    workers_ = threads > 1 ? (threads > 64 ? 63 : threads - 1) : 0;
    for (int i = 0; i < workers_; ++i) std::thread([this] { serve(); }).detach();
  }

  static bool open(uint64_t ticket) { return (ticket & kIndex) < (ticket >> 24 & kIndex); }

  // Takes indices of the current task until none is left.
  void work() {
    while (open(ticket_.load(std::memory_order_acquire))) {
      const uint64_t mine = ticket_.fetch_add(1, std::memory_order_acq_rel);
      if (!open(mine)) return;
      call_(context_, static_cast<int64_t>(mine & kIndex));
      done_.fetch_add(1, std::memory_order_acq_rel);
    }
  }

  void serve() {
    using Clock = std::chrono::steady_clock;
    for (;;) {
      work();
      const auto until = Clock::now() + std::chrono::microseconds(2000);
      bool found = false;
      while (!found && Clock::now() < until) {
        for (int i = 0; i < 64 && !found; ++i) {
          relax();
          found = open(ticket_.load(std::memory_order_acquire));
        }
        if (!found) std::this_thread::yield();  // the threads of the runtime may be waiting for this core
      }
      if (found) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [this] { return open(ticket_.load(std::memory_order_seq_cst)); });
      sleeping_.fetch_sub(1, std::memory_order_seq_cst);
    }
  }

  int workers_ = 0;
  std::mutex owner_, mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_{0};
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  uint64_t generation_ = 0;
  void (*call_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
};

}  // namespace mindcold
