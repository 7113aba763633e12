/* CRC-32C: the processor's instruction where there is one, else eight bytes at a time by tables. */

#include "file.h"

#include <string.h>

static uint32_t by_bits(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    return crc;
}

static uint32_t by_tables(uint32_t crc, const uint8_t *p, size_t n)
{
    uint32_t table[8][256];
    for (int i = 0; i < 256; i++)
        table[0][i] = by_bits(0, (uint8_t)i);
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
    for (; n >= 8; n -= 8, p += 8) {
        const uint32_t a = crc ^ crystal_read32(p), b = crystal_read32(p + 4);
        crc = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255]
              ^ table[4][a >> 24] ^ table[3][b & 255] ^ table[2][b >> 8 & 255]
              ^ table[1][b >> 16 & 255] ^ table[0][b >> 24];
    }
    for (; n; n--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return crc;
}

#if defined(CRYSTAL_X86)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(
    uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t wide = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n; n--, p++)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

uint32_t crystal_crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
#if defined(CRYSTAL_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(crc, p, n);
#endif
    if (n >= 4096)
        return ~by_tables(crc, p, n);
    for (; n; n--, p++)
        crc = by_bits(crc, *p);
    return ~crc;
}
