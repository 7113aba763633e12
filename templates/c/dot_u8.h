/* ---- x @ w in integers, unsigned 8-bit x ---- */

#define KERNEL(part) dot_u8_##part
#define READ(p) qinput_u8(p)
