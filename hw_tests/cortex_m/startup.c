/* Reset code of a Cortex-M4 for QEMU's mps2-an386, and output through semihosting. */
#include <stdint.h>

#include "board.h"

extern uint32_t stack_top, data_load, data_begin, data_end, bss_begin, bss_end;
int main(void);
void reset(void);

#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)

__attribute__((section(".vectors"), used)) static void *const vectors[2] = { &stack_top,
                                                                           (void *)reset };

static void semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void reset(void)
{
    for (volatile uint32_t *from = &data_load, *to = &data_begin; to < &data_end;)
        *to++ = *from++;
    for (volatile uint32_t *to = &bss_begin; to < &bss_end;)
        *to++ = 0;
    CPACR |= 0xfu << 20; /* floating-point unit on */
    __asm__ volatile("dsb\n\tisb");
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5; /* processor clock, no interrupt */
    main();
    semihost(0x18, (const void *)0x20026); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
    for (;;)
        continue;
}

uint32_t ticks(void) { return 0xffffff - SYST_CVR; }

void print_word(uint32_t word)
{
    char text[10];
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[word >> (28 - 4 * i) & 15u];
    text[8] = '\n';
    text[9] = 0;
    semihost(4, text); /* SYS_WRITE0 */
}
