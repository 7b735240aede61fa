/*
 * Lets User-Mode Linux 6.1 boot on processors with AMX (Sapphire Rapids and later), preloaded with LD_PRELOAD.
 * Such a host wants the whole extended register state (about 11 KB) when a tracer writes registers, and User-Mode Linux
 * offers 2.7 KB: the kernel answers EFAULT and the guest's init dies with "put_fp_registers" in the panic.
 * Here the missing tail is filled with what the traced process has already.
 * Build: cc -O2 -shared -fPIC -o xstate.so xstate.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NT_X86_XSTATE 0x202

static unsigned char whole[65536];

long ptrace(enum __ptrace_request request, ...)
{
  static long (*real)(enum __ptrace_request, ...);
  va_list words;
  va_start(words, request);
  pid_t pid = va_arg(words, pid_t);
  void *addr = va_arg(words, void *);
  void *data = va_arg(words, void *);
  va_end(words);

  if (!real)
    real = dlsym(RTLD_NEXT, "ptrace");
  if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE) {
    struct iovec *given = data;
    struct iovec now = {whole, sizeof whole};
    if (real(PTRACE_GETREGSET, pid, addr, &now) == 0 && now.iov_len > given->iov_len) {
      memcpy(whole, given->iov_base, given->iov_len);
      return real(PTRACE_SETREGSET, pid, addr, &now);
    }
  }
  return real(request, pid, addr, data);
}
