/*
** marshal_plan.c - policies, and the plans they make of signatures
*/

#include <fcntl.h>

#include "sim_fixture.h"

/* {================================ policies =============================== */

enum { COPY = LENCASE_P_COPY, PASS = LENCASE_P_PASS, ADDR = LENCASE_P_ADDR, ONCE = LENCASE_P_ONCE };

/* Each policy with what it says of the second argument as an integer and as a pointer. */
static const struct {
  const char *text;
  lencase_policy policy;
  unsigned integer, pointer;
} policies[] = {
#define POLICY(p, integer, pointer) \
  { #p, p, integer, pointer }
    POLICY(LENCASE_COPY_ALL_ARGS, COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_POINTERS, COPY, PASS),
    POLICY(LENCASE_PASS_THROUGH_ALL, PASS, PASS),
    POLICY(LENCASE_COPY(2), COPY, COPY),
    POLICY(LENCASE_PASS(2), PASS, PASS),
    POLICY(LENCASE_ADDR(2), ADDR, ADDR),
    POLICY(LENCASE_ONCE(2), COPY | ONCE, COPY | ONCE),
    POLICY(LENCASE_PASS(1) | LENCASE_ADDR(3), COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_ALL | LENCASE_COPY(2), COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_POINTERS | LENCASE_COPY(2), COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_POINTERS | LENCASE_ADDR(2), ADDR, ADDR),
    POLICY(LENCASE_PASS_THROUGH_POINTERS | LENCASE_ONCE(2), COPY | ONCE, PASS | ONCE),
    POLICY(LENCASE_PASS_THROUGH_POINTERS & ~LENCASE_PASS(2), COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_POINTERS & ~LENCASE_PASS(1), COPY, PASS),
    POLICY(LENCASE_PASS_THROUGH_ALL & ~LENCASE_PASS(2), COPY, COPY),
    POLICY(LENCASE_PASS_THROUGH_ALL & ~LENCASE_PASS(3), PASS, PASS),
    POLICY(LENCASE_PASS_THROUGH_ALL & ~LENCASE_PASS_THROUGH_ALL, COPY, COPY),
    POLICY((LENCASE_PASS(2) | LENCASE_ONCE(2)) & ~LENCASE_PASS(2), COPY | ONCE, COPY | ONCE),
    POLICY((LENCASE_PASS(2) & ~LENCASE_PASS(2)) | LENCASE_ADDR(2), ADDR, ADDR),
};

static void meanings(void) {
  for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
    is_int(policy_of(policies[i].policy, 1, false), policies[i].integer, "%s: an integer",
           policies[i].text);
    is_int(policy_of(policies[i].policy, 1, true), policies[i].pointer, "%s: a pointer",
           policies[i].text);
  }
}

/* Policies that are wrong for write, with what the message must tell. */
static const struct {
  lencase_policy policy;
  const char *tells;
} bad[] = {
    {LENCASE_PASS(4), "argument 4"},
    {LENCASE_COPY(6), "argument 6"},
    {LENCASE_ONCE(4), "argument 4"},
    {LENCASE_PASS_THROUGH_ALL | LENCASE_ADDR(5), "argument 5"},
    {LENCASE_COPY(2) | LENCASE_PASS(2), "argument 2"},
    {LENCASE_ADDR(1) | LENCASE_PASS(1), "argument 1"},
    {LENCASE_COPY(3) | LENCASE_ADDR(3) | LENCASE_PASS(3), "argument 3"},
    {UINT64_C(1) << 48, "0x1000000000000"},
    {UINT64_C(1) << 63, "0x8000000000000000"},
};

static void bad_policies(void) {
  struct world w;
  struct plan *plan = NULL;
  world_open(&w, NULL, NULL);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    size_t before = w.mem.blocks;
    is_int(plan_new(w.st, sig_by_name("write"), bad[i].policy, &plan), LENCASE_EINVAL,
           "a bad policy 0x%" PRIx64, bad[i].policy);
    ok(strstr(lencase_error(w.st), bad[i].tells) != NULL, "says why: %s", lencase_error(w.st));
    is_int(w.mem.blocks, before, "and leaves no plan");
  }
  static const lencase_policy sets[] = {LENCASE_PASS_THROUGH_POINTERS, LENCASE_PASS_THROUGH_ALL};
  for (size_t i = 0; i < 2; i++) {
    is_int(plan_new(w.st, sig_by_name("getpid"), sets[i], &plan), LENCASE_OK,
           "a set fits any call");
    plan_free(w.st, plan);
  }
  world_close(&w);
}

/* }========================================================================= */

/* {================================= plans ================================= */

static const struct {
  const char *name;
  lencase_policy policy;
  const char *dump;
} golden[] = {
    {"write", LENCASE_COPY_ALL_ARGS,
     "write(fd, buf, count)\n"
     "  arg  value   fd\n"
     "  arg  copy    buf\n"
     "  arg  value   count\n"
     "  in   bytes   buf [count]\n"},
    {"write", LENCASE_PASS_THROUGH_POINTERS,
     "write(fd, buf, count)\n"
     "  arg  value   fd\n"
     "  arg  pass    buf\n"
     "  arg  value   count\n"},
    {"write", LENCASE_PASS_THROUGH_ALL,
     "write(fd, buf, count)\n"
     "  arg  pass    fd\n"
     "  arg  pass    buf\n"
     "  arg  pass    count\n"},
    {"read", LENCASE_COPY_ALL_ARGS,
     "read(fd, buf, count)\n"
     "  arg  value   fd\n"
     "  arg  copy    buf\n"
     "  arg  value   count\n"
     "  out  bytes   buf [count], as far as the result says\n"},
    {"open", LENCASE_COPY_ALL_ARGS,
     "open(pathname, flags, mode) if flags has any of 0x400040\n"
     "  arg  copy    pathname\n"
     "  arg  value   flags\n"
     "  arg  value   mode\n"
     "  in   string  pathname\n"
     "open(pathname, flags)\n"
     "  arg  copy    pathname\n"
     "  arg  value   flags\n"
     "  in   string  pathname\n"},
    {"rename", LENCASE_ONCE(1) | LENCASE_PASS(2),
     "rename(oldpath, newpath)\n"
     "  arg  copy    oldpath, once\n"
     "  arg  pass    newpath\n"
     "  in   string  oldpath\n"},
    {"readv", LENCASE_COPY_ALL_ARGS,
     "readv(fd, iov, iovcnt)\n"
     "  arg  value   fd\n"
     "  arg  copy    iov\n"
     "  arg  value   iovcnt\n"
     "  in   iovec   iov [iovcnt] x 16\n"
     "  out  iovec   iov [iovcnt] x 16, as far as the result says\n"},
    {"writev", LENCASE_COPY_ALL_ARGS,
     "writev(fd, iov, iovcnt)\n"
     "  arg  value   fd\n"
     "  arg  copy    iov\n"
     "  arg  value   iovcnt\n"
     "  in   iovec   iov [iovcnt] x 16\n"},
    {"execve", LENCASE_PASS(3),
     "execve(pathname, argv, envp)\n"
     "  arg  copy    pathname\n"
     "  arg  copy    argv\n"
     "  arg  pass    envp\n"
     "  in   string  pathname\n"
     "  in   strings argv\n"},
    {"getsockname", LENCASE_PASS(3),
     "getsockname(sockfd, addr, addrlen)\n"
     "  arg  value   sockfd\n"
     "  arg  copy    addr\n"
     "  arg  pass    addrlen\n"
     "  in   bytes   addrlen [4]\n"
     "  out  bytes   addr [*addrlen]\n"},
    {"recvfrom", LENCASE_COPY_ALL_ARGS,
     "recvfrom(sockfd, buf, size, flags, src_addr, addrlen)\n"
     "  arg  value   sockfd\n"
     "  arg  copy    buf\n"
     "  arg  value   size\n"
     "  arg  value   flags\n"
     "  arg  copy    src_addr\n"
     "  arg  copy    addrlen\n"
     "  in   bytes   addrlen [4]\n"
     "  out  bytes   buf [size], as far as the result says\n"
     "  out  bytes   src_addr [*addrlen]\n"
     "  out  bytes   addrlen [4]\n"},
    {"poll", LENCASE_COPY_ALL_ARGS,
     "poll(fds, nfds, timeout)\n"
     "  arg  copy    fds\n"
     "  arg  value   nfds\n"
     "  arg  value   timeout\n"
     "  in   bytes   fds [nfds] x 8\n"
     "  out  bytes   fds [nfds] x 8\n"},
    {"pipe2", LENCASE_COPY_ALL_ARGS,
     "pipe2(pipefd, flags)\n"
     "  arg  copy    pipefd\n"
     "  arg  value   flags\n"
     "  out  bytes   pipefd [8]\n"},
    {"mmap", LENCASE_COPY_ALL_ARGS,
     "mmap(addr, length, prot, flags, fd, offset)\n"
     "  arg  addr    addr\n"
     "  arg  value   length\n"
     "  arg  value   prot\n"
     "  arg  value   flags\n"
     "  arg  value   fd\n"
     "  arg  value   offset\n"},
    {"getpid", LENCASE_COPY_ALL_ARGS, "getpid()\n"},
};

static void dumps(void) {
  struct world w;
  world_open(&w, NULL, NULL);
  for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
    struct plan *plan;
    char buf[2048], small[16];
    need(plan_new(w.st, sig_by_name(golden[i].name), golden[i].policy, &plan) == LENCASE_OK);
    int length = plan_dump(plan, buf, sizeof buf);
    is_str(buf, golden[i].dump, "the plan of %s, policy 0x%" PRIx64, golden[i].name,
           golden[i].policy);
    is_int(length, strlen(buf), "its length");
    is_int(plan_dump(plan, small, sizeof small), length, "its length whatever the room");
    is_mem(small, buf, sizeof small - 1, "its beginning in a small room");
    is_int(small[sizeof small - 1], 0, "which is ended");
    is_int(plan_dump(plan, NULL, 0), length, "or no room at all");
    plan_free(w.st, plan);
  }
  world_close(&w);
}

/* A plan of every signature there is: no step stands for an integer or a passed pointer. */
static void every_signature(void) {
  static const lencase_policy sets[] = {LENCASE_COPY_ALL_ARGS, LENCASE_PASS_THROUGH_POINTERS,
                                        LENCASE_PASS_THROUGH_ALL};
  struct world w;
  world_open(&w, NULL, NULL);
  for (size_t i = 0; i < sig_table_size; i++) {
    unsigned steps[3] = {0};
    for (unsigned s = 0; s < 3; s++) {
      struct plan *plan;
      need(plan_new(w.st, &sig_table[i], sets[s], &plan) == LENCASE_OK);
      for (unsigned v = 0; v < plan->nvariants; v++)
        steps[s] += plan->variants[v].nin + plan->variants[v].nout;
      plan_free(w.st, plan);
    }
    ok(steps[1] == 0 && steps[2] == 0, "%s: no step when pointers are passed, %u else",
       sig_table[i].name, steps[0]);
  }
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  meanings();
  bad_policies();
  dumps();
  every_signature();
  return test_end();
}
