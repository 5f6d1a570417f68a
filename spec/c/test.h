/*
** test.h - what the C tests are written with
**
** Each spec/c/X.c is a program: its main() runs tests and returns test_end().
** It prints `ok N - text` or `not ok N - text` a check, the reason in `# ` lines, and at
** last `N passed, N failed`; its exit status is 1 when a check failed.
** Each macro gives the truth of its check, so that a test can stop early:
**   if (!is_int(call(), LENCASE_OK, "it works")) return;
*/

#ifndef TEST_H
#define TEST_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned test_passed, test_failed;

/* printf(3)'s arguments after the checked values are the check's text. */
#define ok(cond, ...) test_ok((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
#define is_int(got, want, ...) \
  test_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got, __VA_ARGS__)
#define is_str(got, want, ...) test_str((got), (want), __FILE__, __LINE__, #got, __VA_ARGS__)
#define is_mem(got, want, size, ...) \
  test_mem((got), (want), (size), __FILE__, __LINE__, #got, __VA_ARGS__)

/* Ends the program as failed when the test itself cannot go on (no memory, no file). */
#define need(cond) ((cond) ? (void)0 : test_bail(__FILE__, __LINE__, #cond))

/* A line for people. */
#define note(...) (printf("# " __VA_ARGS__), putchar('\n'))

__attribute__((noreturn, unused)) static void test_bail(const char *file, int line,
                                                        const char *what) {
  printf("Bail out! %s:%d: %s\n%u passed, %u failed\n", file, line, what, test_passed,
         test_failed + 1);
  exit(1);
}

/* The path of 'name' in the folder for temporary files. */
enum { TEST_PATH = 256 };

__attribute__((unused)) static char *test_path(char path[TEST_PATH], const char *name) {
  const char *folder = getenv("TMPDIR");
  int size = snprintf(path, TEST_PATH, "%s/%s", folder ? folder : "/tmp", name);
  need(size < TEST_PATH);
  return path;
}

/* Counts a check and prints its line. */
__attribute__((format(printf, 5, 0))) static bool test_line(bool good, const char *file, int line,
                                                            const char *what, const char *fmt,
                                                            va_list ap) {
  if (good)
    test_passed++;
  else
    test_failed++;
  printf("%sok %u - ", good ? "" : "not ", test_passed + test_failed);
  vprintf(fmt, ap);
  if (!good) printf("\n# %s:%d: %s", file, line, what);
  putchar('\n');
  fflush(stdout);
  return good;
}

__attribute__((format(printf, 5, 6), unused)) static bool test_ok(bool good, const char *file,
                                                                  int line, const char *what,
                                                                  const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  test_line(good, file, line, what, fmt, ap);
  va_end(ap);
  return good;
}

__attribute__((format(printf, 6, 7), unused)) static bool test_int(int64_t got, int64_t want,
                                                                   const char *file, int line,
                                                                   const char *what,
                                                                   const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  test_line(got == want, file, line, what, fmt, ap);
  va_end(ap);
  if (got != want) note("got %" PRId64 ", want %" PRId64, got, want);
  return got == want;
}

__attribute__((format(printf, 6, 7), unused)) static bool test_str(const char *got,
                                                                   const char *want,
                                                                   const char *file, int line,
                                                                   const char *what,
                                                                   const char *fmt, ...) {
  bool good = got != NULL && want != NULL ? strcmp(got, want) == 0 : got == want;
  va_list ap;
  va_start(ap, fmt);
  test_line(good, file, line, what, fmt, ap);
  va_end(ap);
  if (!good) note("got:\n%s\n# want:\n%s", got ? got : "NULL", want ? want : "NULL");
  return good;
}

__attribute__((format(printf, 7, 8), unused)) static bool test_mem(const void *got,
                                                                   const void *want, size_t size,
                                                                   const char *file, int line,
                                                                   const char *what,
                                                                   const char *fmt, ...) {
  bool good = size == 0 || (got != NULL && memcmp(got, want, size) == 0);
  va_list ap;
  va_start(ap, fmt);
  test_line(good, file, line, what, fmt, ap);
  va_end(ap);
  return good;
}

/* The last line; the program's exit status. */
static int test_end(void) {
  printf("%u passed, %u failed\n", test_passed, test_failed);
  return test_failed == 0 ? 0 : 1;
}

#endif
