/* Files in memory. */

#if defined(__unix__) || defined(__APPLE__)
#define _DEFAULT_SOURCE
#define CRYSTAL_MMAP
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "model.h"

#if defined(CRYSTAL_MMAP)

#if !defined(MAP_POPULATE)
#define MAP_POPULATE 0
#endif

int32_t crystal_map(const char *path, const uint8_t **bytes, size_t *size)
{
    struct stat about;
    const int handle = open(path, O_RDONLY | O_NONBLOCK);
    int32_t fine = handle >= 0 && !fstat(handle, &about) && S_ISREG(about.st_mode);
    *bytes = NULL;
    *size = fine ? (size_t)about.st_size : 0;
    if (fine && *size) {
        void *p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, handle, 0);
        fine = p != MAP_FAILED;
        *bytes = fine ? p : NULL;
    }
    if (handle >= 0)
        close(handle);
    return fine;
}

void crystal_unmap(const uint8_t *bytes, size_t size)
{
    if (bytes)
        munmap((void *)(uintptr_t)bytes, size);
}

#else

#include <stdio.h>
#include <stdlib.h>

/* The byte before the file says how far the memory begins before it. */
static const uint8_t *read_all(FILE *from, size_t size)
{
    uint8_t *memory = malloc(size + 128), *place;
    if (!memory)
        return NULL;
    place = memory + 64 - (uintptr_t)memory % 64;
    place[-1] = (uint8_t)(place - memory);
    if (fread(place, 1, size, from) == size)
        return place;
    free(memory);
    return NULL;
}

int32_t crystal_map(const char *path, const uint8_t **bytes, size_t *size)
{
    FILE *from = fopen(path, "rb");
    *bytes = NULL;
    *size = 0;
    if (!from)
        return 0;
    const long end = fseek(from, 0, SEEK_END) ? -1 : ftell(from);
    if (end >= 0 && !fseek(from, 0, SEEK_SET)) {
        *size = (size_t)end;
        *bytes = read_all(from, *size);
    }
    fclose(from);
    return *bytes != NULL;
}

void crystal_unmap(const uint8_t *bytes, size_t size)
{
    (void)size;
    if (bytes)
        free((uint8_t *)(uintptr_t)bytes - bytes[-1]);
}

#endif
