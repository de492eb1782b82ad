// The layout of the rows of a step: int32 [kLines, R]. What each line holds is told in rows.py.
#pragma once

namespace mindcold {

enum Row : int {
  TOKEN = 0,
  SEGMENT = 1,
  POSITION = 2,
  SLOT = 3,
  PARENT = 4,
  ADAPTER = 5,
  SOURCE = 6,
  TARGET = 7,
  SEGMENT_START = 8,
  SEGMENT_FIRST = 9,
  SEGMENT_PARENT = 10,
};

constexpr int kLines = 11;
constexpr int kMaxDepth = 4;  // segments of a sequence, from its own to the root

}  // namespace mindcold
