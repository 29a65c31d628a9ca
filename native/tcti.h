// Transport of TPM commands with a deadline and a way to cancel, which the transports that come with libtss2 lack.
#pragma once

#include <string>

#include <tss2/tss2_tcti.h>

// `config`: "device:/dev/tpmrm0", "swtpm:host=H,port=N" or "swtpm:path=/socket". A readable `cancel_fd` ends any wait.
// Returns null and says why in `error` when there is nothing to talk to.
TSS2_TCTI_CONTEXT *tcti_open(const std::string &config, int cancel_fd, int timeout_ms, std::string &error);
void tcti_close(TSS2_TCTI_CONTEXT *context);

// Time for one command, from its first byte sent to its last byte received.
void tcti_set_timeout(TSS2_TCTI_CONTEXT *context, int timeout_ms);

// True for a kernel device with its own resource manager: nobody else's objects are seen there.
bool tcti_has_resource_manager(TSS2_TCTI_CONTEXT *context);
