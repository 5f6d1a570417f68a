/*
** report.c - what a process tells the launcher of the program: its grates' state, when it ends
**
** The channel is one end of a pair of SOCK_SEQPACKET sockets that all processes of the program
** inherit: it works with any user id, root folder, namespace and process group, and the kernel says
** which process has sent a message. As long as it is open somewhere, processes of the program are
** left. The messages: lua/lencase/gather.lua.
*/

#include "inline_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { HEAD = 6, CHUNK = 32 << 10 };

bool inline_reports(const struct inline_host *h) {
  return h->place.nchannels != 0 && (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0) == h->pid;
}

/* Blocks while the socket is full; false: the launcher is gone. */
static bool send_bytes(const struct inline_host *h, size_t channel, const void *data, size_t size) {
  const uint64_t words[LENCASE_MAXARGS] = {(uint64_t)h->place.channels[channel].fd, (uintptr_t)data,
                                           size, MSG_NOSIGNAL};
  int64_t n;
  if (words[0] == 0) return false;
  do n = inline_raw(h, SYS_sendto, words);
  while (n == -EINTR);
  return n == (int64_t)size;
}

void inline_report_begin(const struct inline_host *h) {
  size_t i;
  for (i = 0; i < h->place.nchannels; i++) send_bytes(h, i, "B", 1);
}

bool inline_report_filter(const struct inline_host *h, const char *names) {
  char message[256] = {'F'};
  size_t size = strlen(names);
  if (size >= sizeof message || h->place.nchannels == 0) return false;
  memcpy(message + 1, names, size);
  return send_bytes(h, 0, message, size + 1);
}

struct handing {
  const struct inline_host *h;
  bool lost[INLINE_CHANNELS];
};

size_t inline_channel_of(const struct inline_place *p, uint32_t *grate) {
  size_t i = p->nchannels - 1;
  assert(i < INLINE_CHANNELS); /* there is one at least */
  for (; i > 0 && *grate >= p->channels[i].grates; i--) *grate -= p->channels[i].grates;
  return i;
}

/* Sends the state of one grate. */
static void hand_over(void *ud, uint32_t grate, const char *data, size_t size) {
  struct handing *over = ud;
  size_t done = 0, n, channel = inline_channel_of(&over->h->place, &grate);
  char message[HEAD + CHUNK] = {'D'};
  memcpy(message + 1, &grate, sizeof grate);
  while (done < size && !over->lost[channel]) {
    n = size - done < CHUNK ? size - done : CHUNK;
    message[HEAD - 1] = done + n == size ? '1' : '0';
    memcpy(message + HEAD, data + done, n);
    over->lost[channel] = !send_bytes(over->h, channel, message, HEAD + n);
    done += n;
  }
}

void inline_report_end(struct inline_host *h) {
  struct handing over = {.h = h};
  const struct state_news news = {.event = "hand_over", .answer = hand_over, .ud = &over};
  bool failed = state_tell_grates(h->st, &news) != LENCASE_OK;
  size_t i;
  for (i = 0; i < h->place.nchannels; i++)
    send_bytes(h, i, failed || over.lost[i] ? "E1" : "E0", 2);
}
