/* Wall-clock time as the system has it, and as many microseconds more as the file SKEW_FILE holds: one little-endian
   64-bit integer, which may be rewritten in place at any time. Monotonic clocks stay as they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *skew;

__attribute__((constructor)) static void find_skew(void) {
  const char *path = getenv("SKEW_FILE");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return;
  void *page = mmap(0, sizeof *skew, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) skew = page;
  close(file);
}

static long long wall_us(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000 + (skew ? *skew : 0);
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  (void)zone;
  long long us = wall_us();
  time->tv_sec = us / 1000000;
  time->tv_usec = us % 1000000;
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, time);
  long long us = wall_us();
  time->tv_sec = us / 1000000;
  time->tv_nsec = us % 1000000 * 1000;
  return 0;
}

time_t time(time_t *stored) {
  time_t seconds = wall_us() / 1000000;
  if (stored) *stored = seconds;
  return seconds;
}
