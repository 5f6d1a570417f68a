/*
** marshal_plan.c - signature + policy, compiled to steps
*/

#include <inttypes.h>
#include <stdio.h>

#include "marshal.h"

static const uint8_t step_of_kind[] = {
    [SIG_STRING] = STEP_STRING, [SIG_BYTES] = STEP_BYTES, [SIG_RECORDS] = STEP_BYTES,
    [SIG_STRV] = STEP_STRV,     [SIG_IOVEC] = STEP_IOVEC,
};

static bool has_bytes(const struct sig_param *p) {
  return sig_is_pointer(p) && p->kind != SIG_ADDR;
}

/* What the handler sees of a parameter: an address of which no more is known cannot be copied. */
static uint8_t mode_of(lencase_policy policy, int arg, const struct sig_param *p) {
  unsigned mode = policy_of(policy, arg, sig_is_pointer(p));
  if (p->kind == SIG_ADDR && (mode & LENCASE_P_COPY))
    mode = LENCASE_P_ADDR | (mode & LENCASE_P_ONCE);
  return (uint8_t)mode;
}

static void add_step(struct step *steps, uint8_t *n, const struct sig_param *p, int arg) {
  steps[(*n)++] = (struct step){step_of_kind[p->kind], (uint8_t)arg};
}

/* An out-argument whose room stands in another one (addrlen): that one must be read before. */
static bool tells_room(const struct variant_plan *vp, int arg) {
  const struct sig_variant *v = vp->variant;
  int i;
  for (i = 0; i < v->nparams; i++)
    if (v->params[i].size == SIZE_DEREF && v->params[i].size_arg == arg &&
        has_bytes(&v->params[i]) && (vp->mode[i] & LENCASE_P_COPY))
      return true;
  return false;
}

static bool needs_in(const struct variant_plan *vp, int arg) {
  const struct sig_param *p = &vp->variant->params[arg];
  if (!has_bytes(p)) return false;
  if (tells_room(vp, arg)) return true;
  if (!(vp->mode[arg] & LENCASE_P_COPY)) return false;
  return (p->dir & SIG_IN) || p->kind == SIG_IOVEC; /* its array is always in */
}

static void compile(struct variant_plan *vp, const struct sig_variant *v, lencase_policy policy) {
  int i;
  vp->variant = v;
  for (i = 0; i < v->nparams; i++) vp->mode[i] = mode_of(policy, i, &v->params[i]);
  for (i = 0; i < v->nparams; i++) {
    const struct sig_param *p = &v->params[i];
    if (needs_in(vp, i)) add_step(vp->in, &vp->nin, p, i);
    if (has_bytes(p) && (p->dir & SIG_OUT) && (vp->mode[i] & LENCASE_P_COPY))
      add_step(vp->out, &vp->nout, p, i);
  }
}

static size_t variants_size(const struct plan *plan) {
  return plan->nvariants * sizeof(struct variant_plan);
}

int plan_new(struct lencase_state *st, const struct signature *sig, lencase_policy policy,
             struct plan **out) {
  struct plan *plan;
  int i, status = policy_check(st, policy, sig->name, sig_widest(sig));
  if (status != LENCASE_OK) return status;
  plan = state_new(st, sizeof *plan);
  if (plan == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a plan");
  plan->sig = sig;
  plan->policy = policy;
  plan->nvariants = (uint16_t)(sig->narrow != NULL ? 2 * sig->nvariants : sig->nvariants);
  plan->variants = state_new(st, variants_size(plan));
  if (plan->variants == NULL) {
    plan_free(st, plan);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a plan");
  }
  for (i = 0; i < sig->nvariants; i++) compile(&plan->variants[i], &sig->variants[i], policy);
  for (; i < plan->nvariants; i++)
    compile(&plan->variants[i], &sig->narrow[i - sig->nvariants], policy);
  *out = plan;
  return LENCASE_OK;
}

void plan_free(struct lencase_state *st, struct plan *plan) {
  if (plan == NULL) return;
  state_free(st, plan->variants, variants_size(plan));
  state_free(st, plan, sizeof *plan);
}

const struct plan *plan_list_get(struct lencase_state *st, struct plan_list **list,
                                 const struct signature *sig) {
  struct plan_list *p = *list;
  while (p != NULL && p->plan->sig != sig) p = p->next;
  if (p != NULL) return p->plan;
  p = state_new(st, sizeof *p);
  if (p == NULL) return NULL;
  if (plan_new(st, sig, LENCASE_COPY_ALL_ARGS, &p->plan) != LENCASE_OK) {
    state_free(st, p, sizeof *p);
    return NULL;
  }
  p->next = *list;
  *list = p;
  return p->plan;
}

void plan_list_free(struct lencase_state *st, struct plan_list **list) {
  while (*list != NULL) {
    struct plan_list *p = *list;
    *list = p->next;
    plan_free(st, p->plan);
    state_free(st, p, sizeof *p);
  }
}

const struct variant_plan *plan_select(const struct plan *plan,
                                       const uint64_t words[LENCASE_MAXARGS], bool narrow) {
  const struct signature *sig = plan->sig;
  const struct variant_plan *first = plan->variants;
  if (narrow && sig->narrow != NULL) first += sig->nvariants;
  if (sig->nvariants == 1) return first;
  return first + (sig_select(sig, words, false) - sig->variants);
}

/* {================================ printing =============================== */

struct out {
  char *buf;
  size_t size, len;
};

static void print(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void print(struct out *o, const char *fmt, ...) {
  size_t left = o->len < o->size ? o->size - o->len : 0;
  va_list ap;
  int n;
  va_start(ap, fmt);
  n = vsnprintf(left ? o->buf + o->len : NULL, left, fmt, ap);
  va_end(ap);
  if (n > 0) o->len += (size_t)n;
}

static const char *const step_names[] = {[STEP_STRING] = "string",
                                         [STEP_BYTES] = "bytes",
                                         [STEP_STRV] = "strings",
                                         [STEP_IOVEC] = "iovec"};

static void print_amount(struct out *o, const struct sig_variant *v, const struct sig_param *p) {
  if (p->kind == SIG_STRING || p->kind == SIG_STRV) return;
  if (p->size == SIZE_FIELD) {
    print(o, " [at %" PRIu32 "]", p->count);
    return;
  }
  if (p->size == SIZE_FIXED) {
    print(o, " [%" PRIu64 "]", (uint64_t)p->count * p->elem);
    return;
  }
  print(o, p->size == SIZE_DEREF ? " [*%s]" : " [%s]", v->params[p->size_arg].name);
  if (sig_is_sized(p)) print(o, " bytes");
  if (p->elem != 1 && p->size == SIZE_ARG) print(o, " x %u", p->elem);
}

static void print_steps(struct out *o, const struct variant_plan *vp, const char *title,
                        const struct step *steps, int n) {
  int i;
  for (i = 0; i < n; i++) {
    const struct sig_param *p = &vp->variant->params[steps[i].arg];
    print(o, "  %-4s %-7s %s", title, step_names[steps[i].op], p->name);
    print_amount(o, vp->variant, p);
    if (steps == vp->out && p->filled == FILLED_RESULT) print(o, ", as far as the result says");
    print(o, "\n");
  }
}

static const char *mode_name(const struct sig_param *p, unsigned mode) {
  if (mode & LENCASE_P_PASS) return "pass";
  if (mode & LENCASE_P_ADDR) return "addr";
  return sig_is_pointer(p) ? "copy" : "value";
}

static void print_test(struct out *o, const struct sig_variant *v) {
  static const char *const ops[] = {
      [TEST_EQ] = "==", [TEST_ANY] = "has any of", [TEST_NONE] = "has none of"};
  const struct sig_test *t = &v->when;
  if (t->op == TEST_ALWAYS) return;
  print(o, " if %s %s 0x%" PRIx64, v->params[t->arg].name, ops[t->op],
        t->op == TEST_EQ ? t->value : t->mask);
}

static void print_variant(struct out *o, const struct signature *sig,
                          const struct variant_plan *vp) {
  const struct sig_variant *v = vp->variant;
  int i;
  print(o, "%s(", sig->name);
  for (i = 0; i < v->nparams; i++) print(o, i ? ", %s" : "%s", v->params[i].name);
  print(o, ")");
  print_test(o, v);
  print(o, "\n");
  for (i = 0; i < v->nparams; i++)
    print(o, "  %-4s %-7s %s%s\n", "arg", mode_name(&v->params[i], vp->mode[i]), v->params[i].name,
          vp->mode[i] & LENCASE_P_ONCE ? ", once" : "");
  print_steps(o, vp, "in", vp->in, vp->nin);
  print_steps(o, vp, "out", vp->out, vp->nout);
}

int plan_dump(const struct plan *plan, char *buf, size_t size) {
  struct out o = {buf, size, 0};
  int i;
  for (i = 0; i < plan->sig->nvariants; i++) print_variant(&o, plan->sig, &plan->variants[i]);
  return (int)o.len;
}

/* }========================================================================= */
