/*
** report.c - what a process tells whoever started the program: its grates' state, when it ends
**
** The channel is one end of a pair of sockets that keep messages apart, inherited by all processes of the
** program: it reaches its other end whatever becomes of user ids, the root folder, namespaces and the
** process group, and the kernel says who has sent a message. Kept open, it also says that somebody is
** there still. What the messages are: lua/lencase/gather.lua.
*/

#include "inline_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { HEAD = 6, CHUNK = 32 << 10 };

bool inline_reports(const struct inline_host *h) {
  return h->place.channel != 0 && (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0) == h->pid;
}

/* Waits as long as whoever reads is busy; false: nobody reads any more. */
static bool send_bytes(const struct inline_host *h, const void *data, size_t size) {
  const uint64_t words[LENCASE_MAXARGS] = {(uint64_t)h->place.channel, (uintptr_t)data, size,
                                           MSG_NOSIGNAL};
  int64_t n;
  do n = inline_raw(h, SYS_sendto, words);
  while (n == -EINTR);
  return n == (int64_t)size;
}

void inline_report_begin(const struct inline_host *h) {
  send_bytes(h, "B", 1);
}

struct handing {
  const struct inline_host *h;
  bool lost;
};

/* Gets the state of one grate. */
static void hand_over(void *ud, uint32_t grate, const char *data, size_t size) {
  struct handing *over = ud;
  char message[HEAD + CHUNK] = {'D'};
  size_t done = 0, n;
  memcpy(message + 1, &grate, sizeof grate);
  while (done < size && !over->lost) {
    n = size - done < CHUNK ? size - done : CHUNK;
    message[HEAD - 1] = done + n == size ? '1' : '0';
    memcpy(message + HEAD, data + done, n);
    over->lost = !send_bytes(over->h, message, HEAD + n);
    done += n;
  }
}

void inline_report_end(struct inline_host *h) {
  struct handing over = {h, false};
  const struct state_news news = {.event = "hand_over", .answer = hand_over, .ud = &over};
  if (state_tell_grates(h->st, &news) != LENCASE_OK) over.lost = true;
  send_bytes(h, over.lost ? "E1" : "E0", 2);
}
