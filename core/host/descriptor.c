/*
** descriptor.c - sending a descriptor through a Unix domain socket
*/

#include "descriptor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* A message with one descriptor, and the byte without which a stream socket would not send it. */
struct message {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  char byte;
  struct iovec part;
  struct msghdr head;
};

static void message_init(struct message *m) {
  memset(m, 0, sizeof *m);
  m->part = (struct iovec){&m->byte, 1};
  m->head = (struct msghdr){.msg_iov = &m->part,
                            .msg_iovlen = 1,
                            .msg_control = m->control.bytes,
                            .msg_controllen = sizeof m->control.bytes};
}

int descriptor_send(int socket, int fd) {
  struct message m;
  struct cmsghdr *c;
  message_init(&m);
  c = CMSG_FIRSTHDR(&m.head);
  *c = (struct cmsghdr){
      .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  return sendmsg(socket, &m.head, MSG_NOSIGNAL) == 1 ? 0 : errno;
}

int descriptor_receive(int socket) {
  struct message m;
  const struct cmsghdr *c;
  int fd = -1;
  message_init(&m);
  if (recvmsg(socket, &m.head, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return -1;
  c = CMSG_FIRSTHDR(&m.head);
  if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}
