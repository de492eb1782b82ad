// What other operators have counted: see ../trace.h.
#include "../trace.h"

extern "C" void trace_on() { mindcold::Trace::get().on = true; }

extern "C" void trace_off() { mindcold::Trace::get().on = false; }

extern "C" int64_t trace_take(char* text, int64_t size) { return mindcold::Trace::get().take(text, size); }
