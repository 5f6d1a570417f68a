/*
** lind_main.c - a grate of Lind's that runs a Lua script: what Lind starts and calls
**
**   GRATE SCRIPT.lua [ARGS...] -- PROGRAM [ARGS...]
**
** It forks, registers in the child, which then executes the program, and waits.
** core/host/lind/README.md says how it is built in Lind's tree.
*/

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lind.h"

#ifdef __wasm__ /* Lind's C library has these, the one whose headers compile this in CI has not */
typedef int pid_t;
typedef struct {
  uint64_t room[8];
} pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER \
  {                               \
    { 0 }                         \
  }
pid_t fork(void);
pid_t getpid(void);
pid_t wait(int *wstatus);
int execvp(const char *file, char *const argv[]);
_Noreturn void _exit(int status);
int pthread_mutex_lock(pthread_mutex_t *mutex);
int pthread_mutex_unlock(pthread_mutex_t *mutex);
#else
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

enum { FAILED = 125, NOT_EXECUTED = 126, NOT_FOUND = 127 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lind *lind;

static void lock(void *ud) {
  pthread_mutex_lock(ud);
}

static void unlock(void *ud) {
  pthread_mutex_unlock(ud);
}

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "lencase: %s\n", line);
}

int pass_fptr_to_wt(uint64_t fn_ptr_uint, uint64_t cageid, uint64_t arg1, uint64_t arg1cage,
                    uint64_t arg2, uint64_t arg2cage, uint64_t arg3, uint64_t arg3cage,
                    uint64_t arg4, uint64_t arg4cage, uint64_t arg5, uint64_t arg5cage,
                    uint64_t arg6, uint64_t arg6cage) {
  const uint64_t words[LENCASE_MAXARGS] = {arg1, arg2, arg3, arg4, arg5, arg6};
  const uint64_t cages[LENCASE_MAXARGS] = {arg1cage, arg2cage, arg3cage,
                                           arg4cage, arg5cage, arg6cage};
  if (lind == NULL || fn_ptr_uint == 0) return -ENOSYS;
  return (int)lind_call(lind, (int32_t)(fn_ptr_uint - 1), cageid, words, cages);
}

/* In the child: executes the program, whose calls are handled from the first. */
static _Noreturn void become(char **program) {
  unsigned failed = lind_register(lind, (uint64_t)getpid());
  if (failed != 0) {
    fprintf(stderr, "lencase: register_handler failed: 0x%x\n", failed);
    _exit(FAILED);
  }
  execvp(program[0], program);
  fprintf(stderr, "lencase: %s: %s\n", program[0], strerror(errno));
  _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTED);
}

/* Waits for all that was started; the status is the first one's. */
static int wait_for(pid_t first) {
  int status = 0, wstatus = 0;
  pid_t pid;
  while ((pid = wait(&wstatus)) > 0) {
    lind_ended(lind, (uint64_t)pid, wstatus);
    if (pid == first) status = wstatus;
  }
  return status;
}

static int run(lencase_state *st, char **program) {
  int wstatus;
  pid_t pid;
  lind = lind_open(st, (uint64_t)getpid(), lock, unlock, &mutex);
  if (lind == NULL || lencase_start(st) != LENCASE_OK) return FAILED;
  pid = fork();
  if (pid == 0) become(program);
  if (pid < 0) {
    fprintf(stderr, "lencase: fork: %s\n", strerror(errno));
    return FAILED;
  }
  wstatus = wait_for(pid);
  lind_close(lind);
  lind = NULL;
  lencase_finish(st, wstatus);
  return (wstatus & 0x7f) != 0 ? 128 + (wstatus & 0x7f) : wstatus >> 8 & 0xff;
}

int main(int argc, char **argv) {
  const lencase_config config = {.log = say};
  int dashes = 1, status = FAILED;
  lencase_state *st = lencase_new(&config);
  while (dashes < argc && strcmp(argv[dashes], "--") != 0) dashes++;
  if (dashes < 2 || dashes + 1 >= argc) {
    fprintf(stderr, "usage: %s SCRIPT.lua [ARGS...] -- PROGRAM [ARGS...]\n", argv[0]);
  } else if (st == NULL || lencase_load(st, argv[1], dashes - 2, (const char *const *)argv + 2,
                                        NULL, NULL, NULL) != LENCASE_OK) {
    say(NULL, st != NULL ? lencase_error(st) : "no memory");
  } else {
    status = run(st, argv + dashes + 1);
  }
  lencase_close(st);
  return status;
}
