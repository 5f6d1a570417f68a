/*
** helper_caller.c - makes the calls that its arguments tell, raw, and reports
**
** caller CALL... 9<>REPORT with each CALL a string "NUMBER ARG ARG ...", ARG one of
**   123 -1 0x10     an integer
**   @text           the address of the text, NUL behind it
**   %64             the address of 64 zero bytes
**   !@text !%64 !q: the same, right before a page that cannot be read, a text without its NUL
**   =2              the result of the second call
**   q:1,2,3         the address of these 64-bit integers
**   v:@ab,%3,!@cd   the address of an array of struct iovec; the last run is said to be one longer
**   s:@ab,@c        the address of a NULL-terminated array of strings
** '_' in a text stands for a blank. The report (a file of 1 MiB at descriptor 9, mapped so
** that no call is made for it) gets a line a call: the result, then for each %n of it what
** lies there, without zeros at the end.
** Linked statically: a dynamic linker would make calls of its own before.
*/

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { CALLS = 64, REPORT = 1 << 20, REPORT_FD = 9, BUFFERS = 32 };

static long results[CALLS];
static struct {
  char *at;
  size_t size;
} buffers[BUFFERS];
static int nbuffers;
static char *report;

static long raw_call(long nr, const long a[6]) {
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static char *text_of(char *s) {
  char *p;
  for (p = s; *p != '\0'; p++)
    if (*p == '_') *p = ' ';
  return s;
}

static char *note_buffer(char *at, size_t size) {
  buffers[nbuffers].at = at;
  buffers[nbuffers].size = size;
  return buffers[nbuffers++].at;
}

/* 'size' zero bytes with nothing behind them. */
static char *edge_of(size_t size) {
  size_t whole = (size + 4095) / 4096 * 4096;
  char *at = mmap(NULL, whole + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at + whole, 4096, PROT_NONE) != 0) exit(98);
  return at + whole - size;
}

static long simple(char *arg) {
  if (arg[0] == '@') return (long)text_of(arg + 1);
  if (arg[0] == '!' && arg[1] == '@')
    return (long)memcpy(edge_of(strlen(arg + 2)), text_of(arg + 2), strlen(arg + 2));
  if (arg[0] == '!' || arg[0] == '%') {
    size_t size = strtoul(arg + 1 + (arg[0] == '!'), NULL, 0);
    return (long)note_buffer(arg[0] == '!' ? edge_of(size) : calloc(1, size + 1), size);
  }
  if (arg[0] == '=') return results[strtol(arg + 1, NULL, 0)];
  return (long)strtoll(arg, NULL, 0);
}

static long list(char kind, char *items) {
  int64_t *q = calloc(2 * CALLS, sizeof *q);
  size_t n = 0;
  char *save, *item;
  for (item = strtok_r(items, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
    long value = simple(item);
    q[n++] = value;
    if (kind == 'v')
      q[n++] = (int64_t)(item[0] == '%' ? strtoul(item + 1, NULL, 0) : strlen(item + 1));
  }
  return (long)q;
}

static long value_of(char *arg) {
  if (arg[0] == '!' && arg[1] == 'q') {
    size_t n = 1, i;
    for (i = 0; arg[i] != '\0'; i++) n += arg[i] == ',';
    return (long)memcpy(edge_of(8 * n), (void *)list('q', arg + 3), 8 * n);
  }
  if (arg[0] != '\0' && arg[1] == ':') return list(arg[0], arg + 2);
  return simple(arg);
}

static void report_call(long result) {
  int i;
  report += sprintf(report, "%ld", result);
  for (i = 0; i < nbuffers; i++) {
    size_t n = buffers[i].size;
    while (n > 0 && buffers[i].at[n - 1] == '\0') n--;
    report += sprintf(report, " [");
    memcpy(report, buffers[i].at, n);
    report += n;
    report += sprintf(report, "]");
  }
  *report++ = '\n';
}

static void make_call(int i, char *words) {
  char *save, *word = strtok_r(words, " ", &save);
  long a[6] = {0}, nr = strtol(word, NULL, 0);
  int n;
  nbuffers = 0;
  for (n = 0; n < 6 && (word = strtok_r(NULL, " ", &save)) != NULL; n++) a[n] = value_of(word);
  results[i] = raw_call(nr, a);
  report_call(results[i]);
}

int main(int argc, char **argv) {
  int i;
  report = mmap(NULL, REPORT, PROT_READ | PROT_WRITE, MAP_SHARED, REPORT_FD, 0);
  if (report == MAP_FAILED) return 99;
  for (i = 1; i < argc && i < CALLS; i++) make_call(i, argv[i]);
  return 0;
}
