/*
** trace.h - the host of unmodified programs: ptrace and a seccomp filter
** The public function is lencase_trace_run, in lencase.h.
*/

#ifndef TRACE_H
#define TRACE_H

#include "../../call.h"
#include "../host.h"

#endif
