/*
** bpf.c - seccomp filters, run here as the kernel runs them
*/

#include "bpf.h"

#include <assert.h>
#include <string.h>

static uint32_t alu(unsigned op, uint32_t a, uint32_t b) {
  switch (op) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return a / b;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return a << (b & 31);
    case BPF_RSH: return a >> (b & 31);
    default: assert(op == BPF_NEG); return -a;
  }
}

static bool holds(unsigned op, uint32_t a, uint32_t b) {
  switch (op) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return (a & b) != 0; /* BPF_JSET */
  }
}

/* What an instruction's k has to be. */
enum k_rule { K_UNKNOWN, K_ANY, K_OFFSET, K_WORD, K_DIVISOR, K_SHIFT, K_JUMP, K_BRANCH };

/* Every instruction that the kernel lets a seccomp filter have (seccomp_check_filter). */
static const uint8_t k_rules[256] = {
    [BPF_LD | BPF_W | BPF_ABS] = K_OFFSET,
    [BPF_LD | BPF_W | BPF_LEN] = K_ANY,
    [BPF_LDX | BPF_W | BPF_LEN] = K_ANY,
    [BPF_LD | BPF_IMM] = K_ANY,
    [BPF_LDX | BPF_IMM] = K_ANY,
    [BPF_LD | BPF_MEM] = K_WORD,
    [BPF_LDX | BPF_MEM] = K_WORD,
    [BPF_ST] = K_WORD,
    [BPF_STX] = K_WORD,
    [BPF_MISC | BPF_TAX] = K_ANY,
    [BPF_MISC | BPF_TXA] = K_ANY,
    [BPF_RET | BPF_K] = K_ANY,
    [BPF_RET | BPF_A] = K_ANY,
    [BPF_ALU | BPF_ADD | BPF_K] = K_ANY,
    [BPF_ALU | BPF_ADD | BPF_X] = K_ANY,
    [BPF_ALU | BPF_SUB | BPF_K] = K_ANY,
    [BPF_ALU | BPF_SUB | BPF_X] = K_ANY,
    [BPF_ALU | BPF_MUL | BPF_K] = K_ANY,
    [BPF_ALU | BPF_MUL | BPF_X] = K_ANY,
    [BPF_ALU | BPF_DIV | BPF_K] = K_DIVISOR,
    [BPF_ALU | BPF_DIV | BPF_X] = K_ANY,
    [BPF_ALU | BPF_AND | BPF_K] = K_ANY,
    [BPF_ALU | BPF_AND | BPF_X] = K_ANY,
    [BPF_ALU | BPF_OR | BPF_K] = K_ANY,
    [BPF_ALU | BPF_OR | BPF_X] = K_ANY,
    [BPF_ALU | BPF_XOR | BPF_K] = K_ANY,
    [BPF_ALU | BPF_XOR | BPF_X] = K_ANY,
    [BPF_ALU | BPF_LSH | BPF_K] = K_SHIFT,
    [BPF_ALU | BPF_LSH | BPF_X] = K_ANY,
    [BPF_ALU | BPF_RSH | BPF_K] = K_SHIFT,
    [BPF_ALU | BPF_RSH | BPF_X] = K_ANY,
    [BPF_ALU | BPF_NEG] = K_ANY,
    [BPF_JMP | BPF_JA] = K_JUMP,
    [BPF_JMP | BPF_JEQ | BPF_K] = K_BRANCH,
    [BPF_JMP | BPF_JEQ | BPF_X] = K_BRANCH,
    [BPF_JMP | BPF_JGT | BPF_K] = K_BRANCH,
    [BPF_JMP | BPF_JGT | BPF_X] = K_BRANCH,
    [BPF_JMP | BPF_JGE | BPF_K] = K_BRANCH,
    [BPF_JMP | BPF_JGE | BPF_X] = K_BRANCH,
    [BPF_JMP | BPF_JSET | BPF_K] = K_BRANCH,
    [BPF_JMP | BPF_JSET | BPF_X] = K_BRANCH,
};

/* 'left': how many instructions follow it. */
static bool is_sound(const struct sock_filter *i, size_t left) {
  switch (i->code < sizeof k_rules ? k_rules[i->code] : K_UNKNOWN) {
    case K_UNKNOWN: return false;
    case K_OFFSET: return i->k % sizeof i->k == 0 && i->k < sizeof(struct seccomp_data);
    case K_WORD: return i->k < BPF_MEMWORDS;
    case K_DIVISOR: return i->k != 0;
    case K_SHIFT: return i->k < 32;
    case K_JUMP: return i->k < left;
    case K_BRANCH: return i->jt < left && i->jf < left;
    default: return true;
  }
}

bool bpf_is_sound(const struct sock_filter *code, size_t n) {
  size_t i;
  for (i = 0; i < n; i++)
    if (!is_sound(&code[i], n - 1 - i)) return false;
  return n > 0 && BPF_CLASS(code[n - 1].code) == BPF_RET;
}

struct machine {
  uint32_t a, x, mem[BPF_MEMWORDS];
};

static uint32_t loaded(const struct machine *m, const struct sock_filter *i,
                       const struct seccomp_data *data) {
  uint32_t word;
  switch (BPF_MODE(i->code)) {
    case BPF_IMM: return i->k;
    case BPF_MEM: return m->mem[i->k];
    case BPF_LEN: return sizeof *data;
    default: memcpy(&word, (const char *)data + i->k, sizeof word); return word; /* BPF_ABS */
  }
}

uint32_t bpf_answer(const struct sock_filter *code, const struct seccomp_data *data) {
  struct machine m = {0};
  const struct sock_filter *i;
  for (i = code;; i++) { /* jumps lead forward, and the last instruction returns */
    uint32_t b = BPF_SRC(i->code) == BPF_X ? m.x : i->k;
    switch (BPF_CLASS(i->code)) {
      case BPF_LD: m.a = loaded(&m, i, data); break;
      case BPF_LDX: m.x = loaded(&m, i, data); break;
      case BPF_ST: m.mem[i->k] = m.a; break;
      case BPF_STX: m.mem[i->k] = m.x; break;
      case BPF_ALU:
        if (BPF_OP(i->code) == BPF_DIV && b == 0) return 0; /* as in the kernel */
        m.a = alu(BPF_OP(i->code), m.a, b);
        break;
      case BPF_JMP:
        if (BPF_OP(i->code) == BPF_JA)
          i += i->k;
        else
          i += holds(BPF_OP(i->code), m.a, b) ? i->jt : i->jf;
        break;
      case BPF_RET: return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
      default: /* BPF_MISC */
        if (BPF_MISCOP(i->code) == BPF_TAX)
          m.x = m.a;
        else
          m.a = m.x;
    }
  }
}

bool bpf_ends_program(uint32_t answer) {
  switch (answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRACE:
    case SECCOMP_RET_USER_NOTIF:
    case SECCOMP_RET_ERRNO: return false;
    default: return true;
  }
}
