// What followed every run of one to eight tokens of a text. The contract is TextIndex in recall.py.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

constexpr int32_t kNone = -1;
constexpr int64_t kReach = 8;
constexpr int64_t kRanks = 3;

// The last eight tokens, -1 for one that is not there.
using Last = std::array<int32_t, kReach>;

inline Last last_tokens(const int32_t* ids, int64_t size) {
  Last last;
  for (int64_t j = 0; j < kReach; ++j) last[j] = size - kReach + j >= 0 ? ids[size - kReach + j] : kNone;
  return last;
}

// The longest run that is known, and what followed it, the latest first.
struct Followers {
  int64_t agree = 0, count = 0;
  int32_t tokens[kRanks];
};

// A hash table with open addressing; a run is known by 64 bits of hash, taken from its last token backwards.
class TextIndex {
 public:
  explicit TextIndex(int64_t limit) : limit_(limit), runs_(64) {}

  void add(const Last& last, int32_t token) {
    uint64_t hash = 0;
    for (int64_t length = 1; length <= kReach && last[kReach - length] >= 0; ++length) {
      hash = extend(hash, last[kReach - length]);
      Run* run = find(hash);
      if (run->hash == 0) {
        if (count_ >= limit_) return;
        if (2 * (count_ + 1) > static_cast<int64_t>(runs_.size())) {
          grow();
          run = find(hash);
        }
        ++count_;
        *run = {hash, {kNone, kNone, kNone}};
      }
      int64_t place = 0;
      while (place < kRanks - 1 && run->tokens[place] != token) ++place;
      for (; place > 0; --place) run->tokens[place] = run->tokens[place - 1];
      run->tokens[0] = token;
    }
  }

  Followers matches(const Last& last) const {
    Followers out;
    const Run* best = nullptr;
    uint64_t hash = 0;
    for (int64_t length = 1; length <= kReach && last[kReach - length] >= 0; ++length) {
      hash = extend(hash, last[kReach - length]);
      const Run* run = const_cast<TextIndex*>(this)->find(hash);
      if (run->hash == 0) break;  // then no longer run is known either
      best = run, out.agree = length;
    }
    for (; best && out.count < kRanks && best->tokens[out.count] >= 0; ++out.count) {
      out.tokens[out.count] = best->tokens[out.count];
    }
    return out;
  }

 private:
  struct Run {
    uint64_t hash;  // 0 for a free place
    int32_t tokens[kRanks];
  };

  static uint64_t extend(uint64_t hash, int32_t token) {
    uint64_t mixed = hash + 0x9E3779B97F4A7C15ull * (static_cast<uint64_t>(static_cast<uint32_t>(token)) + 1);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
    mixed ^= mixed >> 31;
    return mixed ? mixed : 1;
  }

  Run* find(uint64_t hash) {
    const uint64_t mask = runs_.size() - 1;
    for (uint64_t place = hash & mask;; place = (place + 1) & mask) {
      if (runs_[place].hash == 0 || runs_[place].hash == hash) return &runs_[place];
    }
  }

  void grow() {
    std::vector<Run> old(2 * runs_.size());
    old.swap(runs_);
    for (const Run& run : old) {
      if (run.hash) *find(run.hash) = run;
    }
  }

  int64_t limit_, count_ = 0;
  std::vector<Run> runs_;
};
