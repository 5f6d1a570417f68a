/*
** probe_int.h - what the files of probes share
*/

#ifndef PROBE_INT_H
#define PROBE_INT_H

#include "probe.h"

#include <stdbool.h>
#include <sys/types.h>

/* Returns 'ok'; if it is false the trial gets errno, and what was refused. */
bool probe_went(struct probe_trial *trial, bool ok, const char *what);

/* The trial succeeds. */
void probe_found(struct probe_trial *trial, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* It fails, for a reason that is no errno. */
void probe_failed(struct probe_trial *trial, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
** A second process, which waits for probe_partner_go and then ends with the status f(ud); f NULL:
** with 0. It ends, too, when this one does.
*/
struct probe_partner {
  pid_t pid;
  int gate; /* its end of what it waits at has the number 'far' */
  int far;
};

bool probe_partner(struct probe_trial *trial, struct probe_partner *p, int (*f)(void *ud),
                   void *ud);

void probe_partner_go(const struct probe_partner *p);

/* Waits until it has ended: true when its status was 0. */
bool probe_partner_ended(const struct probe_partner *p);

/* Stops the partner as its tracer, with PTRACE_O_ options. */
bool probe_seize(struct probe_trial *trial, const struct probe_partner *p, unsigned long options);

/* The number behind 'name' in /proc/'pid'/status (0: our own); -1: it is not there. */
long probe_status(pid_t pid, const char *name);

/* The call of the probes, which has no arguments, and an answer that it would never give. */
#define PROBE_CALL SYS_getppid
enum { PROBE_ANSWER = 77 };

/* Processes and /proc. */
void probe_try_fork(struct probe_trial *trial);
void probe_try_kernel(struct probe_trial *trial);
void probe_try_proc(struct probe_trial *trial);
void probe_try_pids(struct probe_trial *trial);
void probe_try_hidepid(struct probe_trial *trial);
void probe_try_threads(struct probe_trial *trial);
void probe_try_clone3(struct probe_trial *trial);
void probe_try_pidfd(struct probe_trial *trial);
void probe_try_outer_filter(struct probe_trial *trial);
void probe_try_sys_ptrace(struct probe_trial *trial);
void probe_try_userns(struct probe_trial *trial);
void probe_try_landlock(struct probe_trial *trial);
void probe_try_vdso(struct probe_trial *trial);

/* Tracing. */
void probe_try_ptrace(struct probe_trial *trial);
void probe_try_attach(struct probe_trial *trial);
void probe_try_peek(struct probe_trial *trial);
void probe_try_vm_read(struct probe_trial *trial);
void probe_try_vm_write(struct probe_trial *trial);
void probe_try_proc_mem(struct probe_trial *trial);
void probe_try_procmap_query(struct probe_trial *trial);

/* Filters and listeners. */
void probe_try_no_new_privs(struct probe_trial *trial);
void probe_try_filter(struct probe_trial *trial);
void probe_try_seccomp(struct probe_trial *trial);
void probe_try_unwatched(struct probe_trial *trial);
void probe_try_constant(struct probe_trial *trial);
void probe_try_tsync(struct probe_trial *trial);
void probe_try_stop(struct probe_trial *trial);
void probe_try_skip(struct probe_trial *trial);
void probe_try_listener(struct probe_trial *trial);
void probe_try_notify(struct probe_trial *trial);
void probe_try_addfd(struct probe_trial *trial);
void probe_try_sync_wake_up(struct probe_trial *trial);
void probe_try_wait_killable(struct probe_trial *trial);
void probe_try_pidfd_getfd(struct probe_trial *trial);
void probe_try_scm_rights(struct probe_trial *trial);

/* Memory that is shared with a program, and what the inline host needs. */
void probe_try_memfd(struct probe_trial *trial);
void probe_try_seal(struct probe_trial *trial);
void probe_try_memfd_exec(struct probe_trial *trial);
void probe_try_window(struct probe_trial *trial);
void probe_try_mseal(struct probe_trial *trial);
void probe_try_dispatch(struct probe_trial *trial);
void probe_try_namespace(struct probe_trial *trial);
void probe_try_fsgsbase(struct probe_trial *trial);

#endif
