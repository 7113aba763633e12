#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Cycles of SysTick since reset, modulo 2^24. */
uint32_t ticks(void);

/* Eight hexadecimal digits and a newline to the host. */
void print_word(uint32_t word);

#endif
