/*
** debug.c - events that are not in the engine, for LENCASE_DEBUG
**
** Signal handlers tell them, in the midst of whatever the program or the engine is doing: the line
** is made and written here, without libc and thread-local data. In a program that links the library
** they are not told: its log function may not be called there.
*/

#include "inline_int.h"

#include <stdarg.h>
#include <sys/syscall.h>

/* What is longer is cut off. */
struct line {
  char text[256];
  size_t n;
};

static void put(struct line *l, const char *s) {
  while (*s != '\0' && l->n < sizeof l->text - 1) l->text[l->n++] = *s++;
}

static void put_number(struct line *l, uint64_t n, unsigned base) {
  char digits[24], *p = digits + sizeof digits;
  *--p = '\0';
  do {
    *--p = "0123456789abcdef"[n % base];
    n /= base;
  } while (n > 0);
  put(l, p);
}

/* %s, %d of what is not negative, and PRIx64. */
static void put_all(struct line *l, const char *fmt, va_list ap) {
  for (; *fmt != '\0'; fmt++) {
    const char c[2] = {*fmt, '\0'};
    if (c[0] != '%') {
      put(l, c);
      continue;
    }
    switch (*++fmt) {
      case 's': put(l, va_arg(ap, const char *)); break;
      case 'd': put_number(l, (uint64_t)va_arg(ap, int), 10); break;
      default: /* lx */
        put_number(l, va_arg(ap, uint64_t), 16);
        fmt++;
        break;
    }
  }
}

void inline_debug_line(const struct inline_host *h, const char *fmt, ...) {
  struct line l;
  va_list ap;
  if (h->place.kept == 0) return;
  l.n = 0;
  put(&l, "lencase: STOPS: ");
  put_number(&l, (uint64_t)inline_raw3(h, SYS_getpid, 0, 0, 0), 10);
  put(&l, "/");
  put_number(&l, (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0), 10);
  put(&l, ": ");
  va_start(ap, fmt);
  put_all(&l, fmt, ap);
  va_end(ap);
  l.text[l.n++] = '\n';
  inline_raw3(h, SYS_write, (uint64_t)h->place.kept, (uintptr_t)l.text, l.n);
}
