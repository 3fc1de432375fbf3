/* libcuda.so.1 of a machine with one card, with the four calls that make no context. */
#include <stddef.h>
#include <string.h>

static int ready;

int cuInit(unsigned flags) { ready = flags == 0; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 7; return ready && ordinal == 0 ? 0 : 101; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 12ull << 30; return device == 7 ? 0 : 101; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { strncpy(text, "0000:0A:00.0", length); return device == 7 ? 0 : 101; }
