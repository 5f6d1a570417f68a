/*
** grate_fixture.h - a state with a script and a sim cage under it, for C tests
**
** The tests run in the tree: scripts find lencase's Lua modules in lua/.
*/

#ifndef GRATE_FIXTURE_H
#define GRATE_FIXTURE_H

#include <unistd.h>

#include "sim_fixture.h"

static const char lua_path[] = "lua/?.lua;lua/?/init.lua";

/* What every script of a test begins with, in one line: the test's own first line is 1. */
#define PROLOGUE                       \
  "local lencase = require 'lencase' " \
  "local sys, fail = lencase.sys, lencase.fail "

/* Writes 'text' to a file of its own; its name to 'path'. */
static void script_file(char path[TEST_PATH], const char *text) {
  size_t size = strlen(text);
  int fd = mkstemp(test_path(path, "grate-XXXXXX"));
  need(fd >= 0 && write(fd, text, size) == (ssize_t)size);
  close(fd);
}

/* Loads a script that is given as text. A status. */
__attribute__((unused)) static int script_load(struct world *w, const char *text,
                                               lencase_grate **out) {
  char path[TEST_PATH];
  script_file(path, text);
  int status = lencase_load(w->st, path, 0, NULL, lua_path, NULL, out);
  unlink(path);
  return status;
}

/* The whole of it: a state, 'script' loaded, and a cage. */
__attribute__((unused)) static void grate_world(struct world *w, const lencase_config *config,
                                                const struct sim_config *sim, const char *script) {
  static const struct sim_config guarded = {.memory = 1 << 20, .guard = true};
  *w = (struct world){0};
  need(world_state(w, config));
  if (script_load(w, script, NULL) != LENCASE_OK) {
    note("%s", lencase_error(w->st));
    need(!"the script loads");
  }
  w->cage = sim_cage_new(w->st, sim != NULL ? sim : &guarded, NULL);
  need(w->cage != NULL);
}

#endif
