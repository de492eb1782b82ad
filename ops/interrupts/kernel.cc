// Holds SIGINT, SIGTERM and the main thread's alarms back while MindSpore runs graphs, and delivers them when it is done.
//
// An exception that a Python handler of SIGALRM raised inside MindSpore's compiler, which calls Python, would be lost
// there, or come out as an error of the compiler. Python's handlers run in the main thread: its blocks alone count.
//
// MindSpore puts its own SIGINT handler in place at every graph run and leaves it there; it sends SIGTERM to its own
// process. So a SIGTERM from this process counts as the SIGINT it stands for. begin and end are called with the GIL
// held, which is what keeps two of them apart.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace {

volatile sig_atomic_t interrupted = 0, terminated = 0, waking = 0;
volatile sig_atomic_t rung = 0;  // an alarm that came in a block of the main thread
struct sigaction saved_interrupt, saved_terminate, saved_alarm;
struct sigaction last_foreign;  // the last SIGINT action that was not MindSpore's
bool knows_foreign = false;
volatile sig_atomic_t depth = 0;  // open blocks
int main_depth = 0;               // those of the main thread
int ended = 0;                  // blocks that have ended, up to one
pthread_t main_thread;
int (*check_signals)() = nullptr;        // PyErr_CheckSignals
int (*interrupt_python)(int) = nullptr;  // PyErr_SetInterruptEx

// Outside of a block: MindSpore has put back what it found inside one. The signal goes to whom it is meant for.
void forward(int number, const struct sigaction& action) {
  sigaction(number, &action, nullptr);
  kill(getpid(), number);
}

void on_interrupt(int) {
  if (depth == 0) {
    forward(SIGINT, saved_interrupt);
  } else {
    interrupted = 1;
  }
}

void on_terminate(int, siginfo_t* info, void*) {
  if (depth == 0) {
    forward(SIGTERM, saved_terminate);
  } else if (info->si_pid != getpid()) {
    terminated = 1;
  } else if (waking) {
    waking = 0;
  } else {
    interrupted = 1;
  }
}

void on_alarm(int) { rung = 1; }

bool is_main() { return pthread_equal(pthread_self(), main_thread) != 0; }

bool is_mindspore(const struct sigaction& action) {
  if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return false;
  if (knows_foreign && action.sa_handler == last_foreign.sa_handler) return false;
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(action.sa_handler), &info) == 0 || info.dli_fname == nullptr) return false;
  const char* slash = std::strrchr(info.dli_fname, '/');
  const char* name = slash ? slash + 1 : info.dli_fname;
  return std::strstr(name, "mindspore") != nullptr || std::strncmp(name, "_c_expression", 13) == 0;
}

// Whether an action is ours; outside of a block it has been left there.
bool is_own(const struct sigaction& action) { return action.sa_handler == on_interrupt; }

void install() {
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_interrupt;
  struct sigaction before;
  sigaction(SIGINT, &action, &before);
  if (!is_own(before)) saved_interrupt = before;
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = on_terminate;
  sigaction(SIGTERM, &action, &before);
  if (before.sa_sigaction != on_terminate) saved_terminate = before;
  if (!is_mindspore(saved_interrupt)) {
    last_foreign = saved_interrupt, knows_foreign = true;
  } else if (knows_foreign) {
    saved_interrupt = last_foreign;  // a graph ran elsewhere and left its handler
  }
}

// Puts the former actions back, unless the program has set another one meanwhile.
void restore() {
  struct sigaction now;
  sigaction(SIGINT, &saved_interrupt, &now);
  if (!is_own(now) && !is_mindspore(now)) sigaction(SIGINT, &now, nullptr);
  sigaction(SIGTERM, &saved_terminate, &now);
  if (now.sa_sigaction != on_terminate) sigaction(SIGTERM, &now, nullptr);
}

// Does what the program wants done, while other threads are in blocks of their own.
void deliver_now(int number, const struct sigaction& action) {
  if (action.sa_handler == SIG_IGN) return;
  if (action.sa_handler == SIG_DFL) {
    sigaction(number, &action, nullptr);
    kill(getpid(), number);
  } else if (number == SIGINT && is_mindspore(action)) {
    interrupt_python(SIGINT);
  } else if (action.sa_flags & SA_SIGINFO) {
    siginfo_t info = {};
    info.si_signo = number;
    action.sa_sigaction(number, &info, nullptr);
  } else {
    action.sa_handler(number);
  }
  if (is_main()) return;
  waking = 1;  // it may wait for a lock, and has to look at what Python's handler has noted
  pthread_kill(main_thread, SIGTERM);
  for (int i = 0; waking && i < 1000; ++i) usleep(100);  // the handler must not be taken away before
}

// When nobody is left, by a real signal, which goes where it would have gone.
void deliver(int number, const struct sigaction& action) {
  if (depth > 0) {
    deliver_now(number, action);
  } else if (number == SIGINT && is_mindspore(action)) {
    interrupt_python(SIGINT);
  } else {
    kill(getpid(), number);
  }
}

void hold_alarm() {
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, &saved_alarm);
}

void release_alarm() {
  struct sigaction now;
  sigaction(SIGALRM, &saved_alarm, &now);
  if (now.sa_handler != on_alarm) sigaction(SIGALRM, &now, nullptr);
  if (!rung) return;
  rung = 0;
  pthread_kill(pthread_self(), SIGALRM);
}

void leave() {
  if (depth == 0) return;  // in a forked child
  if (is_main() && --main_depth == 0) release_alarm();
  depth = depth - 1;
  if (depth == 0) restore(), ended = 1;
  if (main_depth > 0) return;  // Python's handlers run in the main thread: when its block ends
  if (interrupted) {
    interrupted = 0;
    deliver(SIGINT, saved_interrupt);
  }
  if (terminated) {
    terminated = 0;
    deliver(SIGTERM, saved_terminate);
  }
}

void in_forked_child() {
  if (depth > 0) restore();  // the threads inside are not there
  rung = 0;  // the timer is the parent's
  if (main_depth > 0) release_alarm();
  depth = main_depth = 0;
  interrupted = terminated = waking = 0;
  main_thread = pthread_self();
}

}  // namespace

extern "C" void initialise(int (*check)(), int (*interrupt)(int), pthread_t main) {
  if (check_signals == nullptr) pthread_atfork(nullptr, nullptr, in_forked_child);
  check_signals = check, interrupt_python = interrupt, main_thread = main;
}

// Takes the SIGINT action there is for the program's own, unless it is MindSpore's; whether it did.
extern "C" int know() {
  struct sigaction now;
  sigaction(SIGINT, nullptr, &now);
  if (is_own(now) || is_mindspore(now)) return 0;
  last_foreign = now, knows_foreign = true;
  return 1;
}

// Puts the program's SIGINT action back where MindSpore has replaced it outside of a block; whether a block has ended.
extern "C" int settle() {
  struct sigaction now;
  sigaction(SIGINT, nullptr, &now);
  if (depth == 0 && knows_foreign && (is_own(now) || is_mindspore(now))) sigaction(SIGINT, &last_foreign, nullptr);
  return ended;
}

extern "C" void begin() {
  depth = depth + 1;
  if (depth == 1) install();
  if (is_main() && ++main_depth == 1) hold_alarm();
  if (check_signals() != 0) leave();  // what came before is raised before the block, not inside it
}

extern "C" int end(void*, void*, void*) {
  leave();
  return 0;  // an exception of the block goes on
}
