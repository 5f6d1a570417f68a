/*
** bench-inline.c - bench-driver's work, in a process that has a grate in C of its own
**
**   bench-inline tallying|answering PROGRAM WORK...
**
** PROGRAM stands where scripts/bench puts bench-driver: that is in here.
*/

#include <lencase.h>

int driver_main(int argc, char **argv);
#define main driver_main
#include "bench-driver.c"
#undef main

static lencase_verdict tallying(lencase_call *call, lencase_event event, void *ud) {
  (void)event;
  *(uint64_t *)ud += lencase_call_word(call, 3);
  return LENCASE_VERDICT_PASS;
}

static lencase_verdict answering(lencase_call *call, lencase_event event, void *ud) {
  (void)event, (void)ud;
  lencase_call_answer(call, 1000);
  return LENCASE_VERDICT_DONE;
}

static const struct {
  const char *name;
  lencase_entry entry;
} kinds[] = {
    {"tallying",
     {.callnum = SYS_write, .policy = LENCASE_PASS_THROUGH_POINTERS, .handler = tallying}},
    {"answering",
     {.callnum = SYS_geteuid, .policy = LENCASE_PASS_THROUGH_POINTERS, .handler = answering}},
};

static void go_inline(const lencase_entry *entry, uint64_t *tally) {
  const lencase_interface interface = {
      .name = "bench-inline", .entries = entry, .nentries = 1, .ud = tally};
  lencase_state *st = lencase_new(NULL);
  if (st != NULL && lencase_grate_new(st, &interface, NULL) == LENCASE_OK &&
      lencase_start(st) == LENCASE_OK && lencase_inline_start(st) == LENCASE_OK)
    return;
  fprintf(stderr, "bench-inline: %s\n", st != NULL ? lencase_error(st) : "no memory");
  exit(1);
}

int main(int argc, char **argv) {
  static uint64_t tally;
  size_t i;
  for (i = 0; argc > 3 && i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(argv[1], kinds[i].name) == 0) {
      go_inline(&kinds[i].entry, &tally);
      return driver_main(argc - 2, argv + 2);
    }
  fprintf(stderr, "bench-inline: what?\n");
  return 2;
}
