// The first code of ours that runs in the process: before Node's, behind the dynamic linker's (build.ts puts it at the executable's entry point).
// It has no library and no stack protector; it sees the stack as the kernel made it.
//
// * Variables of Node, OpenSSL and libuv leave the environment. They would add certificates to those that are trusted, write files, load code.
// * A file in memory is made, which no directory has: src/io/native loads the addon through it. From JavaScript there is no memfd_create(2).

#if defined(__x86_64__)
enum { MEMFD_CREATE = 319 };
__asm__(".section .text.start\n"
        ".globl start\n"
        "start:\n"
        "  mov %rsp, %rdi\n"
        "  push %rdx\n"  // what the dynamic linker wants called at the end; twice, for the alignment of the stack
        "  push %rdx\n"
        "  call prepare\n"
        "  pop %rdx\n"
        "  pop %rdx\n"
        "  lea node_entry(%rip), %rax\n"
        "  add (%rax), %rax\n"
        "  jmp *%rax\n");
static long system_call(long number, long a, long b) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { MEMFD_CREATE = 279 };
__asm__(".section .text.start\n"
        ".globl start\n"
        "start:\n"
        "  stp x0, x30, [sp, #-16]!\n"
        "  add x0, sp, #16\n"
        "  bl prepare\n"
        "  ldp x0, x30, [sp], #16\n"
        "  adr x16, node_entry\n"
        "  ldr x17, [x16]\n"
        "  add x16, x16, x17\n"
        "  br x16\n");
static long system_call(long number, long a, long b) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  return x0;
}
#endif

// From here to Node's own entry point; build.ts writes it. It is the last word of this code.
__asm__(".section .text.zz_last\n"
        ".balign 8\n"
        "node_entry: .quad 0x6b65796c696d6531\n");

enum { CLOSE_ON_EXEC = 1, EXECUTABLE = 0x10 };  // MFD_EXEC is of Linux 6.3: an older one refuses it, and does what it says anyway

static int begins(const char *text, const char *with) {
  while (*with)
    if (*text++ != *with++) return 0;
  return 1;
}

static int is_foreign(const char *entry) {
  static const char list[] = "NODE_\0OPENSSL_\0UV_\0ICU_\0FORCE_COLOR=\0LOG_STREAM=\0LOG_TOKENS=\0WATCH_REPORT_DEPENDENCIES=\0";
  for (const char *name = list; *name;) {
    if (begins(entry, name)) return 1;
    while (*name++) {
    }
  }
  return 0;
}

void prepare(char **stack) {
  long arguments = *(long *)stack;
  char **environment = stack + 1 + arguments + 1, **kept = environment;
  for (char **entry = environment; *entry; entry++)
    if (!is_foreign(*entry)) *kept++ = *entry;
  *kept = 0;
  const char *name = "keylime native";
  if (system_call(MEMFD_CREATE, (long)name, CLOSE_ON_EXEC | EXECUTABLE) < 0) system_call(MEMFD_CREATE, (long)name, CLOSE_ON_EXEC);
}
