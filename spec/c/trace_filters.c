/*
** trace_filters.c - what the trace host thinks of a seccomp filter, and what the kernel does with
** it Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_filters.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
**
**   build/spec/c/trace_filters [SEED [N]]   other random filters, and so many
*/

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/bpf.h"
#include "test.h"

enum { NR = 999, CODE_MAX = 256, BODY_MAX = 48, CALLS = 24, WORDS = 16 };

/* {================================= calling =============================== */

/* A system call by an instruction of which we know where it is. */
extern const char call_ip[] __attribute__((visibility("hidden")));
int64_t call_made(int64_t nr, const uint64_t args[6]) __attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
        ".globl call_made, call_ip\n"
        ".hidden call_made, call_ip\n"
        "call_made:\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %r11\n"
        "  mov (%r11), %rdi\n"
        "  mov 8(%r11), %rsi\n"
        "  mov 16(%r11), %rdx\n"
        "  mov 24(%r11), %r10\n"
        "  mov 32(%r11), %r8\n"
        "  mov 40(%r11), %r9\n"
        "  syscall\n"
        "call_ip:\n"
        "  ret\n"
        ".popsection\n");

static bool load(const struct sock_filter *code, size_t n) {
  struct sock_fprog prog = {(unsigned short)n, (struct sock_filter *)(uintptr_t)code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0;
}

/* A child that is to tell by the pipe; its end of it, or (in the child) -1. */
static int child(pid_t *pid, int *out) {
  int ends[2];
  need(pipe(ends) == 0);
  fflush(stdout);
  *pid = fork();
  need(*pid >= 0);
  if (*pid > 0) {
    close(ends[1]);
    return ends[0];
  }
  close(ends[0]);
  *out = ends[1];
  need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  return -1;
}

static size_t told(int fd, pid_t pid, void *data, size_t size, int *status) {
  size_t n = 0;
  ssize_t got;
  while (n < size && (got = read(fd, (char *)data + n, size - n)) > 0) n += (size_t)got;
  close(fd);
  need(waitpid(pid, status, 0) == pid);
  return n;
}

/* }========================================================================= */

/* {============================= what is accepted ========================== */

/* Nothing but call NR meets what follows, and all of M is set. */
static size_t prologue(struct sock_filter *code) {
  size_t n = 0;
  uint32_t i;
  for (i = 0; i < BPF_MEMWORDS; i++) code[n++] = (struct sock_filter)BPF_STMT(BPF_ST, i);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
  code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR, 1, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return n;
}

static const uint32_t constants[] = {0, 1, 2, 15, 16, 31, 32, 60, 62, 64};
enum { NK = sizeof constants / sizeof *constants, NJ = 3 };

static struct sock_filter with_instruction(struct sock_filter *code, size_t *n, uint16_t op,
                                           uint32_t k, uint8_t jump) {
  *n = prologue(code);
  code[(*n)++] = (struct sock_filter){op, jump, (uint8_t)(jump / 2), k};
  code[(*n)++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[*n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return code[(*n)++];
}

static bool same_rules(uint16_t op) {
  struct sock_filter code[CODE_MAX];
  uint8_t kernel[NK * NJ] = {0}, ours[NK * NJ];
  size_t n, i;
  int fd, out, status;
  pid_t pid;
  for (i = 0; i < NK * NJ; i++) {
    with_instruction(code, &n, op, constants[i % NK], (uint8_t)(i / NK));
    ours[i] = bpf_is_sound(code, n);
  }
  fd = child(&pid, &out);
  if (fd < 0) {
    for (i = 0; i < NK * NJ; i++) {
      with_instruction(code, &n, op, constants[i % NK], (uint8_t)(i / NK));
      kernel[i] = load(code, n);
    }
    _exit(write(out, kernel, sizeof kernel) != (ssize_t)sizeof kernel);
  }
  if (told(fd, pid, kernel, sizeof kernel, &status) != sizeof kernel || status != 0) return false;
  for (i = 0; i < sizeof ours; i++)
    if (ours[i] != kernel[i])
      note("code 0x%x, k %u, jump %zu: the kernel says %d", op, constants[i % NK], i / NK,
           kernel[i]);
  return memcmp(ours, kernel, sizeof ours) == 0;
}

static void test_accepted(void) {
  unsigned op, wrong = 0;
  for (op = 0; op < 0x110; op++) wrong += !same_rules((uint16_t)op);
  is_int(wrong, 0, "of each instruction it is known whether a filter may have it");
}

static void test_ends(void) {
  static const struct sock_filter ret = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  static const struct sock_filter none = BPF_STMT(BPF_LD | BPF_IMM, 1);
  ok(bpf_is_sound(&ret, 1), "one that returns is a filter");
  ok(!bpf_is_sound(&none, 1), "one that runs off its end is not");
  ok(!bpf_is_sound(&ret, 0), "nor one of nothing");
}

/* }========================================================================= */

/* {============================== random filters =========================== */

static uint64_t seed;

static uint32_t any(void) { /* splitmix64 */
  uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)(z >> 32);
}

/* Small ones and such with few bits make comparisons that hold. */
static uint32_t any_constant(void) {
  uint32_t word = any();
  return any() % 2 ? word : word % 40;
}

static const uint16_t arithmetic[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND,
                                      BPF_OR,  BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG};
static const uint16_t comparisons[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};

static struct sock_filter any_arithmetic(void) {
  uint16_t op = arithmetic[any() % 10], src = any() % 2 ? BPF_X : BPF_K;
  uint32_t k = any_constant();
  if (op == BPF_NEG) src = 0;
  if (op == BPF_DIV && src == BPF_X && any() % 4 > 0) src = BPF_K; /* most do not end by zero */
  if (op == BPF_LSH || op == BPF_RSH) k %= 32;
  if (op == BPF_DIV && k == 0) k = 3;
  return (struct sock_filter)BPF_STMT((uint16_t)(BPF_ALU | op | src), k);
}

static struct sock_filter any_instruction(size_t left) {
  uint32_t furthest = (uint32_t)(left < 6 ? left : 6);
  switch (any() % 16) {
    case 0: return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, any() % WORDS * 4);
    case 1: return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0);
    case 2: return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0);
    case 3: return (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, any_constant());
    case 4: return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, any_constant());
    case 5: return (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, any() % BPF_MEMWORDS);
    case 6: return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_MEM, any() % BPF_MEMWORDS);
    case 7: return (struct sock_filter)BPF_STMT(BPF_ST, any() % BPF_MEMWORDS);
    case 8: return (struct sock_filter)BPF_STMT(BPF_STX, any() % BPF_MEMWORDS);
    case 9: return (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
    case 10: return (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0);
    case 11: return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, any() % (furthest + 1));
    case 12:
      if (any() % 4 == 0)
        return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | any() % 4096);
      /* fall through */
    case 13:
      return (struct sock_filter)BPF_JUMP(
          (uint16_t)(BPF_JMP | comparisons[any() % 4] | (any() % 2 ? BPF_X : BPF_K)),
          any_constant(), (uint8_t)(any() % (furthest + 1)), (uint8_t)(any() % (furthest + 1)));
    default: return any_arithmetic();
  }
}

/* Ends with 12 bits of A, from the bit on that the last argument says, as an errno. */
static size_t random_filter(struct sock_filter *code) {
  size_t n = prologue(code), body = 4 + any() % BODY_MAX, i;
  for (i = 0; i < BPF_MEMWORDS; i++) {
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(i % WORDS * 4));
    code[n++] = (struct sock_filter)BPF_STMT(BPF_ST, (uint32_t)i);
  }
  for (i = 0; i < body; i++) code[n++] = any_instruction(body - 1 - i);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_ST, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                           offsetof(struct seccomp_data, args[5]));
  code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_X, 0);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
  return n;
}

/* How many of the calls were as they were to be; the first that is not ends it. */
static size_t as_judged(const struct sock_filter *code, size_t n,
                        struct seccomp_data calls[CALLS]) {
  int64_t results[CALLS];
  size_t i, made;
  int fd, out, status;
  pid_t pid;
  fd = child(&pid, &out);
  if (fd < 0) {
    if (!load(code, n)) _exit(1);
    for (i = 0; i < CALLS; i++) {
      int64_t result = call_made(NR, (const uint64_t *)calls[i].args);
      if (write(out, &result, sizeof result) < 0) _exit(2);
    }
    _exit(0);
  }
  made = told(fd, pid, results, sizeof results, &status) / sizeof *results;
  for (i = 0; i < CALLS; i++) {
    uint32_t answer = bpf_answer(code, &calls[i]);
    if ((answer & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO)
      return made == i && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? CALLS : i;
    if (i >= made || results[i] != -(int64_t)(answer & SECCOMP_RET_DATA)) return i;
  }
  return status == 0 ? CALLS : 0;
}

static void any_calls(struct seccomp_data calls[CALLS]) {
  int i, k;
  for (i = 0; i < CALLS; i++) {
    calls[i] = (struct seccomp_data){
        .nr = NR, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = (uintptr_t)call_ip};
    for (k = 0; k < 5; k++) calls[i].args[k] = (uint64_t)any_constant() << 32 | any_constant();
    calls[i].args[5] = (uint64_t)(i % 3) * 12 | (uint64_t)any() << 32;
  }
}

static void test_random(uint64_t first, unsigned count) {
  struct sock_filter code[CODE_MAX];
  struct seccomp_data calls[CALLS];
  unsigned i, wrong = 0, ended = 0;
  for (i = 0; i < count; i++) {
    size_t n, good;
    seed = first + i;
    n = random_filter(code);
    any_calls(calls);
    if (!bpf_is_sound(code, n)) wrong++;
    if (wrong > 0) break;
    if (bpf_answer(code, &calls[0]) == 0) ended++;
    good = as_judged(code, n, calls);
    if (good == CALLS) continue;
    note("seed %" PRIu64 ": call %zu", first + i, good);
    wrong++;
  }
  is_int(wrong, 0, "%u random filters answer as the kernel lets them", count);
  ok(ended < count / 4, "few of them end by a division by zero");
}

/* }========================================================================= */

int main(int argc, char **argv) {
  test_ends();
  test_accepted();
  test_random(argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
              argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 400);
  return test_end();
}
