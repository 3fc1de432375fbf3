/* A libnvidia-ml.so.1 that says what a text file says.
 *
 * NVML_STUB names the file. It is read anew at each call, so that a test changes the machine by replacing it. Each line is a
 * key, one space, and a value:
 *
 *   init error 9                    nvmlInit fails with this code
 *   count 2
 *   gpu0.name NVIDIA GeForce RTX 3060
 *   gpu0.bus_id 00000000:01:00.0
 *   gpu0.total 12884901888          bytes; free = total - used
 *   gpu0.used 1073741824
 *   gpu0.utilisation 97             percent
 *   gpu0.bandwidth 3                percent
 *   gpu0.temperature 61
 *   gpu0.power 170000               milliwatts
 *   gpu0.processes 4711:1048576 4712:-
 *   gpu0.memory error 999           nvmlDeviceGetMemoryInfo fails with this code
 *
 * What the file does not mention is NVML_ERROR_NOT_SUPPORTED; without a count there are no cards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };
enum { MAX_GPUS = 16, MAX_LINE = 4096 };

typedef int nvmlReturn_t;
typedef struct { int number; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

static struct { int number; } gpus[MAX_GPUS];
static int sessions;

/* The value of `key`, in `value`; SUCCESS, the code of an `error N`, or NOT_SUPPORTED. */
static nvmlReturn_t lookup(const char *key, char *value)
{
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t length = strlen(key);
    char line[MAX_LINE];
    nvmlReturn_t found = NOT_SUPPORTED;
    if (!file)
        return DRIVER_NOT_LOADED;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, length) || line[length] != ' ')
            continue;
        strcpy(value, line + length + 1);
        found = strncmp(value, "error ", 6) ? SUCCESS : atoi(value + 6);
        break;
    }
    fclose(file);
    return found;
}

static nvmlReturn_t gpu_lookup(nvmlDevice_t device, const char *name, char *value)
{
    char key[64];
    if (!sessions)
        return UNINITIALIZED;
    snprintf(key, sizeof key, "gpu%d.%s", device->number, name);
    return lookup(key, value);
}

static nvmlReturn_t gpu_number(nvmlDevice_t device, const char *name, unsigned int *out)
{
    char value[MAX_LINE];
    nvmlReturn_t code = gpu_lookup(device, name, value);
    if (code == SUCCESS)
        *out = (unsigned int)strtoul(value, NULL, 10);
    return code;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    char value[MAX_LINE];
    nvmlReturn_t code = lookup("init", value);
    (void)flags;
    if (code == NOT_SUPPORTED)
        code = SUCCESS;
    sessions += code == SUCCESS;
    return code;
}

nvmlReturn_t nvmlShutdown(void)
{
    if (!sessions)
        return UNINITIALIZED;
    sessions--;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code)
{
    return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Scripted Error";
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    char value[MAX_LINE];
    nvmlReturn_t code = lookup("count", value);
    if (!sessions)
        return UNINITIALIZED;
    *count = code == SUCCESS ? (unsigned int)atoi(value) : 0;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    char value[MAX_LINE];
    nvmlReturn_t code;
    if (index >= MAX_GPUS)
        return INVALID_ARGUMENT;
    gpus[index].number = (int)index;
    *device = (nvmlDevice_t)&gpus[index];
    code = gpu_lookup(*device, "handle", value);
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    char value[MAX_LINE];
    nvmlReturn_t code = gpu_lookup(device, "name", value);
    if (code == SUCCESS)
        snprintf(name, length, "%s", value);
    return code;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    char value[MAX_LINE];
    nvmlReturn_t code = gpu_lookup(device, "bus_id", value);
    memset(pci, 0, sizeof *pci);
    if (code == SUCCESS)
        snprintf(pci->busId, sizeof pci->busId, "%.31s", value);
    return code;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    char value[MAX_LINE];
    nvmlReturn_t code = gpu_lookup(device, "memory", value);
    if (code != NOT_SUPPORTED)
        return code;
    if ((code = gpu_lookup(device, "total", value)))
        return code;
    memory->total = strtoull(value, NULL, 10);
    if ((code = gpu_lookup(device, "used", value)))
        return code;
    memory->used = strtoull(value, NULL, 10);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates)
{
    nvmlReturn_t code = gpu_number(device, "utilisation", &rates->gpu);
    return code ? code : gpu_number(device, "bandwidth", &rates->memory);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned int sensor, unsigned int *celsius)
{
    (void)sensor;
    return gpu_number(device, "temperature", celsius);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts)
{
    return gpu_number(device, "power", milliwatts);
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int *bits)
{
    return gpu_number(device, "bus_width", bits);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned int clock, unsigned int *megahertz)
{
    (void)clock;
    return gpu_number(device, "memory_clock", megahertz);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    return gpu_number(device, "pcie_generation", generation);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int *lanes)
{
    return gpu_number(device, "pcie_lanes", lanes);
}

/* Asked twice: for the size with no room, then for the list. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *list)
{
    char value[MAX_LINE], *rest, *word;
    unsigned int room = list ? *count : 0, n = 0;
    nvmlReturn_t code = gpu_lookup(device, "processes", value);
    if (code)
        return code;
    for (word = strtok_r(value, " ", &rest); word; word = strtok_r(NULL, " ", &rest), n++) {
        char *colon = strchr(word, ':');
        if (n >= room || !colon)
            continue;
        memset(&list[n], 0, sizeof list[n]);
        list[n].pid = (unsigned int)strtoul(word, NULL, 10);
        list[n].usedGpuMemory = colon[1] == '-' ? ~0ULL : strtoull(colon + 1, NULL, 10);
    }
    *count = n;
    return n > room ? INSUFFICIENT_SIZE : SUCCESS;
}
