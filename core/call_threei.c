/*
** call_threei.c - the calls of 3i itself, when they have come to the bottom
**
** Lind's numbers (glibc/lind_syscall_num.h of lind-wasm); a word each:
**   1001 register_handler            target cage, callnum, flags, grate
**   1002 copy_data_between_cages     dest, its cage, src, its cage, length, type
**   1003 copy_handler_table_to_cage  target cage, source cage, flags
*/

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "call.h"

/* {================================= errors ================================ */

static const struct {
  int status, err;
} errnos[] = {
    {LENCASE_ENOMEM, ENOMEM}, {LENCASE_EINVAL, EINVAL}, {LENCASE_ENOENT, ENOENT},
    {LENCASE_EEXIST, EEXIST}, {LENCASE_EFAULT, EFAULT}, {LENCASE_ELIMIT, E2BIG},
    {LENCASE_EGONE, ESRCH},   {LENCASE_EPERM, EPERM},
};

static int64_t result_of(int status) {
  size_t i;
  for (i = 0; i < sizeof errnos / sizeof *errnos; i++)
    if (errnos[i].status == status) return -errnos[i].err;
  return status == LENCASE_OK ? 0 : -EIO;
}

static int bad_flags(struct lencase_state *st, const char *function, unsigned flags,
                     const char *known) {
  return state_fail(st, LENCASE_EINVAL, "%s: invalid flags 0x%x: use 0 or %s", function, flags,
                    known);
}

/* The cage with this id, which is not about to end: *out. A status. */
static int find_cage(struct lencase_state *st, uint64_t id, struct lencase_cage **out) {
  *out = cage_by_id(st, id);
  if (*out == NULL)
    return state_fail(st, LENCASE_EGONE, "there is no cage %llu any more", (unsigned long long)id);
  if ((*out)->gone || (*out)->ending)
    return state_fail(st, LENCASE_EGONE, "cage %lld is ending", (long long)(*out)->pid);
  return LENCASE_OK;
}

static int find_grate(struct lencase_state *st, uint64_t id, struct route_interface **out) {
  *out = route_interface_by_id(st, id);
  if (*out == NULL)
    return state_fail(st, LENCASE_ENOENT, "there is no grate %llu", (unsigned long long)id);
  if ((*out)->inside)
    return state_fail(st, LENCASE_EPERM,
                      "the grate is inside of a branch: the grate around it says what it gets");
  return LENCASE_OK;
}

/* }========================================================================= */

LENCASE_PUBLIC int lencase_register_handler(lencase_state *st, uint64_t cage, int32_t nr,
                                            uint64_t grate, unsigned flags) {
  struct route_interface *of = NULL;
  struct lencase_cage *target;
  bool off = flags == LENCASE_DEREGISTER;
  char name[64];
  int status;
  if (nr < 0 && nr != LENCASE_MATCH_ALL)
    return state_fail(st, LENCASE_EINVAL, "invalid call number %d", nr);
  if (!off && (flags & ~LENCASE_REPLACE) != 0)
    return bad_flags(st, "register_handler", flags, "LENCASE_REPLACE, or LENCASE_DEREGISTER alone");
  status = find_cage(st, cage, &target);
  if (status == LENCASE_OK && !(off && grate == 0)) status = find_grate(st, grate, &of);
  if (status != LENCASE_OK) return status;
  if (off)
    status = route_unbind(st, &target->routes, of, nr);
  else
    status = route_bind(st, &target->routes, of, nr, flags == LENCASE_REPLACE);
  state_debug(st, ROUTES, "cage %" PRId64 ": %s of grate %" PRIu64 " %s: %s", target->pid,
              nr == LENCASE_MATCH_ALL ? "all" : sig_name(nr, name, sizeof name), grate,
              off                        ? "deregistered"
              : flags == LENCASE_REPLACE ? "replaces others"
                                         : "registered",
              status == LENCASE_OK ? "done" : lencase_error(st));
  return status;
}

LENCASE_PUBLIC int lencase_copy_handler_table_to_cage(lencase_state *st, uint64_t target,
                                                      uint64_t source, unsigned flags) {
  struct lencase_cage *to, *from = NULL;
  int status;
  if (flags != 0 && flags != LENCASE_REPLACE && flags != LENCASE_OVERWRITE)
    return bad_flags(st, "copy_handler_table_to_cage", flags,
                     "one of LENCASE_REPLACE and LENCASE_OVERWRITE");
  status = find_cage(st, target, &to);
  if (status == LENCASE_OK) status = find_cage(st, source, &from);
  if (status != LENCASE_OK || to == from) return status;
  state_debug(st, ROUTES, "cage %" PRId64 ": gets the routes of cage %" PRId64 "%s", to->pid,
              from->pid, flags == 0 ? ", where it has none" : "");
  if (flags != LENCASE_OVERWRITE)
    return route_merge(st, &to->routes, from->routes, flags == LENCASE_REPLACE);
  route_table_free(st, to->routes);
  to->routes = route_table_copy(from->routes);
  return LENCASE_OK;
}

/* {========================= copy_data_between_cages ======================= */

struct copy {
  uint64_t dest_cage, dest, src_cage, src, len;
  uint64_t type;
};

/* Reads what is to be copied; of a string no more than its NUL. */
static int read_some(struct lencase_state *st, struct lencase_cage *cage, const struct copy *copy,
                     unsigned char *data, size_t *size) {
  struct mem_seg seg = {copy->src, data, *size};
  const unsigned char *nul;
  size_t done = 0;
  int status = cage->ops->read(cage, &seg, 1, &done);
  if (status != LENCASE_OK) return state_fail(st, status, "the cage cannot be read");
  nul = copy->type == LENCASE_COPY_STRING ? memchr(data, 0, done) : NULL;
  if (nul != NULL) {
    *size = (size_t)(nul - data) + 1;
    return LENCASE_OK;
  }
  if (done == *size && copy->type != LENCASE_COPY_STRING) return LENCASE_OK;
  return state_fail(st, LENCASE_EFAULT,
                    done == *size ? "no string ends within %llu bytes at 0x%llx"
                                  : "%llu bytes at 0x%llx cannot be read",
                    (unsigned long long)*size, (unsigned long long)copy->src);
}

static int write_all(struct lencase_state *st, struct lencase_cage *cage, uint64_t addr, void *data,
                     size_t size) {
  struct mem_seg seg = {addr, data, size};
  int status = size > 0 ? cage->ops->write(cage, &seg) : LENCASE_OK;
  if (status == LENCASE_OK) return status;
  return state_fail(st, status, "%zu bytes at 0x%llx cannot be written", size,
                    (unsigned long long)addr);
}

static int check_copy(struct lencase_state *st, const struct copy *copy) {
  if (copy->type > LENCASE_COPY_STRING)
    return state_fail(st, LENCASE_EINVAL, "invalid type of copy %llu",
                      (unsigned long long)copy->type);
  if (copy->len > st->config.max_call_bytes)
    return state_fail(st, LENCASE_ELIMIT, "%llu bytes are more than may be copied for one call",
                      (unsigned long long)copy->len);
  return LENCASE_OK;
}

static int copy_data(struct lencase_state *st, const struct copy *copy, uint64_t *copied) {
  struct lencase_cage *src, *dest;
  size_t size = (size_t)copy->len;
  unsigned char *data;
  int status = check_copy(st, copy);
  *copied = 0;
  if (status == LENCASE_OK) status = find_cage(st, copy->src_cage, &src);
  if (status == LENCASE_OK) status = find_cage(st, copy->dest_cage, &dest);
  if (status != LENCASE_OK || size == 0) return status;
  data = state_realloc(st, NULL, 0, (size_t)copy->len);
  if (data == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for %zu bytes", size);
  status = read_some(st, src, copy, data, &size);
  if (status == LENCASE_OK) status = write_all(st, dest, copy->dest, data, size);
  if (status == LENCASE_OK) *copied = size;
  state_free(st, data, (size_t)copy->len);
  return status;
}

/* }========================================================================= */

/* {================================= calls ================================= */

static int64_t call_1001(struct lencase_state *st, const uint64_t *w) {
  return result_of(lencase_register_handler(st, w[0], (int32_t)w[1], w[3], (unsigned)w[2]));
}

static int64_t call_1002(struct lencase_state *st, const uint64_t *w) {
  const struct copy copy = {w[1], w[0], w[3], w[2], w[4], w[5]};
  uint64_t copied;
  int64_t result = result_of(copy_data(st, &copy, &copied));
  return result == 0 ? (int64_t)copied : result;
}

static int64_t call_1003(struct lencase_state *st, const uint64_t *w) {
  return result_of(lencase_copy_handler_table_to_cage(st, w[0], w[1], (unsigned)w[2]));
}

static int64_t (*const calls[])(struct lencase_state *, const uint64_t *) = {
    [LENCASE_REGISTER_HANDLER - LENCASE_REGISTER_HANDLER] = call_1001,
    [LENCASE_COPY_DATA_BETWEEN_CAGES - LENCASE_REGISTER_HANDLER] = call_1002,
    [LENCASE_COPY_HANDLER_TABLE_TO_CAGE - LENCASE_REGISTER_HANDLER] = call_1003,
};

bool call_is_threei(int32_t nr) {
  return nr >= LENCASE_REGISTER_HANDLER && nr <= LENCASE_COPY_HANDLER_TABLE_TO_CAGE;
}

int64_t call_threei(struct lencase_state *st, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return calls[nr - LENCASE_REGISTER_HANDLER](st, words);
}

/* }========================================================================= */

/* {=============================== lencase.h =============================== */

LENCASE_PUBLIC uint64_t lencase_cage_id(const lencase_cage *cage) {
  return cage->id;
}

LENCASE_PUBLIC void lencase_cage_kill(lencase_cage *cage) {
  cage->ops->kill(cage);
}

LENCASE_PUBLIC lencase_cage *lencase_cage_by_id(lencase_state *st, uint64_t id) {
  struct lencase_cage *cage = cage_by_id(st, id);
  return cage != NULL && !cage->gone ? cage : NULL;
}

LENCASE_PUBLIC int lencase_copy_data_between_cages(lencase_state *st, uint64_t dest_cage,
                                                   uint64_t dest, uint64_t src_cage, uint64_t src,
                                                   uint64_t len, unsigned type, uint64_t *copied) {
  const struct copy c = {dest_cage, dest, src_cage, src, len, type};
  uint64_t n;
  return copy_data(st, &c, copied != NULL ? copied : &n);
}

LENCASE_PUBLIC int lencase_cage_read(lencase_cage *cage, uint64_t addr, void *data, size_t size) {
  struct mem_seg seg = {addr, data, size};
  size_t done = 0;
  int status = size > 0 ? cage->ops->read(cage, &seg, 1, &done) : LENCASE_OK;
  if (status == LENCASE_OK && done == size) return LENCASE_OK;
  return state_fail(cage->st, status != LENCASE_OK ? status : LENCASE_EFAULT,
                    "%zu bytes at 0x%llx cannot be read", size, (unsigned long long)addr);
}

LENCASE_PUBLIC int lencase_cage_write(lencase_cage *cage, uint64_t addr, const void *data,
                                      size_t size) {
  return write_all(cage->st, cage, addr, (void *)(uintptr_t)data, size);
}

/* }========================================================================= */
